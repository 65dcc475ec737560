package media

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"carillon/call"
	"carillon/rtp"
	"carillon/srtp"
)

// inline returns a key of so many octets, all of them n.
func inline(n byte, size int) string {
	return "inline:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, size))
}

// ourLines returns the values of the a=crypto lines of a description.
func ourLines(description []byte) (lines [][]string) {
	for line := range strings.Lines(string(description)) {
		if rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "a=crypto:"); ok {
			lines = append(lines, strings.Fields(rest))
		}
	}
	return lines
}

// told is what a phone knows after an offer with crypto lines of its own: our line, and both keys.
type told struct {
	tag, suite string
	send       *srtp.Sender
	receive    *srtp.Receiver
}

// offerLines has a phone offer crypto lines to a plain side, which answers, and reads our answer. chosen is the key of the
// line that ought to be taken.
func offerLines(s *Session, a, b *phone, chosen string, lines ...string) told {
	t := a.t
	t.Helper()
	offered, refusal := s.Offer(call.Customer, a.sdp("RTP/SAVP", lines...), plainLeg)
	if refusal != nil {
		t.Fatalf("%q: %+v", lines, *refusal)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil {
		t.Fatalf("%q: %+v", lines, *refusal)
	}
	a.learn(answered)
	got := ourLines(answered)
	if len(got) != 1 || len(got[0]) != 3 {
		t.Fatalf("%q is answered with the lines %q; want one, without parameters", lines, got)
	}
	x := told{tag: got[0][0], suite: got[0][1]}
	suite, ok := srtp.ParseSuite(x.suite)
	if !ok {
		t.Fatalf("%q is answered with %q", lines, x.suite)
	}
	for i, text := range []string{chosen, got[0][2]} {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "inline:"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := srtp.ParseKey(suite, raw)
		if err != nil {
			t.Fatalf("%q is answered with %s and %s, of which key %d is no key", lines, x.suite, text, i)
		}
		if i == 0 {
			x.send, err = srtp.NewSender(key)
		} else {
			x.receive, err = srtp.NewReceiver(key, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// say sends a packet and a report under the phone's key, and hears one of each under ours.
func (x told) talk(a, b *phone) {
	t := a.t
	t.Helper()
	packet, err := x.send.Protect(make([]byte, 0, 512), a.packet("under the line's key"))
	if err != nil {
		t.Fatal(err)
	}
	a.write(a.rtp, packet, a.far)
	b.hear("under the line's key")
	report, err := x.send.ProtectRTCP(make([]byte, 0, 512), a.named(rtp.AppendRR(nil, a.ssrc), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	a.secure = false // what follows is protected already
	a.sendRTCP(report)
	b.hearReport("alice")
	b.send("under ours")
	got, ok := a.read(a.rtp, patience)
	if !ok {
		t.Fatal("nothing came back")
	}
	if got, err = x.receive.Unprotect(got[:0], got); err != nil || !bytes.HasSuffix(got, []byte("under ours")) {
		t.Fatalf("%s: %q, %v", x.suite, got, err)
	}
	b.sendReport("bob")
	if got, ok = a.read(a.rtcp, patience); !ok {
		t.Fatal("no report came back")
	}
	if got, err = x.receive.UnprotectRTCP(got[:0], got); err != nil || !bytes.Contains(got, []byte("testbob")) {
		t.Fatalf("%s: %q, %v", x.suite, got, err)
	}
}

// Each suite is taken where it is offered, under its own name and the one that AWS writes, and answered with the tag and the
// spelling of the offer (RFC 4568 section 5.1.2).
func TestEverySuiteInEverySpelling(t *testing.T) {
	p := newPlane(t, nil)
	for name, size := range map[string]int{
		"AEAD_AES_128_GCM": 28, "AEAD_AES_256_GCM": 44,
		"AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30, "AES_128_CM_HMAC_SHA1_80": 30, "AES_128_CM_HMAC_SHA1_32": 30,
		"AES_192_CM_HMAC_SHA1_80": 38, "AES_192_CM_HMAC_SHA1_32": 38, "AES_CM_192_HMAC_SHA1_80": 38, "AES_CM_192_HMAC_SHA1_32": 38,
		"AES_256_CM_HMAC_SHA1_80": 46, "AES_256_CM_HMAC_SHA1_32": 46, "AES_CM_256_HMAC_SHA1_80": 46, "AES_CM_256_HMAC_SHA1_32": 46,
		"aes_cm_256_hmac_sha1_80": 46,
	} {
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		x := offerLines(s, a, b, inline(5, size), "5 "+name+" "+inline(5, size))
		if x.tag != "5" || x.suite != name {
			t.Errorf("%s is answered as %s %s; want its tag and its spelling", name, x.tag, x.suite)
		}
		x.talk(a, b)
		suite, _ := srtp.ParseSuite(name)
		if r := s.Close().Legs[call.Customer]; r.Suite != suite.String() || r.Protected != 2 || r.Unprotected != 2 || r.PlainSent != 0 {
			t.Errorf("%s: %+v; want 2 packets protected each way under %v", name, r, suite)
		}
	}
}

// Of several lines the first that can be used is taken, not the best, and answered with what it says of itself.
func TestFirstUsableLine(t *testing.T) {
	const cm, name = "AES_CM_128_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_80"
	good, better := "1 "+cm+" "+inline(1, 30), "2 AEAD_AES_256_GCM "+inline(2, 44)
	p := newPlane(t, nil)
	for _, tt := range []struct {
		name, want, key string
		lines           []string
	}{
		{"the first, although a better one follows", "1 " + cm, inline(1, 30), []string{good, better}},
		{"the other way round", "2 AEAD_AES_256_GCM", inline(2, 44), []string{better, good}},
		{"behind suites we do not have", "1 " + cm, inline(1, 30), []string{"8 F8_128_HMAC_SHA1_80 " + inline(8, 30), "9 NULL_HMAC_SHA1_80 " + inline(8, 30), good}},
		{"behind parameters that we cannot heed", "1 " + cm, inline(1, 30), []string{
			"2 " + cm + " " + inline(2, 30) + " UNENCRYPTED_SRTP", "3 " + cm + " " + inline(3, 30) + " UNENCRYPTED_SRTCP",
			"4 " + cm + " " + inline(4, 30) + " UNAUTHENTICATED_SRTP", "5 " + cm + " " + inline(5, 30) + " KDR=3", "6 " + cm + " " + inline(6, 30) + " NEW=1", good}},
		{"behind lines that cannot be read", "1 " + cm, inline(1, 30), []string{
			"", "x", "x " + cm + " " + inline(2, 30), "1234567890 " + cm + " " + inline(2, 30), "3 " + cm + " " + inline(2, 30) + " x=" + strings.Repeat("y", 512), good}},
		{"behind keys of other sizes", "1 " + cm, inline(1, 30), []string{
			"2 " + cm + " " + inline(2, 29), "3 " + cm + " " + inline(2, 31), "4 AEAD_AES_128_GCM " + inline(2, 30), "5 " + cm + " inline:AAAAA", good}},
		{"behind lifetimes that are none", "1 " + cm, inline(1, 30), []string{
			"2 " + cm + " " + inline(2, 30) + "|2^49", "3 " + cm + " " + inline(2, 30) + "|0", "4 " + cm + " " + inline(2, 30) + "|01", good}},
		{"behind several keys", "1 " + cm, inline(1, 30), []string{"2 " + cm + " " + inline(2, 30) + "|1:4;" + inline(3, 30) + "|2:4", good}},
		{"with a lifetime and a hint", "3 " + cm, inline(3, 30), []string{"3 " + cm + " " + inline(3, 30) + "|2^31 WSH=128 -LATER=1", good}},
		{"with the lifetime of all", "3 " + cm, inline(3, 30), []string{"3 " + cm + " " + inline(3, 30) + "|281474976710656"}},
		{"one tag twice, the suite tells which", "1 " + cm, inline(1, 30), []string{"1 F8_128_HMAC_SHA1_80 " + inline(8, 30), good}},
		{"one tag and suite twice", "1 " + cm, inline(1, 30), []string{good, "1 " + cm + " " + inline(2, 30)}},
		{"tag 0", "0 " + cm, inline(1, 30), []string{"0 " + cm + " " + inline(1, 30)}},
		{"zeros before the tag", "007 " + name, inline(7, 46), []string{"007 " + name + " " + inline(7, 46)}},
		{"the highest tag", "999999999 " + cm, inline(1, 30), []string{"999999999 " + cm + " " + inline(1, 30)}},
		{"a key without padding", "1 AEAD_AES_128_GCM", inline(1, 28), []string{"1 AEAD_AES_128_GCM " + strings.TrimRight(inline(1, 28), "=")}},
	} {
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		x := offerLines(s, a, b, tt.key, tt.lines...)
		if got := x.tag + " " + x.suite; got != tt.want {
			t.Errorf("%s: answered with %q; want %q", tt.name, got, tt.want)
			continue
		}
		x.talk(a, b)
		s.Close()
	}
}

// Whoever set up the phone is told what is wrong with each line, and nobody what is in it.
func TestRefusedLinesSayWhy(t *testing.T) {
	const cm = "AES_CM_128_HMAC_SHA1_80"
	key := inline(1, 30)
	p := newPlane(t, nil)
	for _, tt := range []struct {
		lines []string
		extra string
		want  string
	}{
		{nil, "", "the offer has no a=crypto line"},
		{nil, "a=fingerprint:SHA-256 00:11\r\na=setup:actpass\r\n", "the offer has a key for DTLS-SRTP (a=fingerprint), and only those of a=crypto (RFC 4568) are taken"},
		{[]string{"1 " + cm + " " + key + " UNENCRYPTED_SRTP"}, "", "line 1 (" + cm + "): UNENCRYPTED_SRTP asks for media that anybody can hear"},
		{[]string{"1 F8_128_HMAC_SHA1_80 " + key, "2 " + cm + " " + key + " UNENCRYPTED_SRTCP"}, "",
			"line 1 (F8_128_HMAC_SHA1_80): this node does not have its suite; line 2 (" + cm + "): UNENCRYPTED_SRTCP asks for reports that anybody can read"},
		{[]string{"1 AEAD_AES_256_GCM " + key}, "", "line 1 (AEAD_AES_256_GCM): its key and salt have 30 octets, and the suite takes 44"},
		{[]string{"1 " + cm + " " + key + "|2^64"}, "", "line 1 (" + cm + "): its lifetime is not a number of packets from 1 to 2^48 without leading zeros"},
		{[]string{"1 " + cm + " " + key + "|1:200"}, "", "line 1 (" + cm + "): its MKI is not a number with a length of 1 to 128 octets that it fits into"},
		{[]string{"1 " + cm + " " + key + " KDR=2"}, "", "line 1 (" + cm + "): KDR asks for session keys that change, which this node does not have"},
		{[]string{cm + " " + key}, "", "line 1: it lacks its tag, its suite or its key"},
		{[]string{"1 " + key + " " + cm, "2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA x", "3 " + strings.Repeat("A_", 17) + " " + key}, "",
			"line 1: its key does not follow the word inline; line 2: its key does not follow the word inline; line 3: this node does not have its suite"},
		{[]string{"1 A_1 " + key, "1 A_2 " + key, "1 A_3 " + key, "1 A_4 " + key, "1 A_5 " + key}, "",
			"line 1 (A_1): this node does not have its suite; line 2 (A_2): this node does not have its suite; line 3 (A_3): this node does not have its suite; and 2 more"},
	} {
		s := open(t, p, call.Customer, secureLeg)
		a := newPhone(t, 1)
		a.extra = tt.extra
		_, refusal := s.Offer(call.Customer, a.sdp("RTP/SAVP", tt.lines...), plainLeg)
		if reason(refusal) != call.ReasonNoCommonSuite || refusal.Detail != tt.want {
			t.Errorf("%q: %+v\nwant %s", tt.lines, refusal, tt.want)
		}
		s.Close()
	}
	// What lies beyond the lines that are read is not there.
	s := open(t, p, call.Customer, secureLeg)
	many := append(slicesOf(16, "1 A_1 "+key), "1 "+cm+" "+key)
	if _, refusal := s.Offer(call.Customer, newPhone(t, 1).sdp("RTP/SAVP", many...), plainLeg); reason(refusal) != call.ReasonNoCommonSuite {
		t.Errorf("the 17th line: %v", refusal)
	}
	// A key where SRTP is optional says how the phone is set.
	_, refusal := s.Offer(call.Customer, newPhone(t, 1).sdp("RTP/AVP", "1 "+cm+" "+key), plainLeg)
	if want := "the offer is RTP/AVP with an a=crypto key, which leaves SRTP optional"; reason(refusal) != call.ReasonMediaNotEncrypted ||
		refusal.Detail != want || !strings.Contains(refusal.Fix, "mandatory") {
		t.Errorf("%+v; want %s", refusal, want)
	}
}

func slicesOf(n int, line string) (lines []string) {
	for range n {
		lines = append(lines, line)
	}
	return lines
}

// An answer that takes none of our lines says why, too.
func TestRefusedAnswersSayWhy(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	offered, refusal := s.Offer(call.Customer, a.offer(""), secureLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	ours := ourLines(offered)
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{nil, "the answer has no a=crypto line"},
		{[]string{"9 AEAD_AES_128_GCM " + inline(1, 28)}, "line 1 (AEAD_AES_128_GCM): no line with its tag was offered"},
		{[]string{"1 AES_CM_256_HMAC_SHA1_80 " + inline(1, 46)}, "line 1 (AES_CM_256_HMAC_SHA1_80): the line with its tag was offered for AEAD_AES_128_GCM"},
		{[]string{"1 AEAD_AES_128_GCM " + ours[0][2]}, "line 1 (AEAD_AES_128_GCM): its key is one that this node made"},
	} {
		_, refusal := s.Answer(call.Carrier, b.sdp("RTP/SAVP", tt.lines...))
		if reason(refusal) != call.ReasonNoCommonSuite || refusal.Detail != tt.want {
			t.Errorf("%q: %+v\nwant %s", tt.lines, refusal, tt.want)
		}
	}
	// The tag is a number, and AWS's spelling another name of the suite.
	for _, line := range []string{"001 AEAD_AES_128_GCM " + inline(1, 28), "4 AES_CM_256_HMAC_SHA1_80 " + inline(2, 46), "4 AES_256_CM_HMAC_SHA1_80 " + inline(3, 46)} {
		if _, refusal := s.Answer(call.Carrier, b.sdp("RTP/SAVP", line)); refusal != nil {
			t.Errorf("%q: %+v", line, *refusal)
		}
	}
}

// We offer what is configured, in that order, by IANA's names and without parameters; 192 bits and short tags never by
// default. A peer that has a key of ours under a suite that we do not offer is offered that one first, as it spelled it.
func TestOurOffer(t *testing.T) {
	form := regexp.MustCompile(`^inline:[A-Za-z0-9+/]+=*$`)
	for _, tt := range []struct {
		suites []srtp.Suite
		want   string
	}{
		{nil, "1 AEAD_AES_128_GCM 2 AEAD_AES_256_GCM 3 AES_CM_128_HMAC_SHA1_80 4 AES_256_CM_HMAC_SHA1_80"},
		{[]srtp.Suite{srtp.AES_CM_128_HMAC_SHA1_32, srtp.AEAD_AES_128_GCM}, "1 AES_CM_128_HMAC_SHA1_32 2 AEAD_AES_128_GCM"},
	} {
		p := newPlane(t, func(c *Config) { c.Suites = tt.suites })
		s := open(t, p, call.Customer, plainLeg)
		offered, refusal := s.Offer(call.Customer, newPhone(t, 1).offer(""), secureLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		var got []string
		for _, line := range ourLines(offered) {
			got = append(got, line[0], line[1])
			if len(line) != 3 || !form.MatchString(line[2]) {
				t.Errorf("offered a line of %d parts: %q", len(line), line)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("offered %q; want %s", got, tt.want)
		}
	}
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	x := offerLines(s, a, b, inline(2, 38), "2 AES_CM_192_HMAC_SHA1_32 "+inline(2, 38))
	x.talk(a, b)
	s.Confirm(call.Customer)
	offered, refusal := s.Offer(call.Carrier, b.offer(""), secureLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	got := ourLines(offered)
	tags := map[string]bool{}
	for _, line := range got {
		tags[line[0]] = true
	}
	if len(got) != 5 || len(tags) != 5 || fmt.Sprint(got[0][:2]) != "[2 AES_CM_192_HMAC_SHA1_32]" {
		t.Errorf("re-offered %d lines under %d tags, the first %q; want 5, 5 and that of the call", len(got), len(tags), got[0][:2])
	}
	if _, refusal := s.Answer(call.Customer, a.sdp("RTP/SAVP", "2 AES_CM_192_HMAC_SHA1_32 "+inline(2, 38))); refusal != nil {
		t.Fatal(*refusal)
	}
	x.talk(a, b)
}

// FuzzLines offers two crypto lines of any form on a leg that requires SRTP. What is taken is a key of the offer under a suite
// that we have, answered on its own line; nothing of it goes to the other side, and what cannot be taken has a reason without
// any of its text.
func FuzzLines(f *testing.F) {
	p := newPlane(f, func(c *Config) { c.DrainTime, c.PortLo, c.PortHi = 1, 28000, 29999 })
	a, b := newPhone(f, 1), newPhone(f, 2)
	plain := b.sdp("RTP/AVP")
	f.Add("1 AES_CM_128_HMAC_SHA1_80 "+inline(1, 30)+"|2^20|1:4 WSH=64", "")
	f.Add("1 AES_CM_256_HMAC_SHA1_80 "+inline(1, 46)+" UNENCRYPTED_SRTP", "01 AEAD_AES_128_GCM "+inline(1, 28))
	f.Add("1 F8_128_HMAC_SHA1_80 "+inline(1, 30), "1 AES_192_CM_HMAC_SHA1_32 "+inline(1, 38)+"|1:128")
	f.Add("x", "9 A_B "+inline(2, 30)+";"+inline(3, 30))
	s := open(f, p, call.Customer, secureLeg)
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, line := range []string{one, two} {
			if strings.ContainsAny(line, "\r\n\x00") {
				return
			}
		}
		offered, refusal := s.Offer(call.Customer, a.sdp("RTP/SAVP", one, two), plainLeg)
		if refusal != nil {
			detail := strings.ToLower(refusal.Detail)
			for _, line := range []string{one, two} {
				if fields := strings.Fields(strings.ToLower(line)); len(fields) > 1 {
					detail = strings.ReplaceAll(detail, "("+fields[1]+")", "") // a name, which may be what a key is elsewhere
				}
			}
			for _, line := range []string{one, two} {
				_, secret, _ := strings.Cut(strings.ToLower(line), "inline:")
				if len(secret) > 8 && strings.Contains(detail, secret[:8]) {
					t.Fatalf("the reason holds a key: %s", refusal.Detail)
				}
			}
			if refusal.Reason != call.ReasonNoCommonSuite || !strings.Contains(refusal.Detail, "line 1") || !strings.Contains(refusal.Detail, "line 2") {
				t.Fatalf("%q and %q: %+v", one, two, *refusal)
			}
			return
		}
		reply, refusal := s.Answer(call.Carrier, plain)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		ours := ourLines(reply)
		if len(ours) != 1 || len(ours[0]) != 3 || strings.Contains(string(offered), "crypto") {
			t.Fatalf("%q and %q: answered\n%s", one, two, reply)
		}
		taken := 0
		for _, line := range []string{one, two} {
			fields := strings.Fields(line)
			if len(fields) > 2 && fields[0] == ours[0][0] && fields[1] == ours[0][1] && !strings.Contains(strings.ToUpper(line), " UN") {
				taken++
			}
		}
		key := s.legs[call.Customer].now.key
		if suite, ok := srtp.ParseSuite(ours[0][1]); taken == 0 || !ok || key.Suite() != suite || key.Shares(s.legs[call.Customer].now.line.key) {
			t.Fatalf("%q and %q: answered %q under %v", one, two, ours[0], key)
		}
	})
}
