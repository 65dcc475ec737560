package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const key30 = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"

func lines(s ...string) []byte { return []byte(strings.Join(s, "\r\n") + "\r\n") }

func TestParse(t *testing.T) {
	d, err := Parse(lines("v=0", "o=- 1 2 IN IP4 198.51.100.1", "s=call", "b=AS:80", "c=IN IP4 198.51.100.1", "t=0 0", "a=sendonly",
		"m=audio 4000/2 RTP/SAVP 0 101", "b=TIAS:64000", "c=IN IP4 198.51.100.2/127", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000",
		"a=fmtp:101 0-15", "a=ptime:20", "a=rtcp:4009 IN IP4 198.51.100.3", "a=rtcp-mux", "a=recvonly", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key30,
		"m=image 5000 udptl t38", "a=T38FaxVersion:0", "m=application 9 TCP/MSRP *"))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Media) != 3 {
		t.Fatalf("%d sections; want 3", len(d.Media))
	}
	m := d.Media[0]
	want := Media{
		Type: "audio", Port: 4000, Count: 2, Proto: "RTP/SAVP", Direction: RecvOnly, PTime: 20, Mux: true,
		Formats: []Format{{Name: "0", Encoding: "PCMU/8000"}, {Name: "101", Encoding: "telephone-event/8000", Parameters: "0-15"}},
		Addr:    netip.MustParseAddr("198.51.100.2"), RTCP: netip.MustParseAddrPort("198.51.100.3:4009"),
		Crypto: []Secret{Secret("1 AES_CM_128_HMAC_SHA1_80 inline:" + key30)},
		first:  7, end: 18,
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("audio %+v; want %+v", m, want)
	}
	if x := d.Media[1]; x.Type != "image" || x.Proto != "udptl" || x.Formats[0].Name != "t38" || x.Direction != SendOnly || x.Addr.String() != "198.51.100.1" {
		t.Errorf("image %+v", x)
	}
}

// Bodies that real trunks send and strict parsers reject.
// What RTCP may have is the section's or else the session's, and only nothing at all for both kinds means none.
func TestBandwidthOfRTCP(t *testing.T) {
	for _, tt := range []struct {
		session, section   string
		senders, receivers bool
	}{
		{"", "", false, false},
		{"b=RS:0\r\nb=RR:0\r\n", "", true, true},
		{"", "b=rs:0\r\nb=RR: 0 \r\n", true, true},
		{"b=RS:0\r\nb=RR:0\r\n", "b=RR:2000\r\n", true, false},
		{"b=AS:64\r\nb=RS:800\r\n", "b=RS:0\r\nb=AS:0\r\nb=RR:-0\r\n", true, false},
		{"", "b=RS\r\nb=RR:none\r\nb=X-RR:0\r\n", false, false},
	} {
		d, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n" + tt.session + "t=0 0\r\nm=audio 4000 RTP/AVP 0\r\n" + tt.section + "a=sendrecv\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if m := d.Media[0]; m.NoSenders != tt.senders || m.NoReceivers != tt.receivers {
			t.Errorf("%q and %q: %v, %v; want %v, %v", tt.session, tt.section, m.NoSenders, m.NoReceivers, tt.senders, tt.receivers)
		}
	}
}

