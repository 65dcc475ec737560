package phone

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"carillon/sdp"
	"carillon/srtp"
)

func testTerms(t testing.TB, suites ...srtp.Suite) *terms {
	t.Helper()
	keys, err := newKeys(rand.Reader, suites)
	if err != nil {
		t.Fatal(err)
	}
	return &terms{id: 1, version: 1, addr: netip.MustParseAddrPort("127.0.0.1:4000"), codecs: []Codec{PCMU, PCMA}, keys: keys}
}

const offerHead = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"

func TestConsider(t *testing.T) {
	key128 := strings.Repeat("A", 40)
	for _, tt := range []struct {
		name, media string
		want        string // what was agreed on, or the error
	}{
		{"plain", "m=audio 4 RTP/AVP 0 8\r\n", "RTP/AVP 0 PCMU/8000 192.0.2.1:4 192.0.2.1:5 both"},
		{"feedback", "m=audio 4 RTP/AVPF 8\r\n", "RTP/AVPF 8 PCMA/8000 192.0.2.1:4 192.0.2.1:5 both"},
		{"dynamic type", "m=audio 4 RTP/AVP 18 96\r\na=rtpmap:96 pcma/8000/1\r\n", "RTP/AVP 96 PCMA/8000 192.0.2.1:4 192.0.2.1:5 both"},
		{"second section", "m=image 9 udptl t38\r\nm=audio 4 RTP/AVP 0\r\n", "RTP/AVP 0 PCMU/8000 192.0.2.1:4 192.0.2.1:5 both"},
		{"its own address", "m=audio 4 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\na=rtcp:77\r\n", "RTP/AVP 0 PCMU/8000 192.0.2.9:4 192.0.2.9:77 both"},
		{"on hold", "m=audio 4 RTP/AVP 0\r\na=sendonly\r\n", "RTP/AVP 0 PCMU/8000 192.0.2.1:4 192.0.2.1:5 listens"},
		{"deaf", "m=audio 4 RTP/AVP 0\r\na=recvonly\r\n", "RTP/AVP 0 PCMU/8000 192.0.2.1:4 192.0.2.1:5 sends"},
		{"old hold", "m=audio 4 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n", "RTP/AVP 0 PCMU/8000 0.0.0.0:4 0.0.0.0:5 listens"},
		{"inactive", "m=audio 4 RTP/AVP 0\r\na=inactive\r\n", "RTP/AVP 0 PCMU/8000 192.0.2.1:4 192.0.2.1:5 "},
		{"first line that can be used", "m=audio 4 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:" + key128 + "\r\n" +
			"a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" + key128 + " UNAUTHENTICATED_SRTP\r\n" +
			"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" + key128 + "|2^20|1:4\r\n",
			"RTP/SAVP 0 PCMU/8000 192.0.2.1:4 192.0.2.1:5 both 3 AES_CM_128_HMAC_SHA1_80 mki 4"},
		{"AWS's spelling", "m=audio 4 RTP/SAVP 0\r\na=crypto:1 AES_CM_256_HMAC_SHA1_80 inline:" + strings.Repeat("A", 61) + "Q==\r\n" +
			"a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" + key128 + "\r\n",
			"RTP/SAVP 0 PCMU/8000 192.0.2.1:4 192.0.2.1:5 both 1 AES_CM_256_HMAC_SHA1_80 mki 0"},
		{"no key", "m=audio 4 RTP/SAVP 0\r\n", errSuite.Error()},
		{"DTLS", "m=audio 4 UDP/TLS/RTP/SAVP 0\r\n", errNoAudio.Error()},
		{"another codec", "m=audio 4 RTP/AVP 9 18\r\n", errNoAudio.Error()},
		{"0 means something else", "m=audio 4 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n", errNoAudio.Error()},
		{"video", "m=video 4 RTP/AVP 0\r\n", errNoAudio.Error()},
	} {
		_, a, err := consider([]byte(offerHead+tt.media), DefaultSuites())
		got := fmt.Sprint(err)
		if err == nil {
			way := map[[2]bool]string{{true, true}: "both", {true, false}: "sends", {false, true}: "listens"}[[2]bool{a.sends, a.listens}]
			got = fmt.Sprintf("%s %d %s %v %v %s", a.profile, a.payload, a.codec, a.remote, a.remoteRTCP, way)
			if a.profile.Secure {
				got += fmt.Sprintf(" %s %s mki %d", a.tag, a.spelling, len(a.mki))
			}
		}
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
	if _, _, err := consider([]byte("rubbish"), nil); !errors.Is(err, errDescription) {
		t.Errorf("rubbish: %v", err)
	}
}

// TestAnswerMatchesOffer: as many sections as offered, the tag and the spelling of the line taken, our own key.
func TestAnswerMatchesOffer(t *testing.T) {
	body := offerHead + "m=image 9 udptl t38\r\nm=audio 4 RTP/SAVP 8 0\r\na=crypto:5 AES_CM_256_HMAC_SHA1_80 inline:" +
		strings.Repeat("A", 61) + "Q==\r\na=sendonly\r\nm=video 8 RTP/AVP 31\r\n"
	offer, a, err := consider([]byte(body), DefaultSuites())
	if err != nil {
		t.Fatal(err)
	}
	if a.ours, err = srtp.NewKey(a.theirs.Suite(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	out := testTerms(t).answer(offer, a)
	d, err := sdp.Parse(out)
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(d.Media) != 3 || d.Media[0].Port != 0 || d.Media[2].Port != 0 || d.Media[1].Port != 4000 {
		t.Fatalf("sections: %s", out)
	}
	m := d.Media[1]
	if m.Proto != "RTP/SAVP" || len(m.Formats) != 1 || m.Formats[0].Name != "8" || m.Direction != sdp.RecvOnly || len(m.Crypto) != 1 {
		t.Fatalf("audio: %s", out)
	}
	c, key, ok := usableLine(m.Crypto[0])
	if !ok || c.Tag != "5" || c.Suite != "AES_CM_256_HMAC_SHA1_80" || !key.Equal(a.ours) || key.Equal(a.theirs) {
		t.Errorf("crypto line %v", c)
	}
}

// TestKeysAreOwn: no two lines, offers or directions share a key.
func TestKeysAreOwn(t *testing.T) {
	var all []srtp.Key
	for range 3 {
		for _, k := range testTerms(t, srtp.Suites()...).keys {
			all = append(all, k.key)
		}
	}
	for i := range all {
		for j := range i {
			if all[i].Equal(all[j]) {
				t.Fatalf("keys %d and %d are equal", i, j)
			}
		}
	}
}

// FuzzConsider: whatever is accepted can be answered, and the caller can read the answer.
func FuzzConsider(f *testing.F) {
	f.Add([]byte(offerHead + "m=audio 4 RTP/AVP 0 8\r\n"))
	f.Add(testTerms(f).offer())
	f.Add(testTerms(f, srtp.AES_CM_128_HMAC_SHA1_80, srtp.AEAD_AES_256_GCM).offer())
	f.Add([]byte(offerHead + "m=image 9 udptl t38\r\nm=audio 4 RTP/AVPF 96\r\na=rtpmap:96 PCMA/8000\r\na=sendonly\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		offer, a, err := consider(body, srtp.Suites())
		if err != nil {
			return
		}
		if a.profile.Secure {
			if a.ours, err = srtp.NewKey(a.theirs.Suite(), rand.Reader); err != nil {
				t.Fatal(err)
			}
		}
		out := testTerms(t).answer(offer, a)
		d, err := sdp.Parse(out)
		if err != nil {
			t.Fatalf("%v in the answer\n%q\nto\n%q", err, out, body)
		}
		if len(d.Media) != len(offer.Media) || d.Media[a.section].Proto != a.profile.String() || d.Media[a.section].Port != 4000 {
			t.Fatalf("the answer\n%q\ndoes not match\n%q", out, body)
		}
		if secured := len(d.Media[a.section].Crypto) == 1; secured != a.profile.Secure {
			t.Fatalf("the answer has a key: %v; it should: %v", secured, a.profile.Secure)
		}
	})
}
