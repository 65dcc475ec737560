package sdp

import "testing"

func TestResumed(t *testing.T) {
	const held = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=inactive\r\n" +
		"m=audio 4000 RTP/SAVP 0 101\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:a=inactive\r\na=recvonly\n" +
		"m=video 0 RTP/AVP 96\r\na=sendonly"
	const want = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=sendrecv\r\n" +
		"m=audio 4000 RTP/SAVP 0 101\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:a=inactive\r\na=sendrecv\n" +
		"m=video 0 RTP/AVP 96\r\na=sendrecv"
	if got := string(Resumed([]byte(held))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(Resumed([]byte(want))); got != want {
		t.Errorf("an open description became\n%s", got)
	}
}

func TestWithOrigin(t *testing.T) {
	const before = "v=0\r\no=- 71 3 IN IP4 192.0.2.1\r\ns=o=- 1 2 3\r\n"
	if got, want := string(WithOrigin([]byte(before), 9, 18446744073709551615)), "v=0\r\no=- 9 18446744073709551615 IN IP4 192.0.2.1\r\ns=o=- 1 2 3\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, odd := range []string{"", "v=0\no=\n", "o=- 1 2"} {
		if got := string(WithOrigin([]byte(odd), 9, 1)); got != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
}