func TestTolerance(t *testing.T) {
	for name, body := range map[string]string{
		"no s= and t=":       "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n",
		"no o=":              "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
		"b= before c=":       "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nb=AS:64\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
		"LF only":            "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n",
		"no last line end":   "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0",
		"blank line":         "v=0\r\nc=IN IP4 192.0.2.1\r\n\r\nm=audio 4000 RTP/AVP 0\r\n\r\n",
		"unknown types":      "v=0\r\nx=?\r\nc=IN IP4 192.0.2.1\r\nw\r\nm=audio 4000 RTP/AVP 0\r\nq=1\r\n",
		"five fields in o=":  "v=0\r\no=- 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n",
		"lower case in":      "v=0\r\nc=in ip4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n",
		"trailing blanks":    "v=0 \r\nc=IN IP4 192.0.2.1 \r\nm=audio 4000 RTP/AVP 0 \r\na=sendrecv \r\n",
		"upper case media":   "v=0\r\nc=IN IP4 192.0.2.1\r\nm=AUDIO 4000 rtp/avp 0\r\n",
		"attribute twice":    "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\na=ptime:20\r\na=ptime:20\r\n",
		"rtpmap of a nobody": "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:99 x/1\r\na=rtpmap:\r\n",
	} {
		d, err := Parse([]byte(body))
		if err != nil || len(d.Media) != 1 || d.Media[0].Addr.String() != "192.0.2.1" || d.Media[0].Type != "audio" {
			t.Errorf("%s: %v, %+v", name, err, d)
			continue
		}
		out := d.Rewrite(edit(d, 0))
		again, err := Parse(out)
		if err != nil || len(again.Media) != 1 || again.Media[0].Port != 6000 || again.Media[0].Addr.String() != "203.0.113.7" {
			t.Errorf("%s: rewritten %v\n%s", name, err, out)
		}
		if bytes.Contains(out, []byte("192.0.2.1")) {
			t.Errorf("%s: the address is still there:\n%s", name, out)
		}
	}
}

func TestRefused(t *testing.T) {
	head := "v=0\r\nc=IN IP4 192.0.2.1\r\n"
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"empty":          {"", ErrSyntax},
		"not sdp":        {"hello\r\n", ErrSyntax},
		"short m=":       {head + "m=audio 4000\r\n", ErrSyntax},
		"port":           {head + "m=audio 70000 RTP/AVP 0\r\n", ErrSyntax},
		"port is text":   {head + "m=audio x RTP/AVP 0\r\n", ErrSyntax},
		"no ports":       {head + "m=audio 4000/0 RTP/AVP 0\r\n", ErrSyntax},
		"short c=":       {"v=0\r\nc=IN\r\n", ErrSyntax},
		"a=rtcp":         {head + "m=audio 4000 RTP/AVP 0\r\na=rtcp:x\r\n", ErrSyntax},
		"stray CR":       {head + "a=x\rm=audio 4000 RTP/AVP 0\r\n", ErrSyntax},
		"NUL":            {head + "a=\x00\r\n", ErrSyntax},
		"too long":       {head + strings.Repeat("a", MaxSize), ErrTooLarge},
		"too many lines": {head + strings.Repeat("a=x\n", MaxLines), ErrTooLarge},
		"too many media": {head + strings.Repeat("m=audio 4000 RTP/AVP 0\r\n", MaxMedia+1), ErrTooLarge},
		"many addresses": {head + strings.Repeat("c=IN IP4 192.0.2.1\r\n", MaxAddresses), ErrTooLarge}, // the head has one more
		"many formats":   {head + "m=audio 4000 RTP/AVP" + strings.Repeat(" 0", MaxFormats+1) + "\r\n", ErrTooLarge},
	} {
		if _, err := Parse([]byte(tt.body)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
	}
}

func edit(d *Description, media int) Edit {
	return Edit{
		ID: 11, Version: 3, Origin: netip.MustParseAddr("203.0.113.7"), Addr: netip.MustParseAddr("203.0.113.7"),
		Media: media, Port: 6000, Profile: Profile{Secure: true}, Mux: true,
		Crypto: []Crypto{{Tag: "1", Suite: "AEAD_AES_128_GCM", KeySalt: bytes.Repeat([]byte{1}, 28)}},
	}
}

