package phone

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/sdp"
	"carillon/sip"
	"carillon/srtp"
)

// send sends text, its line ends made CRLF, to the phone and returns the final answer.
func (u *uas) send(p *Phone, text string) *sip.Message {
	u.t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	out := strings.ReplaceAll(head, "\n", "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(body)) + body
	if _, err := u.conn.WriteToUDPAddrPort([]byte(out), p.Addr()); err != nil {
		u.t.Fatal(err)
	}
	if strings.HasPrefix(text, "ACK") {
		return nil
	}
	buf := make([]byte, 65535)
	for {
		_ = u.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, from, err := u.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			u.t.Fatalf("no answer to\n%s\n%v", text, err)
		}
		m := new(sip.Message)
		if err := m.Parse(bytes.Clone(buf[:n])); err != nil {
			u.t.Fatal(err)
		}
		method, _, _ := strings.Cut(text, " ")
		if u.from = from; !m.IsRequest() && m.Status() >= 200 && string(m.CSeqMethod()) == method && strings.Contains(text, fmt.Sprintf("CSeq: %d ", m.CSeq())) {
			return m
		}
	}
}

// request writes the head of a request to the phone; tag is the phone's, empty outside of dialogs.
func (u *uas) request(p *Phone, method string, seq int, tag string, headers ...string) string {
	to := "<sip:x@" + p.Addr().String() + ">"
	if tag != "" {
		to += ";tag=" + tag
	}
	lines := []string{
		method + " sip:x@" + p.Addr().String() + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-%s-%d", u.addr(), method, seq),
		"From: <sip:test@" + u.addr().String() + ">;tag=far", "To: " + to, "Call-ID: one-call",
		fmt.Sprintf("CSeq: %d %s", seq, method), "Contact: <sip:test@" + u.addr().String() + ">",
	}
	return strings.Join(append(lines, headers...), "\n") + "\n\n"
}

func describe(lines string) string {
	return "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" + lines
}

const sdpType = "Content-Type: application/sdp"

func TestOutsideDialogs(t *testing.T) {
	u, p := newUAS(t), newPhone(t, Config{})
	for i, tt := range []struct {
		name, method, tag string
		headers           []string
		want              int
	}{
		{"nobody handles calls", "INVITE", "", nil, 480},
		{"options", "OPTIONS", "", nil, 200},
		{"register", "REGISTER", "", nil, 405},
		{"a cancel of nothing", "CANCEL", "", nil, 481},
		{"a bye of no dialog", "BYE", "ours", nil, 481},
		{"an invite of no dialog", "INVITE", "ours", nil, 481},
		{"malformed", "OPTIONS", "", []string{"Max-Forwards: many"}, 400},
	} {
		if got := u.send(p, u.request(p, tt.method, i+1, tt.tag, tt.headers...)); got.Status() != tt.want {
			t.Errorf("%s: answered %d, want %d", tt.name, got.Status(), tt.want)
		}
	}
	p.Handle(func(in *Incoming) { t.Error("a call that wants what we cannot do reached the handler") })
	got := u.send(p, u.request(p, "INVITE", 90, "", "Require: 100rel, timer"))
	if got.Status() != 420 || lines(got, sip.HdrUnsupported) != "100rel, timer" {
		t.Errorf("answered %d, unsupported %q", got.Status(), lines(got, sip.HdrUnsupported))
	}
	if n := p.Counters().CallsNow.Load(); n != 0 {
		t.Errorf("%d calls are left", n)
	}
}

// TestLateOffer: the 2xx carries our offer and the ACK the answer.
func TestLateOffer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		u, p := newUAS(t), newPhone(t, Config{})
		answered := answering(t, p, func() Answer { return Answer{Secure: secure} })
		ok := u.send(p, u.request(p, "INVITE", 1, ""))
		d, err := sdp.Parse(ok.Body())
		if err != nil || ok.Status() != 200 || len(d.Media) != 1 || (d.Media[0].Proto == "RTP/SAVP") != secure {
			t.Fatalf("answered %d, %v:\n%s", ok.Status(), err, ok.Body())
		}
		c := await(t, "the call", answered)
		// A plain answer: right for the plain offer, the end of the encrypted call.
		u.send(p, u.request(p, "ACK", 1, string(ok.To().Tag()), sdpType)+describe("m=audio 4000 RTP/AVP 0\r\n"))
		await(t, "ACK", c.Confirmed())
		if secure {
			u.answer(u.next(sip.Bye), 200, "", nil)
			await(t, "the end", c.Done())
			if s := c.Stats(); s.PacketsSent+s.RTCPSent != 0 || s.Profile != "" {
				t.Errorf("media without agreement: %+v", s)
			}
			continue
		}
		eventually(t, "audio", func() bool { return c.Stats().PacketsSent > 2 })
		if s := c.Stats(); s.Profile != "RTP/AVP" || s.Remote.Port() != 4000 {
			t.Errorf("agreed on %+v", s)
		}
	}
}

