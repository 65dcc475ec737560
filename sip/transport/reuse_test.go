package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"testing"
)

// customerSide connects to a listener with a certificate and offers its connection for requests, as a PBX does that
// cannot be reached otherwise.
func customerSide(t *testing.T, addr netip.AddrPort, ca *authority, cert *tls.Certificate, via string) *tls.Conn {
	t.Helper()
	conf := &tls.Config{RootCAs: ca.pool, ServerName: "sbc.test"}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	c := tls.Client(connect(t, addr), conf)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.Write(options(via, ""))
	wantRead(t, c, "SIP/2.0 200")
	return c
}

// A connection is used for new requests only if its peer has proven the name that is asked for, and asked for it.
func TestReuse(t *testing.T) {
	ca, maker := newAuthority(), newAuthority()
	pbx := ca.issue("pbx.test", "192.0.2.5")
	key := HashSPKI(pbx.Leaf)
	const offered = "TLS 192.0.2.9:5071;alias;rport"
	for _, tt := range []struct {
		name string
		cert *tls.Certificate
		via  string
		ask  ClientTLS
		port uint16
		want bool
	}{
		{"proven and offered", pbx, offered, ClientTLS{ServerName: "pbx.test"}, 5071, true},
		{"name in another case", pbx, offered, ClientTLS{ServerName: "PBX.test."}, 5071, true},
		{"an address in the certificate", pbx, offered, ClientTLS{ServerName: "192.0.2.5"}, 5071, true},
		{"any port", pbx, offered, ClientTLS{ServerName: "pbx.test"}, 0, true},
		{"the default port", pbx, "TLS pbx.test;alias", ClientTLS{ServerName: "pbx.test"}, 5061, true},
		{"the pinned key", pbx, offered, ClientTLS{ServerName: "pbx.test", Pins: []SPKIHash{{1}, key}}, 5071, true},
		{"another port of that host", pbx, offered, ClientTLS{ServerName: "pbx.test"}, 5061, false},
		{"not offered", pbx, "TLS 192.0.2.9:5071;rport", ClientTLS{ServerName: "pbx.test"}, 5071, false},
		{"another name", pbx, offered, ClientTLS{ServerName: "other.test"}, 5071, false},
		{"another key is pinned", pbx, offered, ClientTLS{ServerName: "pbx.test", Pins: []SPKIHash{{1}}}, 5071, false},
		{"no certificate, however it calls itself", nil, "TLS pbx.test:5071;alias", ClientTLS{ServerName: "pbx.test"}, 5071, false},
		{"a certificate of nobody we trust", maker.issue("pbx.test"), offered, ClientTLS{ServerName: "pbx.test"}, 5071, false},
		{"a wildcard", ca.issue("*.test"), offered, ClientTLS{ServerName: "pbx.test"}, 5071, false},
		{"the address it came from", pbx, "TLS 127.0.0.1:5071;alias", ClientTLS{ServerName: "127.0.0.1"}, 5071, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, r, _ := start(t, Limits{})
			roots := ca.pool
			addr := listenTLS(t, tr, ServerTLS{ClientRoots: func() *x509.CertPool { return roots }}, ca.issue("sbc.test"))
			c := customerSide(t, addr, ca, tt.cert, tt.via)
			accepted := r.next("message").flow
			eventually(t, "the offer to be noted or not", func() bool { return tr.stats.Received.Load() == 1 })
			c.Write(options("TLS 192.0.2.9;rport", "")) // when this has come, the one before has been dealt with
			wantRead(t, c, "SIP/2.0 200")
			r.next("message")
			tt.ask.Roots = roots
			f, ok := tr.Reuse(&tt.ask, tt.port)
			if ok != tt.want || ok && f != accepted {
				t.Fatalf("got %v, want %v", ok, tt.want)
			}
			if !ok {
				return
			}
			if f.TLS().Check != PeerVerified {
				t.Errorf("the peer is %v", f.TLS().Check)
			}
			if err := f.Send(options("TLS sbc.test", "X-Back: yes\r\n")); err != nil {
				t.Error(err)
			}
			wantRead(t, c, "X-Back: yes")
			other := tt.ask
			other.Roots = maker.pool
			if _, ok := tr.Reuse(&other, tt.port); ok {
				t.Error("it is used by somebody who trusts others")
			}
			if got := tr.stats.Reused.Load(); got != 1 {
				t.Errorf("counted %d, want 1", got)
			}
			// One that has ended is used no more.
			c.Close()
			r.next("closed")
			if f, ok := tr.Reuse(&tt.ask, tt.port); ok {
				if err := f.Send(nil); !errors.Is(err, ErrClosed) {
					t.Error("a connection that is gone is used")
				}
			}
			eventually(t, "it to be forgotten", func() bool { _, ok := tr.Reuse(&tt.ask, tt.port); return !ok })
		})
	}
}

// Of several connections the latest is used, and the one before it once that has ended.
func TestReuseLatest(t *testing.T) {
	ca := newAuthority()
	tr, r, _ := start(t, Limits{})
	addr := listenTLS(t, tr, ServerTLS{ClientRoots: func() *x509.CertPool { return ca.pool }}, ca.issue("sbc.test"))
	pbx := ca.issue("pbx.test")
	first := customerSide(t, addr, ca, pbx, "TLS a;alias")
	f1 := r.next("message").flow
	second := customerSide(t, addr, ca, pbx, "TLS a;alias")
	f2 := r.next("message").flow
	ask := &ClientTLS{ServerName: "pbx.test", Roots: ca.pool}
	reused := func(want Flow) func() bool {
		return func() bool { f, _ := tr.Reuse(ask, 0); return f == want }
	}
	eventually(t, "the latest", reused(f2))
	second.Close()
	eventually(t, "the one before", reused(f1))
	first.Close()
	eventually(t, "none", reused(Flow{}))
}

func TestIdentities(t *testing.T) {
	uri := func(s string) *url.URL { return must(url.Parse(s)) }
	cert := &x509.Certificate{
		DNSNames: []string{"pbx.example.com", "PBX.example.com", "*.example.com"},
		URIs: []*url.URL{uri("sip:example.com"), uri("sip:alice@example.com"), uri("sips:sips.example.com"), uri("sip:port.example.com:5061"),
			uri("https://web.example.com/"), uri("sip:param.example.com;transport=tls")},
	}
	if got, want := identities(cert), []string{"example.com", "pbx.example.com"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range 2 * maxIdentities {
		cert.DNSNames = append(cert.DNSNames, string(rune('a'+len(cert.DNSNames)%26))+string(rune('a'+len(cert.DNSNames)/26))+".example.com")
	}
	if got := len(identities(cert)); got != maxIdentities {
		t.Errorf("%d names are kept, want %d", got, maxIdentities)
	}
}
