package interop

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/phone"
	"carillon/sip/transport"
	"carillon/srtp"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	pion "github.com/pion/srtp/v3"
)

// Package phone is the far end of many tests. Here it is itself held to a user agent that is not ours: signalling by
// sipgo, SRTP by pion, both over UDP and TCP, calling and being called.

// sipgoAgent is a user agent made of sipgo.
type sipgoAgent struct {
	addr    netip.AddrPort
	callers *sipgo.DialogClientCache
	callees *sipgo.DialogServerCache
}

// newSipgoAgent begins to serve at once, so that sipgo wants its handlers now; invited may be nil.
func newSipgoAgent(t *testing.T, proto transport.Proto, invited func(*sipgoAgent, *sip.Request, sip.ServerTransaction)) *sipgoAgent {
	t.Helper()
	ua, err := sipgo.NewUA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := sipgo.NewServer(ua)
	if err != nil {
		t.Fatal(err)
	}
	a := &sipgoAgent{}
	var serve func() error
	if proto == transport.TCP {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a.addr = l.Addr().(*net.TCPAddr).AddrPort()
		serve = func() error { return server.ServeTCP(l) }
	} else {
		l, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a.addr = l.LocalAddr().(*net.UDPAddr).AddrPort()
		serve = func() error { return server.ServeUDP(l) }
	}
	client, err := sipgo.NewClient(ua, sipgo.WithClientHostname("127.0.0.1"), sipgo.WithClientPort(int(a.addr.Port())))
	if err != nil {
		t.Fatal(err)
	}
	contact := sip.ContactHeader{Address: sip.Uri{
		User: "sipgo", Host: "127.0.0.1", Port: int(a.addr.Port()), UriParams: sip.NewParams(),
	}}
	contact.Address.UriParams.Add("transport", strings.ToLower(proto.String()))
	a.callers, a.callees = sipgo.NewDialogClientCache(client, contact), sipgo.NewDialogServerCache(client, contact)
	server.OnAck(func(r *sip.Request, tx sip.ServerTransaction) { _ = a.callees.ReadAck(r, tx) })
	server.OnBye(func(r *sip.Request, tx sip.ServerTransaction) {
		if a.callees.ReadBye(r, tx) != nil {
			_ = a.callers.ReadBye(r, tx)
		}
	})
	if invited != nil {
		server.OnInvite(func(r *sip.Request, tx sip.ServerTransaction) { invited(a, r, tx) })
	}
	go func() { _ = serve() }()
	t.Cleanup(func() { _ = ua.Close() })
	return a
}

// echoMedia sends every packet back to where it came from, under pion's SRTP where there are keys.
type echoMedia struct {
	conn     *net.UDPConn
	suite    string // empty in the clear
	own      []byte
	from, to *pion.Context
}

// profiles are pion's names for the suites of the tests, with the length of the master key.
var profiles = map[string]struct {
	profile pion.ProtectionProfile
	key     int
	salt    int
}{
	"AES_CM_128_HMAC_SHA1_80": {pion.ProtectionProfileAes128CmHmacSha1_80, 16, 14},
	"AEAD_AES_256_GCM":        {pion.ProtectionProfileAeadAes256Gcm, 32, 12},
}

