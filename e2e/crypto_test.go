package e2e_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
)

// TestCryptoLines: what a phone may write into its a=crypto lines (RFC 4568) against a connector that requires encryption.
// A line that can be used is answered with its tag and its spelling; where there is none the call is refused with 488, and
// the phone's owner reads in the Warning and in the record what is wrong with each.
func TestCryptoLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	handle, _ := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	w.carrier("upstream", handle, "+1212")
	const cm, name = "AES_CM_128_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_80"
	key := func(size int) string { return "inline:" + base64.StdEncoding.EncodeToString(make([]byte, size)) }
	for _, tt := range []struct {
		name, profile string
		lines         []string
		answer        string // begins our line; empty for a refusal
		warn, reason  string
		sentence      string // is part of what is said
	}{
		{name: "AWS's spelling", lines: []string{"1 " + name + " " + key(46)}, answer: "1 " + name + " inline:"},
		{name: "the second of two", lines: []string{"1 F8_128_HMAC_SHA1_80 " + key(30), "02 " + cm + " " + key(30) + "|2^31|1:4 WSH=64"}, answer: "02 " + cm + " inline:"},
		{name: "the first although it is weaker", lines: []string{"4 AES_CM_128_HMAC_SHA1_32 " + key(30), "5 AEAD_AES_256_GCM " + key(44)}, answer: "4 AES_CM_128_HMAC_SHA1_32 inline:"},
		{name: "with feedback", profile: "RTP/SAVPF", lines: []string{"1 AES_192_CM_HMAC_SHA1_80 " + key(38)}, answer: "1 AES_192_CM_HMAC_SHA1_80 inline:"},
		{name: "not encrypted", lines: []string{"1 " + cm + " " + key(30) + " UNENCRYPTED_SRTP", "2 " + cm + " " + key(30) + " UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP"}, warn: "306", reason: "no_common_suite",
			sentence: "None of the SRTP crypto lines can be used. Line 1 (" + cm + "): UNENCRYPTED_SRTP asks for media that anybody can hear; line 2 (" + cm + "): UNENCRYPTED_SRTCP asks for reports that anybody can read."},
		{name: "a mandatory parameter", lines: []string{"1 " + cm + " " + key(30) + " KDR=4"}, warn: "306", reason: "no_common_suite",
			sentence: "Line 1 (" + cm + "): KDR asks for session keys that change, which this node does not have."},
		{name: "a key of another size", lines: []string{"1 AEAD_AES_256_GCM " + key(30)}, warn: "306", reason: "no_common_suite",
			sentence: "Line 1 (AEAD_AES_256_GCM): its key and salt have 30 octets, and the suite takes 44."},
		{name: "no line", warn: "306", reason: "no_common_suite", sentence: "The offer has no a=crypto line."},
		{name: "DTLS", profile: "UDP/TLS/RTP/SAVPF", warn: "306", reason: "no_common_suite", sentence: "Only a=crypto keys (RFC 4568) are taken, not DTLS."},
		{name: "optional SRTP", profile: "RTP/AVP", lines: []string{"1 " + cm + " " + key(30)}, warn: "302", reason: "media_not_encrypted",
			sentence: "The offer is RTP/AVP with an a=crypto key, which leaves SRTP optional."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(true)
			p := w.customerOf(c)
			profile := tt.profile
			if profile == "" {
				profile = "RTP/SAVP"
			}
			body := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 " + profile + " 0\r\n"
			for _, line := range tt.lines {
				body += "a=crypto:" + line + "\r\n"
			}
			p.send("INVITE", []byte(body))
			if tt.answer != "" {
				got := string(p.final("INVITE", 200).body)
				if !strings.Contains(got, "m=audio ") || !strings.Contains(got, " "+profile+" ") || strings.Count(got, "a=crypto:") != 1 ||
					!strings.Contains(got, "\r\na=crypto:"+tt.answer) {
					t.Errorf("answered with\n%s\nwant the line %s", got, tt.answer)
				}
				p.send("BYE", nil)
				p.final("BYE", 200)
				return
			}
			m := p.final("INVITE", 488)
			r := w.records(c, 1)[0]
			if warning := m.header["warning"]; !strings.HasPrefix(warning, tt.warn+" ") || !strings.Contains(warning, tt.sentence) {
				t.Errorf("Warning: %s\nwant %s … %s", warning, tt.warn, tt.sentence)
			}
			if r.Reason != tt.reason || r.Status != 488 || !strings.Contains(r.Sentence, tt.sentence) {
				t.Errorf("record: %d %s %q; want 488 %s %q", r.Status, r.Reason, r.Sentence, tt.reason, tt.sentence)
			}
			if secret := key(12)[len("inline:"):][:10]; strings.Contains(fmt.Sprint(m.header, r), secret) {
				t.Error("a key is in the answer or in the record")
			}
		})
	}
}

