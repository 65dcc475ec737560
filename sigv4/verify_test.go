package sigv4

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

var (
	testKey   = Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	testScope = Scope{Region: "eu-central-1", Service: "chime"}
	testNow   = time.Date(2026, 11, 23, 7, 19, 9, 0, time.UTC)
)

func newVerifier(key Key) *Verifier {
	return NewVerifier(Config{Keys: oneKey{testKey.AccessKeyID, key}, Services: []string{"chime"}})
}

// received turns a client's request into what a server has in hand, without a socket.
func received(r *http.Request) *http.Request {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	return in
}

func newRequest(t testing.TB, method, target string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1:18080"+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// signedRequest is a good request that the tests below spoil.
func signedRequest(t testing.TB) (*http.Request, []byte) {
	t.Helper()
	body := []byte(`{"Name": "demo", "RequireEncryption": true}`)
	r := newRequest(t, "POST", "/voice-connectors", body)
	Sign(r, body, testKey, testScope, testNow)
	return received(r), body
}

func TestFaults(t *testing.T) {
	auth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	tests := []struct {
		name    string
		spoil   func(*http.Request)
		want    Fault
		message string // a part of it
	}{
		{"no signature", func(r *http.Request) { r.Header.Del("Authorization") }, MissingAuthenticationToken, "Missing Authentication Token"},
		{"two headers", func(r *http.Request) { r.Header.Add("Authorization", "x") }, IncompleteSignature, "Only one"},
		{"header and query", func(r *http.Request) { r.RequestURI += "?X-Amz-Signature=00" }, AmbiguousCredentials, "Only one auth mechanism"},
		{"basic", func(r *http.Request) { r.Header.Set("Authorization", "Basic eDp5") }, IncompleteSignature, "algorithm"},
		{"other algorithm", auth("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), IncompleteSignature, "algorithm"},
		{"algorithm only", func(r *http.Request) { r.Header.Set("Authorization", algorithm) }, IncompleteSignature, "'Credential'"},
		{"no credential", auth("Credential=", "Credenzial="), IncompleteSignature, "unknown parameter"},
		{"empty credential", auth("Credential=AKIDEXAMPLE/20261123/eu-central-1/chime/aws4_request", "Credential="), IncompleteSignature, "'Credential'"},
		{"credential twice", auth("Signature=", "Credential="), IncompleteSignature, "more than once"},
		{"no equal sign", auth("Signature=", "Signature"), IncompleteSignature, "equal-sign"},
		{"no signature value", func(r *http.Request) {
			head, _, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", head+"Signature=")
		}, IncompleteSignature, "'Signature'"},
		{"short signature", auth("Signature=", "Signature=00"), IncompleteSignature, "64 hexadecimal"},
		{"four scope parts", auth("/eu-central-1", ""), IncompleteSignature, "5 slash-delimited"},
		{"empty region", auth("eu-central-1", ""), IncompleteSignature, "5 slash-delimited"},
		{"terminator", auth("aws4_request", "aws5_request"), InvalidCredentialScope, "terminator: 'aws4_request'"},
		{"service", auth("/chime/", "/s3/"), InvalidCredentialScope, "correct service: 'chime'"},
		{"other day in the scope", auth("/20261123/", "/20261122/"), InvalidCredentialScope, "Date in Credential scope"},
		{"host not signed", auth("host;", ""), IncompleteSignature, "'Host'"},
		{"unsorted headers", auth("content-type;host", "host;content-type"), IncompleteSignature, "sorted"},
		{"capital in headers", auth("host", "Host"), IncompleteSignature, "lower case"},
		{"no date", func(r *http.Request) { r.Header.Del(headerDate) }, IncompleteSignature, "'X-Amz-Date' or a 'Date'"},
		{"bad date", func(r *http.Request) { r.Header.Set(headerDate, "2026-11-23") }, IncompleteSignature, "ISO-8601"},
		{"other date", func(r *http.Request) { r.Header.Set(headerDate, "20261123T071910Z") }, InvalidSignature, "does not match"},
		{"unknown key", auth("AKIDEXAMPLE", "AKIDOTHER"), UnrecognizedClient, "security token included in the request is invalid"},
		{"token for a permanent key", func(r *http.Request) { r.Header.Set(headerToken, "x") }, InvalidToken, "security token"},
		{"body hash header", func(r *http.Request) { r.Header.Set(headerBodySHA, strings.Repeat("0", 64)) }, BodyHashMismatch, "x-amz-content-sha256"},
		{"unsigned payload", func(r *http.Request) { r.Header.Set(headerBodySHA, "UNSIGNED-PAYLOAD") }, BodyHashMismatch, "x-amz-content-sha256"},
		{"path", func(r *http.Request) { r.RequestURI = "/voice-connectorz" }, InvalidSignature, "does not match"},
		{"query added", func(r *http.Request) { r.RequestURI += "?operation=put" }, InvalidSignature, "does not match"},
		{"method", func(r *http.Request) { r.Method = "PUT" }, InvalidSignature, "does not match"},
		{"host", func(r *http.Request) { r.Host = "example.com" }, InvalidSignature, "does not match"},
		{"signed header", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, InvalidSignature, "does not match"},
		{"region", auth("eu-central-1", "us-east-1"), InvalidSignature, "does not match"},
		{"too many parameters", func(r *http.Request) { r.RequestURI += "?" + strings.Repeat("a=b&", maxQueryPairs) }, IncompleteSignature, "too many"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(Key{Secret: testKey.SecretAccessKey})
			r, body := signedRequest(t)
			if _, err := v.Verify(t.Context(), r, body, testNow); err != nil {
				t.Fatalf("before: %v", err)
			}
			tt.spoil(r)
			wantFault(t, v, r, body, testNow, tt.want)
			_, err := v.Verify(t.Context(), r, body, testNow)
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("message %q, want %q in it", err, tt.message)
			}
			if got := v.Refused(tt.want); got != 2 {
				t.Errorf("Refused(%v) = %d, want 2", tt.want, got)
			}
		})
	}
}

// A header that nobody signed changes nothing: proxies add some, and CLIs leave theirs unsigned.
func TestUnsignedHeaders(t *testing.T) {
	v := newVerifier(Key{Secret: testKey.SecretAccessKey})
	r, body := signedRequest(t)
	r.Header.Set("Amz-Sdk-Invocation-Id", "6f5d2c1e")
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	if _, err := v.Verify(t.Context(), r, body, testNow); err != nil {
		t.Error(err)
	}
}

func TestClockWindow(t *testing.T) {
	tests := []struct {
		skew    time.Duration // of the server's clock against the signature
		want    Fault
		message string
	}{
		{0, 0, ""},
		{Window, 0, ""},
		{-Window, 0, ""},
		{Window + time.Second, SignatureExpired, "Signature expired: 20261123T071909Z is now earlier than 20261123T071910Z (20261123T073410Z - 15 min.)"},
		{-Window - time.Second, SignatureNotYetCurrent, "Signature not yet current: 20261123T071909Z is still later than 20261123T071908Z (20261123T070408Z + 15 min.)"},
	}
	for _, tt := range tests {
		v := newVerifier(Key{Secret: testKey.SecretAccessKey})
		r, body := signedRequest(t)
		_, err := v.Verify(t.Context(), r, body, testNow.Add(tt.skew))
		if tt.want == 0 {
			if err != nil {
				t.Errorf("skew %v: %v", tt.skew, err)
			}
			continue
		}
		wantFault(t, v, r, body, testNow.Add(tt.skew), tt.want)
		if got := strings.TrimPrefix(err.Error(), tt.want.String()+": "); got != tt.message {
			t.Errorf("skew %v:\n got %q\nwant %q", tt.skew, got, tt.message)
		}
	}
}

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
	const digits = "0123456789abcdef"
	r.RequestURI += "&X-Amz-Signature="
	for _, b := range mac {
		r.RequestURI += string(digits[b>>4]) + string(digits[b&15])
	}
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
				wantFault(t, v, r, nil, testNow.Add(tt.after), tt.want)
				return
			}
			id, err := v.Verify(t.Context(), r, nil, testNow.Add(tt.after))
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
	if _, err := v.Verify(t.Context(), r, body, testNow); err != nil {
		t.Error(err)
	}
	wantFault(t, v, r, body, end, ExpiredToken)
	for _, token := range []string{"", "token", "token+/=x"} {
		r, body := sign(token)
		wantFault(t, v, r, body, testNow, InvalidToken)
	}
	// Who does not have the secret must not learn whether a token is right.
	r, body = sign("token")
	r.Method = "PUT"
	wantFault(t, v, r, body, testNow, InvalidSignature)
}