func newEchoMedia(t *testing.T, suite string) *echoMedia {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	m := &echoMedia{conn: conn, suite: suite}
	t.Cleanup(func() { _ = conn.Close() })
	if suite != "" {
		p := profiles[suite]
		m.own = make([]byte, p.key+p.salt)
		if _, err := rand.Read(m.own); err != nil {
			t.Fatal(err)
		}
		if m.to, err = pion.CreateContext(m.own[:p.key], m.own[p.key:], p.profile); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// describe writes our description; tag is that of the crypto line.
func (m *echoMedia) describe(tag string) []byte {
	port := m.conn.LocalAddr().(*net.UDPAddr).Port
	profile, crypto := "RTP/AVP", ""
	if m.suite != "" {
		profile = "RTP/SAVP"
		crypto = fmt.Sprintf("a=crypto:%s %s inline:%s\r\n", tag, m.suite, base64.StdEncoding.EncodeToString(m.own))
	}
	return fmt.Appendf(nil, "v=0\r\no=sipgo 1 1 IN IP4 127.0.0.1\r\ns=echo\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
		"m=audio %d %s 0\r\n%sa=sendrecv\r\n", port, profile, crypto)
}

// take reads the phone's description, begins to echo and returns the tag of the crypto line taken.
func (m *echoMedia) take(sdp []byte) (string, error) {
	tag := ""
	if m.suite != "" {
		line := regexp.MustCompile(`a=crypto:(\d+) ` + m.suite + ` inline:([A-Za-z0-9+/=]+)`).FindSubmatch(sdp)
		if line == nil || !strings.Contains(string(sdp), "RTP/SAVP ") {
			return "", fmt.Errorf("no %s in the description", m.suite)
		}
		tag = string(line[1])
		key, err := base64.StdEncoding.DecodeString(string(line[2]))
		if err != nil {
			return "", err
		}
		p := profiles[m.suite]
		if len(key) != p.key+p.salt {
			return "", fmt.Errorf("key and salt have %d octets", len(key))
		}
		if m.from, err = pion.CreateContext(key[:p.key], key[p.key:], p.profile); err != nil {
			return "", err
		}
	} else if strings.Contains(string(sdp), "a=crypto") {
		return "", fmt.Errorf("a key in a plain description")
	}
	go m.echo()
	return tag, nil
}

func (m *echoMedia) echo() {
	buf := make([]byte, 2048)
	for {
		n, from, err := m.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		packet := buf[:n]
		if m.suite != "" {
			if packet, err = m.from.DecryptRTP(nil, packet, nil); err != nil {
				continue
			}
			if packet, err = m.to.EncryptRTP(nil, packet, nil); err != nil {
				continue
			}
		}
		if _, err := m.conn.WriteToUDPAddrPort(packet, from); err != nil {
			return
		}
	}
}

func newCarillonPhone(t *testing.T, proto transport.Proto) *phone.Phone {
	t.Helper()
	p, err := phone.New(phone.Config{Proto: proto})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// eachSipgo runs a test for each transport and protection.
func eachSipgo(t *testing.T, f func(*testing.T, transport.Proto, string)) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP} {
		for _, suite := range []string{"", "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"} {
			t.Run(proto.String()+"/"+or(suite, "plain"), func(t *testing.T) { t.Parallel(); f(t, proto, suite) })
		}
	}
}

// hearsItself waits until the phone's tone came back, without a fault on the way.
func hearsItself(t *testing.T, c *phone.Call, suite string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(c.Recent()) < 20*phone.FrameSize || c.Heard(1004) < 0.9; {
		if time.Now().After(deadline) {
			t.Fatalf("no echo: %+v", c.Stats())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if s := c.Stats(); s.Suite != suite || s.AuthFailures+s.Replays+s.WrongSource+s.Rejected != 0 {
		t.Errorf("media %+v, want suite %q and no faults", s, suite)
	}
}

func awaitEnd(t *testing.T, c *phone.Call, want phone.End) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the phone's call never ended")
	}
	if c.Ended() != want {
		t.Errorf("the phone's call ended %q, want %q", c.Ended(), want)
	}
}

func suitesOf(t *testing.T, name string) []srtp.Suite {
	t.Helper()
	if name == "" {
		return nil
	}
	if _, ok := srtp.ParseSuite(name); !ok {
		t.Fatalf("unknown suite %s", name)
	}
	// All are offered: the agent picks the line it wants, not the first.
	return phone.DefaultSuites()
}

func TestPhoneCallsSipgo(t *testing.T) {
	t.Parallel()
	eachSipgo(t, func(t *testing.T, proto transport.Proto, suite string) {
		p, media, ended := newCarillonPhone(t, proto), newEchoMedia(t, suite), make(chan error, 1)
		agent := newSipgoAgent(t, proto, func(agent *sipgoAgent, r *sip.Request, tx sip.ServerTransaction) {
			d, err := agent.callees.ReadInvite(r, tx)
			if err != nil {
				ended <- err
				return
			}
			defer d.Close()
			tag, err := media.take(r.Body())
			if err == nil {
				err = d.Respond(180, "Ringing", nil)
			}
			if err == nil {
				err = d.RespondSDP(media.describe(tag))
			}
			if err == nil {
				<-d.Context().Done()
			}
			ended <- err
		})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c, err := p.Dial(ctx, phone.Invite{
			To: "sip:+19995550100@" + agent.addr.String(), Target: agent.addr, Suites: suitesOf(t, suite), Audio: phone.Tone(1004),
		})
		if err != nil {
			t.Fatal(err)
		}
		hearsItself(t, c, suite)
		if err := c.Hangup(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestSipgoCallsPhone(t *testing.T) {
	t.Parallel()
	eachSipgo(t, func(t *testing.T, proto transport.Proto, suite string) {
		agent, p := newSipgoAgent(t, proto, nil), newCarillonPhone(t, proto)
		media, answered := newEchoMedia(t, suite), make(chan *phone.Call, 1)
		p.Handle(func(in *phone.Incoming) {
			if err := in.Ring(180, nil); err != nil {
				t.Error(err)
			}
			c, err := in.Answer(phone.Answer{Audio: phone.Tone(1004), Secure: suite != ""})
			if err != nil {
				t.Error(err)
			}
			answered <- c
		})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		to := sip.Uri{User: "+19995550100", Host: "127.0.0.1", Port: int(p.Addr().Port()), UriParams: sip.NewParams()}
		to.UriParams.Add("transport", strings.ToLower(proto.String()))
		d, err := agent.callers.Invite(ctx, to, media.describe("1"), sip.NewHeader("Content-Type", "application/sdp"))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.WaitAnswer(ctx, sipgo.AnswerOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := media.take(d.InviteResponse.Body()); err != nil {
			t.Fatal(err)
		}
		if err := d.Ack(ctx); err != nil {
			t.Fatal(err)
		}
		c := <-answered
		if c == nil {
			t.Fatal("the phone did not answer")
		}
		select {
		case <-c.Confirmed():
		case <-ctx.Done():
			t.Fatal("the phone never took the ACK")
		}
		hearsItself(t, c, suite)
		if err := d.Bye(ctx); err != nil {
			t.Error(err)
		}
		awaitEnd(t, c, phone.EndRemote)
	})
}

// TestSipgoIsRefused: refusal and cancellation as another stack sees them.
func TestSipgoIsRefused(t *testing.T) {
	t.Parallel()
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP} {
		t.Run(proto.String(), func(t *testing.T) {
			t.Parallel()
			agent, p := newSipgoAgent(t, proto, nil), newCarillonPhone(t, proto)
			cancelled := make(chan struct{})
			p.Handle(func(in *phone.Incoming) {
				if in.User != "ring" {
					status, err := strconv.Atoi(in.User)
					if err != nil {
						t.Error(err)
					}
					if err := in.Reject(status, ""); err != nil {
						t.Error(err)
					}
					return
				}
				if err := in.Ring(180, nil); err != nil {
					t.Error(err)
				}
				<-in.Context().Done()
				close(cancelled)
			})
			invite := func(ctx context.Context, user string, opts sipgo.AnswerOptions) error {
				to := sip.Uri{User: user, Host: "127.0.0.1", Port: int(p.Addr().Port()), UriParams: sip.NewParams()}
				to.UriParams.Add("transport", strings.ToLower(proto.String()))
				d, err := agent.callers.Invite(ctx, to, newEchoMedia(t, "").describe(""), sip.NewHeader("Content-Type", "application/sdp"))
				if err != nil {
					return err
				}
				defer d.Close()
				return d.WaitAnswer(ctx, opts)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			err := invite(ctx, "603", sipgo.AnswerOptions{})
			if refused, ok := err.(*sipgo.ErrDialogResponse); !ok || refused.Res.StatusCode != 603 {
				t.Errorf("got %v, want 603", err)
			}
			ringing, giveUp := context.WithCancel(ctx)
			err = invite(ringing, "ring", sipgo.AnswerOptions{OnResponse: func(r *sip.Response) error {
				if r.StatusCode == 180 {
					giveUp()
				}
				return nil
			}})
			giveUp()
			if err == nil {
				t.Error("a call nobody answered was answered")
			}
			select {
			case <-cancelled:
			case <-ctx.Done():
				t.Error("the phone never saw the CANCEL")
			}
		})
	}
}