// customerOf connects a customer of a connector over TLS.
func (w *world) customerOf(c trunkOf) *party {
	w.t.Helper()
	conn, err := tls.Dial("tcp4", w.target(transport.TLS).String(), &tls.Config{ServerName: c.host, RootCAs: w.roots()})
	if err != nil {
		w.t.Fatal(err)
	}
	p := newParty(w.t, "customer", "TLS", conn)
	p.from("sip:"+customerNumber+"@"+c.host, "sip:"+outsideNumber+"@"+c.host)
	return p
}

// TestKeyLifetime: a phone gives its key a lifetime and goes on under it. It is not heard past that, the call ends when that
// has lasted as long as silence may, and everybody reads why; one that changes its key in time goes on.
func TestKeyLifetime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.MediaSilence = 2 * time.Second })
	handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	w.carrier("upstream", handle, "+1212")
	for _, renews := range []bool{true, false} {
		c := w.connector(true)
		p, s := w.customerOf(c), newSound(t, newJudge(t), "127.0.0.1", "AES_CM_128_HMAC_SHA1_80")
		s.lifetime = "|2^5"
		p.send("INVITE", s.sdp())
		s.learn(p.final("INVITE", 200).body)
		s.play(true)
		far := receive(t, "the carrier's call", taken)
		eventually(t, "what the lifetime allows", func() bool { return far.Stats().PacketsReceived == 32 })
		if renews {
			s.lifetime = ""
			s.play(false) // what is sent under a key that the node does not have yet, or no more, is not authentic
			s.rekey()
			p.send("INVITE", s.sdp())
			s.learn(p.final("INVITE", 200).body)
			s.play(true)
			eventually(t, "the customer, under a new key", func() bool { return far.Stats().PacketsReceived > 100 })
			p.send("BYE", nil)
			p.final("BYE", 200)
		} else {
			bye := p.await("BYE")
			p.answer(bye, 200, nil)
			if !strings.Contains(bye.header["reason"], "lifetime") || far.Stats().PacketsReceived != 32 {
				t.Errorf("the BYE has the Reason %q, %d packets were heard; want 32", bye.header["reason"], far.Stats().PacketsReceived)
			}
		}
		s.play(false)
		r := w.records(c, 1)[0]
		want := map[bool]string{true: "hangup", false: "media_silence"}[renews]
		if r.Reason != want || r.Customer.Media.AuthFailures != 0 || !renews && (r.Customer.Media.KeyUsedUp < 50 || !strings.Contains(r.Sentence, "lifetime")) {
			t.Errorf("renewed %v: the record has %s %q, %d packets past the lifetime, %d not authentic; want %s", renews, r.Reason, r.Sentence,
				r.Customer.Media.KeyUsedUp, r.Customer.Media.AuthFailures, want)
		}
		if shown := w.must("calls", "show", string(r.ID)); !renews && !strings.Contains(shown, "dropped: the lifetime of the peer's SRTP key") {
			t.Errorf("calls show:\n%s", shown)
		}
	}
}
