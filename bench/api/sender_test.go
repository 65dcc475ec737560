package api

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"testing"
	"time"
)

// sender has the create of one writer as it goes over the wire, and signs it anew for each time that it is sent, as a load
// tool would: what an SDK does beside would be measured with the server. Only the date and the signature change.
type sender struct {
	wire, canonical                      []byte
	wireDate, wireSignature, canonicalAt int
	text                                 []byte // to sign
	key                                  hash.Hash
}

const (
	dateForm = "20060102T150405Z"
	scopeOf  = "/us-east-1/chime/aws4_request"
)

func newSender(b *testing.B, s *stand, address string) *sender {
	b.Helper()
	r := s.sign(b, s.key, http.MethodPost, "http://"+address+"/voice-connectors", createBody)
	date, body := r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Content-Sha256")
	w := &sender{wire: append(wireForm(nil, r, len(createBody)), createBody...)}
	w.wireDate = bytes.Index(w.wire, []byte("X-Amz-Date: ")) + len("X-Amz-Date: ")
	w.wireSignature = bytes.Index(w.wire, []byte("Signature=")) + len("Signature=")
	w.canonical = []byte("POST\n/voice-connectors\n\ncontent-type:application/json\nhost:" + address + "\nx-amz-content-sha256:" + body +
		"\nx-amz-date:" + date + "\n\ncontent-type;host;x-amz-content-sha256;x-amz-date\n" + body)
	w.canonicalAt = bytes.Index(w.canonical, []byte("x-amz-date:")) + len("x-amz-date:")
	w.key = hmac.New(sha256.New, dayKey(s.key.Secret.Reveal(), date[:8]))
	want := string(w.wire)
	at, err := time.Parse(dateForm, date)
	if err != nil {
		b.Fatal(err)
	}
	if got := string(w.sign(at)); got != want {
		b.Fatalf("signed\n%s\nwant\n%s", got, want)
	}
	return w
}

func dayKey(secret, day string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, "us-east-1", "chime", "aws4_request"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key
}

// sign returns the request, signed at now. It is good until the next one, and for the day of the first.
func (w *sender) sign(now time.Time) []byte {
	var date [len(dateForm)]byte
	now.UTC().AppendFormat(date[:0], dateForm)
	copy(w.wire[w.wireDate:], date[:])
	copy(w.canonical[w.canonicalAt:], date[:])
	sum := sha256.Sum256(w.canonical)
	text := append(append(w.text[:0], "AWS4-HMAC-SHA256\n"...), date[:]...)
	text = append(append(append(text, '\n'), date[:8]...), scopeOf+"\n"...)
	w.text = hex.AppendEncode(text, sum[:])
	w.key.Reset()
	w.key.Write(w.text)
	hex.Encode(w.wire[w.wireSignature:], w.key.Sum(sum[:0]))
	return w.wire
}
