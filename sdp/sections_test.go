package sdp

import "testing"

func TestSections(t *testing.T) {
	const head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=m=audio 1 RTP/AVP 0\r\nt=0 0\r\n"
	before := head + "m=audio 4000 RTP/SAVP 0 101\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:key\r\nm=video 0 RTP/AVP 96\r\nm=image 4002/2 udptl t38\r\n"
	sections := Sections([]byte(before))
	if want := "m=audio 0 RTP/SAVP 0 101\nm=video 0 RTP/AVP 96\nm=image 0 udptl t38"; sections != want || CountSections(sections) != 3 {
		t.Errorf("%d sections %q; want %q", CountSections(sections), sections, want)
	}
	if got := CountSections(Sections([]byte(head))); got != 0 {
		t.Errorf("a description without media has %d sections", got)
	}
	one := head + "m=audio 5000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
	for offer, want := range map[string]string{
		one:                          one + "m=video 0 RTP/AVP 96\r\nm=image 0 udptl t38\r\n",
		before:                       before,
		before + "m=text 1 x y\r\n":  before + "m=text 1 x y\r\n",
		"v=0\nm=audio 1 RTP/AVP 0\n": "v=0\nm=audio 1 RTP/AVP 0\nm=video 0 RTP/AVP 96\nm=image 0 udptl t38\n",
	} {
		if got := string(WithSections([]byte(offer), sections)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	if got := string(WithSections([]byte(one), "")); got != one {
		t.Errorf("got\n%s\nwant\n%s", got, one)
	}
}
