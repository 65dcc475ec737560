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
