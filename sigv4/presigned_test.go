package sigv4

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// presign makes the query form with the functions Verify uses; the suite proves those against AWS's own results.
func presign(t testing.TB, target, expires string) *http.Request {
	t.Helper()
	r := &http.Request{Method: "GET", Host: "127.0.0.1:18080", Header: http.Header{}}
	c := claim{day: testNow.Format(dayLayout), date: testNow.Format(dateLayout), signedHeaders: "host"}
	c.scope = c.day + "/" + testScope.Region + "/" + testScope.Service + "/" + terminator
	q := url.Values{"X-Amz-Algorithm": {algorithm}, "X-Amz-Credential": {testKey.AccessKeyID + "/" + c.scope}, "X-Amz-Date": {c.date}, "X-Amz-SignedHeaders": {"host"}}
	if expires != "" {
		q.Set("X-Amz-Expires", expires)
	}
	r.RequestURI = target + "?" + q.Encode()
	pairs, fault := parseQuery(q.Encode())
	if fault != nil {
		t.Fatal(fault)
	}
	signed := canonical{method: "GET", path: target, pairs: pairs, header: r.Header, host: r.Host, signed: "host", bodyHash: string(hashHex(nil, nil))}
	key := deriveKey(testKey.SecretAccessKey, c.day, testScope.Region, testScope.Service)
	mac := hmacSHA256(key[:], stringToSign(nil, &c, signed.append(nil)))
	r.RequestURI += "&X-Amz-Signature=" + hex.EncodeToString(mac[:])
	return r
}

func TestPresigned(t *testing.T) {
	tests := []struct {
		name, expires string
		after         time.Duration
		edit          func(string) string
		want          Fault
	}{
		{"at once", "60", 0, nil, 0},
		{"last second", "60", time.Minute, nil, 0},
		{"over", "60", time.Minute + time.Second, nil, SignatureExpired},
		{"a week", "604800", 7 * 24 * time.Hour, nil, 0},
		{"more than a week", "604801", 0, nil, IncompleteSignature},
		{"no life", "0", 0, nil, IncompleteSignature},
		{"negative", "-1", 0, nil, IncompleteSignature},
		{"no limit named", "", Window, nil, 0},
		{"no limit named, over", "", Window + time.Second, nil, SignatureExpired},
		{"future", "60", -Window - time.Second, nil, SignatureNotYetCurrent},
		{"date twice", "60", 0, func(s string) string { return s + "&X-Amz-Date=20261123T071909Z" }, IncompleteSignature},
		{"longer by hand", "60", time.Hour, func(s string) string { return strings.Replace(s, "Expires=60", "Expires=7200", 1) }, InvalidSignature},
		{"no algorithm", "60", 0, func(s string) string { return strings.Replace(s, "X-Amz-Algorithm", "X-Amz-Algo", 1) }, IncompleteSignature},
		{"no credential", "60", 0, func(s string) string { return strings.Replace(s, "X-Amz-Credential", "X-Amz-Cred", 1) }, IncompleteSignature},
		{"no signature", "60", 0, func(s string) string { return strings.Replace(s, "X-Amz-Signature", "X-Amz-Sig", 1) }, IncompleteSignature},
		{"no signed headers", "60", 0, func(s string) string { return strings.Replace(s, "X-Amz-SignedHeaders", "X-Amz-Signed", 1) }, IncompleteSignature},
		{"bad date", "60", 0, func(s string) string { return strings.Replace(s, "Date=2026", "Date=26", 1) }, IncompleteSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(Key{Secret: testKey.SecretAccessKey})
			r := presign(t, "/voice-connectors", tt.expires)
			if tt.edit != nil {
				r.RequestURI = tt.edit(r.RequestURI)
			}
			if tt.want != 0 {
				if got := faultOf(v.Verify(t.Context(), r, nil, testScope.Service, testNow.Add(tt.after))); got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				return
			}
			id, err := v.Verify(t.Context(), r, nil, testScope.Service, testNow.Add(tt.after))
			if err != nil || !id.Presigned {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
}

func TestTemporaryKey(t *testing.T) {
	end := testNow.Add(time.Minute)
	v := newVerifier(Key{Secret: testKey.SecretAccessKey, SessionToken: "token+/=", Expires: end})
	sign := func(token string) (*http.Request, []byte) {
		with := testKey
		with.SessionToken = token
		r := newRequest(t, "GET", "/voice-connectors", nil)
		Sign(r, nil, with, testScope, testNow)
		return received(r), nil
	}
	r, body := sign("token+/=")
	if _, err := v.Verify(t.Context(), r, body, testScope.Service, testNow); err != nil {
		t.Error(err)
	}
	if got := faultOf(v.Verify(t.Context(), r, body, testScope.Service, end)); got != ExpiredToken {
		t.Errorf("got %v, want %v", got, ExpiredToken)
	}
	for _, token := range []string{"", "token", "token+/=x"} {
		r, body := sign(token)
		if got := faultOf(v.Verify(t.Context(), r, body, testScope.Service, testNow)); got != InvalidToken {
			t.Errorf("got %v, want %v", got, InvalidToken)
		}
	}
	// Who does not have the secret must not learn whether a token is right.
	r, body = sign("token")
	r.Method = "PUT"
	if got := faultOf(v.Verify(t.Context(), r, body, testScope.Service, testNow)); got != InvalidSignature {
		t.Errorf("got %v, want %v", got, InvalidSignature)
	}
}