// TestInsideDialog: what may come during a call, and that nothing of it weakens the call.
func TestInsideDialog(t *testing.T) {
	u, p := newUAS(t), newPhone(t, Config{})
	answered := answering(t, p, func() Answer { return Answer{} })
	line := testTerms(t, srtp.AES_CM_128_HMAC_SHA1_80).keys[0].line() + "\r\n"
	secured := func(port int) string {
		return describe(fmt.Sprintf("m=audio %d RTP/SAVP 0\r\n", port) + line)
	}
	ok := u.send(p, u.request(p, "INVITE", 1, "", sdpType)+secured(4000))
	tag := string(ok.To().Tag())
	u.send(p, u.request(p, "ACK", 1, tag))
	c := await(t, "the call", answered)
	await(t, "ACK", c.Confirmed())
	key := cryptoLine(t, ok)

	check := func(what string, got *sip.Message, want int) {
		t.Helper()
		if got.Status() != want {
			t.Errorf("%s: answered %d, want %d", what, got.Status(), want)
		}
	}
	check("INFO", u.send(p, u.request(p, "INFO", 2, tag)), 200)
	check("MESSAGE", u.send(p, u.request(p, "MESSAGE", 3, tag)), 405)
	check("an old number", u.send(p, u.request(p, "INFO", 2, tag, "X-Again: 1")), 200) // absorbed as a repetition
	check("a number twice", u.send(p, strings.Replace(u.request(p, "INFO", 3, tag), "-INFO-3", "-INFO-again", 1)), 500)
	check("UPDATE without offer", u.send(p, u.request(p, "UPDATE", 4, tag)), 200)

	check("UPDATE in the clear", u.send(p, u.request(p, "UPDATE", 5, tag, sdpType)+describe("m=audio 4000 RTP/AVP 0\r\n")), 488)
	refused := u.send(p, u.request(p, "INVITE", 6, tag, sdpType)+describe("m=audio 4000 RTP/AVP 0\r\n"))
	check("re-INVITE in the clear", refused, 488)
	if s := c.Stats(); s.Profile != "RTP/SAVP" || s.Remote.Port() != 4000 {
		t.Errorf("a refused offer changed %+v", s)
	}

	again := u.send(p, u.request(p, "INVITE", 7, tag, sdpType)+secured(4002))
	check("re-INVITE", again, 200)
	if cryptoLine(t, again) != key {
		t.Error("the key changed although nothing of ours did")
	}
	if s := c.Stats(); s.Remote.Port() != 4002 {
		t.Errorf("media go to %v", s.Remote)
	}
	check("re-INVITE before the ACK", u.send(p, u.request(p, "INVITE", 8, tag, sdpType)+secured(4004)), 491)
	u.send(p, u.request(p, "ACK", 7, tag))

	eventually(t, "the ACK counts", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.tx == nil
	})
	offered := u.send(p, u.request(p, "INVITE", 9, tag))
	check("re-INVITE without offer", offered, 200)
	if cryptoLine(t, offered) != key {
		t.Error("the offer of a refresh has another key")
	}
	u.send(p, u.request(p, "ACK", 9, tag, sdpType)+secured(4006))
	eventually(t, "the answer in the ACK counts", func() bool { return c.Stats().Remote.Port() == 4006 })

	check("BYE", u.send(p, u.request(p, "BYE", 10, tag, `Reason: Q.850;cause=16;text="bye"`)), 200)
	await(t, "the end", c.Done())
	if c.Ended() != EndRemote || c.RemoteReason() != `Q.850;cause=16;text="bye"` {
		t.Errorf("ended %q, reason %q", c.Ended(), c.RemoteReason())
	}
	check("BYE again", u.send(p, u.request(p, "BYE", 11, tag)), 481)
}

// cryptoLine returns suite and key of the only crypto line of an answer.
func cryptoLine(t *testing.T, m *sip.Message) string {
	t.Helper()
	d, err := sdp.Parse(m.Body())
	if err != nil || len(d.Media) == 0 || len(d.Media[0].Crypto) != 1 {
		t.Fatalf("no key in the answer %d: %v", m.Status(), err)
	}
	return string(d.Media[0].Crypto[0])
}