// The signer and net/http's server must agree on every byte, escapes included.
func TestSignOverSocket(t *testing.T) {
	v := newVerifier(Key{Secret: testKey.SecretAccessKey})
	got := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = v.Verify(r.Context(), r, body, testNow)
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
		r.Header.Set("Authorization", algorithm+" Credential=AKIDEXAMPLE/"+c.scope+",SignedHeaders=date;host,Signature="+hexOf(mac[:]))
		v := newVerifier(Key{Secret: testKey.SecretAccessKey})
		if _, err := v.Verify(t.Context(), received(r), nil, testNow); err != nil {
			t.Errorf("Date %q: %v", date, err)
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestFaultTable(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Faults() {
		if f.Exception() == "" || f.Status() < 400 || f.Status() > 403 || seen[f.String()] {
			t.Errorf("fault %d: %q, %q, %d", f, f, f.Exception(), f.Status())
		}
		seen[f.String()] = true
	}
	if len(seen) != int(faultEnd)-1 {
		t.Errorf("%d faults, want %d", len(seen), faultEnd-1)
	}
}

// rotating is a key store whose one secret changes.
type rotating struct{ secret string }

func (k *rotating) Secret(context.Context, string) (Key, bool) { return Key{Secret: k.secret}, true }

func TestCache(t *testing.T) {
	keys := &rotating{testKey.SecretAccessKey}
	v := NewVerifier(Config{Keys: keys, Services: []string{"chime"}, CacheSize: 2})
	r, body := signedRequest(t)
	for range 3 {
		if _, err := v.Verify(t.Context(), r, body, testNow); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.CacheStats(); got != (CacheStats{Entries: 1, Hits: 2, Misses: 1}) {
		t.Errorf("after three requests: %+v", got)
	}
	// The old secret must be dead at once, the new one good at once.
	keys.secret = "new"
	wantFault(t, v, r, body, testNow, InvalidSignature)
	fresh := newRequest(t, "GET", "/", nil)
	with := testKey
	with.SecretAccessKey = "new"
	Sign(fresh, nil, with, testScope, testNow)
	if _, err := v.Verify(t.Context(), received(fresh), nil, testNow); err != nil {
		t.Error(err)
	}
	for _, region := range []string{"a", "b", "c", "d"} {
		r := newRequest(t, "GET", "/", nil)
		Sign(r, nil, with, Scope{region, "chime"}, testNow)
		if _, err := v.Verify(t.Context(), received(r), nil, testNow); err != nil {
			t.Error(err)
		}
		// A wrong signature must not be able to push a good key out.
		wrong := received(r)
		wrong.Method = "PUT"
		wantFault(t, v, wrong, nil, testNow, InvalidSignature)
	}
	if got := v.CacheStats(); got.Entries != 2 || got.Evicted != 3 {
		t.Errorf("after four more regions: %+v, want 2 entries, 3 evicted", got)
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("a", 64))
	f.Add("AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;,Signature=")
	f.Add("AWS4-HMAC-SHA256")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, header string) {
		c, err := parseAuthorization(header)
		if err != nil {
			if err.Fault == 0 || err.Message == "" {
				t.Errorf("empty refusal: %+v", err)
			}
			return
		}
		if c.scope != c.day+"/"+c.region+"/"+c.service+"/"+terminator || len(c.signature) != 64 || c.accessKeyID == "" {
			t.Errorf("accepted %q as %+v", header, c)
		}
		if !strings.Contains(";"+c.signedHeaders+";", ";host;") {
			t.Errorf("accepted without host: %q", c.signedHeaders)
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fchime%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature="+strings.Repeat("0", 64), "/")
	f.Add("a=%&b=%4&c=%zz&=&&d", "//a/../b")
	f.Fuzz(func(t *testing.T, query, path string) {
		v := newVerifier(Key{Secret: testKey.SecretAccessKey})
		r := &http.Request{Method: "GET", RequestURI: path + "?" + query, Host: "h", Header: http.Header{}}
		// Nobody can guess a signature: whatever this is, it must be refused, and calmly.
		if id, err := v.Verify(t.Context(), r, nil, testNow); err == nil {
			t.Errorf("accepted as %+v", id)
		}
		// Decoding what was encoded must give it back, or two readers of one query could disagree.
		if got := unescape(string(appendEscaped(nil, query, false))); got != query {
			t.Errorf("escape round trip: %q became %q", query, got)
		}
		if p := normalizePath(path); !strings.HasPrefix(p, "/") || strings.Contains(p, "//") || strings.Contains(p+"/", "/../") {
			t.Errorf("normalizePath(%q) = %q", path, p)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v := newVerifier(Key{Secret: testKey.SecretAccessKey})
	r, body := signedRequest(b)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ctx, r, body, testNow); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyRefused(b *testing.B) {
	for name, id := range map[string]string{"unknown": "AKIDOTHER", "mismatch": testKey.AccessKeyID} {
		b.Run(name, func(b *testing.B) {
			v := newVerifier(Key{Secret: testKey.SecretAccessKey})
			r, body := signedRequest(b)
			if _, err := v.Verify(b.Context(), r, body, testNow); err != nil {
				b.Fatal(err)
			}
			r.Method = "PUT"
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), testKey.AccessKeyID, id, 1))
			for b.Loop() {
				if _, err := v.Verify(b.Context(), r, body, testNow); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