func TestRewrite(t *testing.T) {
	d, err := Parse(lines("v=0", "o=alice 890 1 IN IP4 pc33.example.com", "s=to pc33.example.com", "i=about", "u=http://192.0.2.8/", "e=a@example.com", "p=+1",
		"c=IN IP4 192.0.2.8", "b=AS:80", "t=0 0", "k=clear:secret", "a=group:BUNDLE a v", "a=ice-lite", "a=tool:x 1",
		"m=video 7000 RTP/AVP 96", "a=rtpmap:96 H264/90000",
		"m=audio 4000 RTP/AVP 8 0", "i=speech", "c=IN IP4 192.0.2.9", "b=AS:64", "k=clear:secret", "a=rtpmap:8  PCMA/8000", "a=candidate:1 1 udp 1 192.0.2.9 4000 typ host",
		"a=fingerprint:sha-1 00", "a=setup:actpass", "a=ssrc:7 cname:alice@pc33.example.com", "a=rtcp-fb:* nack", "a=rtcp:4001", "a=key-mgmt:mikey AAAA", "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key30,
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key30, "a=x-seen:192.0.2.9", "a=x-hidden:sdes Inline:abc", "a=ptime:20", "a=sendrecv",
		"m=image 5000 udptl t38", "a=T38FaxVersion:0"))
	if err != nil {
		t.Fatal(err)
	}
	got := string(d.Rewrite(edit(d, 1)))
	want := string(lines("v=0", "o=- 11 3 IN IP4 203.0.113.7", "s=-", "i=about", "c=IN IP4 203.0.113.7", "b=AS:80", "t=0 0",
		"m=video 0 RTP/AVP 96",
		"m=audio 6000 RTP/SAVP 8 0", "i=speech", "b=AS:64", "a=crypto:1 AEAD_AES_128_GCM inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==", "a=rtcp-mux",
		"a=rtpmap:8  PCMA/8000", "a=ptime:20", "a=sendrecv",
		"m=image 0 udptl t38"))
	if got != want {
		t.Errorf("rewritten:\n%s\nwant:\n%s", got, want)
	}
}

