package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"carillon/api/wire"
	"carillon/config"
	"carillon/phone"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// TestLongRequests: on real sockets an INVITE too long for a datagram reaches the carrier over TCP, on the port where
// it also takes UDP, and over UDP where nobody listens for TCP.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.MaxDatagram = 512 })
	for _, tt := range []struct {
		name string
		tcp  bool
		want string
	}{{"tcp", true, "tcp"}, {"no tcp", false, "udp"}} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(false)
			number := "+1212555014" + map[bool]string{true: "3", false: "4"}[tt.tcp]
			handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450)} })
			udp := w.carrier("long-"+tt.want, handle, number)
			if tt.tcp {
				w.phone(phone.Config{Proto: transport.TCP, Bind: udp.Addr()}).Handle(handle)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			caller := w.phone(phone.Config{})
			call, err := caller.Dial(ctx, w.invite(c, transport.UDP, number))
			if err != nil {
				t.Fatal(err)
			}
			callee := receive(t, "the answer", taken)
			eventually(t, "audio at the carrier", func() bool { return hears(callee, 450) })
			if err := call.Hangup(ctx); err != nil {
				t.Error(err)
			}
			receive(t, "the carrier's BYE", callee.Done())
			if got := w.records(c, 1)[0].CarrierLeg.Transport; got != tt.want {
				t.Errorf("the carrier's leg ran over %s, want %s", got, tt.want)
			}
		})
	}
}

// writePair writes a certificate and its key for --tls-cert and --tls-key.
func writePair(t *testing.T, dir, name string, c *tls.Certificate) (chain, key string) {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	chain, key = filepath.Join(dir, name+"-chain.pem"), filepath.Join(dir, name+"-key.pem")
	for path, block := range map[string]*pem.Block{chain: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return chain, key
}

// TestCertificatesByName: of several certificates a client gets the one for the name it asks for, else the first.
func TestCertificatesByName(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t), t.TempDir()
	w := newWorld(t, func(c *config.Config) {
		for _, host := range []string{"first.example.org", "second.example.org"} {
			chain, key := writePair(t, dir, host, ca.issue(host))
			c.TLSCert, c.TLSKey = append(c.TLSCert, chain), append(c.TLSKey, key)
		}
	})
	for asked, want := range map[string]string{
		"": "first.example.org", "first.example.org": "first.example.org", "SECOND.example.org": "second.example.org", "third.example.org": "first.example.org",
	} {
		c, err := tls.Dial("tcp", w.ready.SIP.TLS, &tls.Config{ServerName: asked, InsecureSkipVerify: true}) // the name is what is looked at
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("asked for %q the node shows %s, want %s", asked, got, want)
		}
		c.Close()
	}
}

// TestReloadWhomWeTrust: SIGHUP reads the trust file again, and the certificate that is shown when calling out is the
// new one from then on.
func TestReloadWhomWeTrust(t *testing.T) {
	t.Parallel()
	ours, other, dir := newAuthority(t), newAuthority(t), t.TempDir()
	trust := other.file()
	chain, key := writePair(t, dir, "node", ours.issue("old.example.org"))
	p := serve(t, t.TempDir(), filepath.Join(t.TempDir(), "ready.json"), "--tls-cert", chain, "--tls-key", key, "--tls-trust", trust)
	carrier, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*ours.issue("127.0.0.1")}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { carrier.Close() })
	type shown struct {
		name string
		err  error
	}
	seen := make(chan shown, 64)
	go func() {
		for {
			c, err := carrier.Accept()
			if err != nil {
				return
			}
			err = c.(*tls.Conn).Handshake()
			s := shown{err: err}
			if err == nil {
				_, err = c.Read(make([]byte, 1)) // a client of TLS 1.3 may refuse us after its last word
				s = shown{c.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames[0], err}
			}
			c.Close()
			select {
			case seen <- s:
			default:
			}
		}
	}()
	p.must("carrier", "put", "tls", "--target", "sip:"+carrier.Addr().String()+";transport=tls", "--probe", "1s")
	if s := receive(t, "a probe", seen); s.err == nil {
		t.Fatalf("a carrier that nobody vouches for was called, and shown %s", s.name)
	}
	if err := os.Rename(ours.file(), trust); err != nil {
		t.Fatal(err)
	}
	writePair(t, dir, "node", ours.issue("new.example.org"))
	p.signal(syscall.SIGHUP)
	eventually(t, "a probe that shows the new certificate", func() bool {
		s := receive(t, "a probe", seen)
		if s.err == nil && s.name != "new.example.org" {
			t.Errorf("the carrier is shown %s", s.name)
		}
		return s.err == nil
	})
}

// answering486 is a SIP element that refuses every INVITE as busy, and tells where it came and what answers it got.
type answering486 struct {
	invites chan transport.Flow
	answers chan int
}

// Receive implements transport.Handler.
func (a answering486) Receive(f transport.Flow, m *sip.Message) {
	if !m.IsRequest() {
		a.answers <- m.Status()
		return
	}
	if m.Method() != sip.Invite {
		return
	}
	var b sip.Builder
	sip.AppendResponse(&b, m, 486, "Busy Here", "pbx")
	b.Body("", nil)
	_ = f.Send(b.Bytes())
	a.invites <- f
}

