package sigv4

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The signer and net/http's server must agree on every byte, escapes included.
func TestSignOverSocket(t *testing.T) {
	v := newVerifier(Key{Secret: testKey.SecretAccessKey})
	got := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = v.Verify(r.Context(), r, body, testScope.Service, testNow)
		}
		got <- err
	}))
	defer server.Close()
	for _, target := range []string{
		"/", "/voice-connectors", "/phone-numbers/%2B12065550100", "/phone-numbers/%252B12065550100", "/a%2F..%2Fb%20c%25", "/a/../b//c/.",
		"/x?operation=put", "/x?b=2&a=1&a=0", "/x?q=a%20b+c&empty", "/x?%E1%88%B4=%2B%26", "/~tilde(paren)'*!",
	} {
		body := []byte(`{"Name":"ü"}`)
		r, err := http.NewRequest("POST", server.URL+target, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Two", "a   b")
		r.Header.Add("X-Two", " c ")
		Sign(r, body, testKey, testScope, testNow)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// One signer's signatures are good each at its own time, also of a request that it signed before and on another day.
func TestSignerAgain(t *testing.T) {
	v := newVerifier(Key{Secret: testKey.SecretAccessKey})
	s := NewSigner(testKey, testScope)
	r := newRequest(t, "POST", "/voice-connectors", nil)
	seen := map[string]bool{}
	for _, after := range []time.Duration{0, time.Second, 24 * time.Hour, 0} {
		for _, body := range []string{"", `{"Name":"n"}`} {
			now := testNow.Add(after)
			s.Sign(r, []byte(body), now)
			if _, err := v.Verify(t.Context(), received(r), []byte(body), testScope.Service, now); err != nil {
				t.Errorf("after %v, %q: %v", after, body, err)
			}
			seen[r.Header.Get("Authorization")] = true
		}
	}
	if len(seen) != 6 { // three times two bodies
		t.Errorf("there are %d signatures, want 6", len(seen))
	}
}

// A request as AWS CLI 2.23.6 sends it, with the date of the Date header and no signed content type.
func TestDateHeader(t *testing.T) {
	for _, date := range []string{testNow.Format(http.TimeFormat), testNow.Format(dateLayout)} {
		r := newRequest(t, "GET", "/voice-connectors", nil)
		Sign(r, nil, testKey, testScope, testNow)
		// Sign again by hand without X-Amz-Date.
		r.Header.Del(headerDate)
		r.Header.Set("Date", date)
		c := claim{day: testNow.Format(dayLayout), date: testNow.Format(dateLayout), signedHeaders: "date;host"}
		c.scope = c.day + "/" + testScope.Region + "/chime/" + terminator
		signed := canonical{method: "GET", path: "/voice-connectors", header: r.Header, host: r.URL.Host, signed: c.signedHeaders, bodyHash: string(hashHex(nil, nil))}
		key := deriveKey(testKey.SecretAccessKey, c.day, testScope.Region, "chime")
		mac := hmacSHA256(key[:], stringToSign(nil, &c, signed.append(nil)))
		r.Header.Set("Authorization", algorithm+" Credential=AKIDEXAMPLE/"+c.scope+",SignedHeaders=date;host,Signature="+hex.EncodeToString(mac[:]))
		v := newVerifier(Key{Secret: testKey.SecretAccessKey})
		if _, err := v.Verify(t.Context(), received(r), nil, testScope.Service, testNow); err != nil {
			t.Errorf("Date %q: %v", date, err)
		}
	}
}

// TestHeaderKey: the names that are known by heart are those that package textproto makes.
func TestHeaderKey(t *testing.T) {
	for _, name := range []string{
		"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "amz-sdk-invocation-id", "amz-sdk-request", "content-type", "x-other",
	} {
		if got, want := headerKey(name), http.CanonicalHeaderKey(name); got != want {
			t.Errorf("%s has the key %s, want %s", name, got, want)
		}
	}
}