// The credentials of ICE are the section's, or else the session's; ours take their place.
func TestICE(t *testing.T) {
	d, err := Parse(lines("v=0", "c=IN IP4 0.0.0.0", "t=0 0", "a=ice-ufrag:sess", "a=ice-pwd:of the session, twenty-two", "a=ice-options:trickle",
		"m=audio 9 RTP/SAVP 0", "a=ice-pwd: of the section, twenty-two", "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host", "m=audio 9 RTP/SAVP 0"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := d.Media[0].ICE, d.Media[1].ICE; !a.Valid() || a.Fragment != "sess" || string(a.Password) != "of the section, twenty-two" || !b.Valid() || a.Equal(b) {
		t.Errorf("credentials %+v and %+v", a, b)
	}
	e := edit(d, 0)
	e.ICE, e.Candidates = ICE{Fragment: "ours", Password: Secret("our own password of twenty")}, []string{"1 1 UDP 2130706431 203.0.113.7 6000 typ host"}
	got := string(d.Rewrite(e))
	for _, want := range []string{"t=0 0\r\na=ice-lite\r\n", "a=ice-ufrag:ours\r\na=ice-pwd:our own password of twenty\r\na=candidate:1 1 UDP 2130706431 203.0.113.7 6000 typ host\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	for _, leak := range []string{"sess", "of the se", "trickle", "192.0.2.1"} {
		if strings.Contains(got, leak) {
			t.Errorf("%q is in\n%s", leak, got)
		}
	}
	for _, bad := range []ICE{{}, {"abc", Secret(strings.Repeat("x", 22))}, {"abcd", Secret(strings.Repeat("x", 21))}, {strings.Repeat("x", 257), Secret(strings.Repeat("x", 22))}} {
		if bad.Valid() {
			t.Errorf("%d and %d octets were taken", len(bad.Fragment), len(bad.Password))
		}
	}
}

// A format is offered besides the others, one taken away, one put in its place, each with what is said of it.
func TestRewriteFormats(t *testing.T) {
	d, err := Parse(lines("v=0", "c=IN IP4 192.0.2.8", "m=audio 4000 RTP/AVP 8 9 101 13", "a=rtpmap:8 PCMA/8000", "a=fmtp:8 x", "a=rtpmap:9 G722/8000",
		"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		change    func(*Edit)
		line      string
		has, lack []string
	}{
		{"add", func(e *Edit) { e.Add = Format{Name: "0", Encoding: "PCMU/8000"} }, "8 9 0 101 13", []string{"a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=fmtp:8 x"}, nil},
		{"drop", func(e *Edit) { e.Drop = "8" }, "9 101 13", []string{"a=rtpmap:9 G722/8000", "a=fmtp:101 0-15"}, []string{"rtpmap:8", "fmtp:8"}},
		{"instead", func(e *Edit) { e.Drop, e.Instead = "8", Format{Name: "97", Encoding: "PCMU/8000"} }, "97 9 101 13", []string{"a=rtpmap:97 PCMU/8000"}, []string{"rtpmap:8", "fmtp:8"}},
	} {
		e := edit(d, 0)
		tt.change(&e)
		got := string(d.Rewrite(e))
		if !strings.Contains(got, "m=audio 6000 RTP/SAVP "+tt.line+"\r\n") {
			t.Errorf("%s: want the formats %s in\n%s", tt.name, tt.line, got)
		}
		for _, want := range tt.has {
			if !strings.Contains(got, want+"\r\n") {
				t.Errorf("%s: want %q in\n%s", tt.name, want, got)
			}
		}
		for _, lack := range tt.lack {
			if strings.Contains(got, lack) {
				t.Errorf("%s: %q is left in\n%s", tt.name, lack, got)
			}
		}
	}
}

// An answer has one section for each of the offer's, whatever the peer's answer had.
func TestRewriteMatchesTheOffer(t *testing.T) {
	offer, err := Parse(lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 1 RTP/AVP 0", "m=video 2 RTP/AVP 96", "m=text 3 RTP/AVP 98"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3, 5} {
		answer, err := Parse(lines(append([]string{"v=0", "c=IN IP4 192.0.2.2", "m=audio 9 RTP/AVP 0"}, strings.Split(strings.Repeat("m=video 0 RTP/AVP 96\n", n-1), "\n")...)...))
		if err != nil {
			t.Fatal(err)
		}
		e := edit(answer, 0)
		e.Like = offer
		again, err := Parse(answer.Rewrite(e))
		if err != nil || len(again.Media) != 3 || again.Media[0].Port != 6000 || again.Media[1].Port != 0 || again.Media[2].Port != 0 {
			t.Errorf("answer of %d sections: %v, %+v", n, err, again.Media)
		}
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	c, err := ParseCrypto(Secret("1 AES_CM_128_HMAC_SHA1_80 inline:" + key30))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 1 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key30))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, v := range []any{c, &c, d, d.Media, c.KeySalt, struct{ C Crypto }{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, leak := range []string{key30[:10], fmt.Sprintf("%x", []byte(c.KeySalt))[:10], strings.Trim(fmt.Sprint([]byte(c.KeySalt)[:4]), "[]")} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output holds %q", leak)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, s := range []string{"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "udptl"} {
		if p, ok := ParseProfile(strings.ToUpper(s)); !ok || p.String() != s || p.Fax != (s == "udptl") {
			t.Errorf("ParseProfile(%q) = %v, %v", s, p, ok)
		}
	}
	for _, s := range []string{"", "udptl/x", "UDP/TLS/RTP/SAVPF", "TCP/RTP/AVP"} {
		if p, ok := ParseProfile(s); ok {
			t.Errorf("ParseProfile(%q) = %v", s, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(lines("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", "m=audio 4000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key30))
	f.Add([]byte("v=0\nm=image 1 udptl t38\nb=AS:1\nc=IN IP6 ::1\nm=audio 2/2 RTP/AVP\n"))
	f.Add([]byte("v=0\r\nm=a 1 inline:x 0\r\nk=\r\na=acap:1 inline:\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			for _, secret := range []string{key30} {
				if strings.Contains(err.Error(), secret) {
					t.Fatalf("error holds a key: %v", err)
				}
			}
			return
		}
		for i := range d.Media {
			e := edit(d, i)
			e.Like = d
			if f := d.Media[i].Formats; len(f) > 0 && len(f) < MaxFormats {
				e.Add, e.Drop, e.Instead = Format{Name: "8", Encoding: "PCMA/8000"}, f[0].Name, Format{Name: "0", Encoding: "PCMU/8000"}
			}
			out := d.Rewrite(e)
			again, err := Parse(out)
			if err != nil {
				t.Fatalf("edited text does not parse: %v\n%q\nfrom %q", err, out, b)
			}
			if len(again.Media) != len(d.Media) || again.Media[i].Port != 6000 || len(again.Media[i].Crypto) != 1 {
				t.Fatalf("edited text says something else:\n%q\nfrom %q", out, b)
			}
			if bytes.Contains(out, []byte(key30)) && !bytes.Contains(b[:bytes.Index(b, []byte(key30))], []byte("m=")) {
				t.Fatalf("a key passed:\n%q", out)
			}
		}
	})
}