// Malformed and Closed implement transport.Handler.
func (answering486) Malformed(transport.Flow, *sip.Message, *sip.ParseError) {}
func (answering486) Closed(transport.Flow, error)                            {}

// TestCustomerBehindFirewall: a PBX that nobody can connect to gets its calls on the connection it has opened, when its
// certificate proves the host of the route, and does not when it only says so.
func TestCustomerBehindFirewall(t *testing.T) {
	t.Parallel()
	const pbxName = "pbx.localhost" // where nobody listens
	ca, stranger := newAuthority(t), newAuthority(t)
	w := newWorld(t, func(c *config.Config) { c.TLSTrust = ca.file() })
	for _, tt := range []struct {
		name   string
		cert   *tls.Certificate
		reused bool
	}{
		{"proven", ca.issue(pbxName), true},
		{"another host's certificate", ca.issue("other.localhost"), false},
		{"a certificate of its own making", stranger.issue(pbxName), false},
		{"no certificate", nil, false},
		{"not asked", ca.issue(pbxName), false}, // phones that ask their user are left alone by default
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(true)
			if tt.name != "not asked" {
				w.must("connector", "set", c.id, "client-certificates=on")
			}
			w.originate(c, wire.OriginationRoute{Host: new(pbxName), Priority: new(int32(1)), Weight: new(int32(1))})
			handler := answering486{make(chan transport.Flow, 1), make(chan int, 1)}
			pbx, err := transport.New(transport.Config{Handler: handler})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pbx.Close() })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			f, err := pbx.Dial(ctx, transport.Target{Proto: transport.TLS, Addr: w.target(transport.TLS),
				TLS: &transport.ClientTLS{ServerName: c.host, Roots: w.roots(), Certificate: tt.cert}})
			if err != nil {
				t.Fatal(err)
			}
			options := siptest.Request{Method: "OPTIONS", URI: "sip:" + c.host, Transport: "TLS", SentBy: pbxName, Branch: "z9hG4bK1;alias", CallID: t.Name()}
			if err := f.Send(options.Bytes()); err != nil {
				t.Fatal(err)
			}
			if status := receive(t, "the answer to OPTIONS", handler.answers); status != 200 {
				t.Fatalf("OPTIONS got %d", status)
			}
			_, err = w.ring(ctx, customerNumber)
			if err == nil {
				t.Fatal("the call was answered")
			}
			if tt.reused {
				if got := receive(t, "the INVITE", handler.invites); got != f || !strings.Contains(err.Error(), "486") {
					t.Errorf("the caller heard %v", err)
				}
				if r := w.records(c, 1)[0]; r.Customer.Peer != "verified" || r.Status != 486 {
					t.Errorf("record %+v", r)
				}
				return
			}
			select {
			case <-handler.invites:
				t.Error("the call came over a connection whose peer has proven nothing")
			default:
			}
		})
	}
}

// TestSIPS: a call to a sips URI goes through on TLS at both ends, is refused where the carrier has no TLS, and where it
// comes in the clear.
func TestSIPS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	trust := ca.file()
	w := newWorld(t, func(c *config.Config) { c.TLSTrust = trust })
	const secureNumber, plainNumber = "+12125550145", "+12125550146"
	handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450)} })
	tel := w.phone(phone.Config{Proto: transport.TLS, Certificate: ca.issue("127.0.0.1")})
	tel.Handle(handle)
	w.must("carrier", "put", "secure", "--target", "sip:"+tel.Addr().String()+";transport=tls", "--prefix", secureNumber)
	w.carrier("plain", handle, plainNumber)
	for _, tt := range []struct {
		name, number string
		proto        transport.Proto
		status       int // 0: answered
		reason       string
	}{
		{"TLS at both ends", secureNumber, transport.TLS, 0, "hangup"},
		{"a carrier in the clear", plainNumber, transport.TLS, 480, "sips_not_allowed"},
		{"a customer in the clear", secureNumber, transport.TCP, 403, "sips_not_over_tls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(false)
			inv := w.invite(c, tt.proto, tt.number)
			inv.To = strings.Replace(inv.To, "sip:", "sips:", 1)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			call, err := w.phone(phone.Config{Proto: tt.proto}).Dial(ctx, inv)
			if tt.status != 0 {
				if err == nil || !strings.Contains(err.Error(), strconv.Itoa(tt.status)) {
					t.Errorf("the call ended with %v, want %d", err, tt.status)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				callee := receive(t, "the answer", taken)
				if err := call.Hangup(ctx); err != nil {
					t.Error(err)
				}
				receive(t, "the carrier's BYE", callee.Done())
			}
			r := w.records(c, 1)[0]
			if r.Reason != tt.reason || tt.status == 0 && (r.CarrierLeg.Transport != "tls" || r.CarrierLeg.Peer != "verified") {
				t.Errorf("record %+v", r)
			}
		})
	}
}
