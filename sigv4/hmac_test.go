package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"
)

// TestHMAC holds our HMAC to the library's, over keys and texts around every length that matters.
func TestHMAC(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 64)
	for _, key := range []int{0, 1, 32, 63, 64, 65, 200} {
		for _, length := range []int{0, 1, 100, 447, 448, 449, 1000} {
			library := hmac.New(sha256.New, text[:key])
			library.Write(text[:length])
			if got := hmacSHA256(text[:key], text[:length]); !bytes.Equal(got[:], library.Sum(nil)) {
				t.Errorf("key of %d, text of %d octets: %x", key, length, got)
			}
		}
	}
}
