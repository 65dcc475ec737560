package sigv4

import (
	"bytes"
	"context"
	"net/http"
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
	return NewVerifier(Config{Keys: oneKey{testKey.AccessKeyID, key}})
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

// spoiled is a good request with one thing wrong.
type spoiled struct {
	name    string
	spoil   func(*http.Request)
	want    Fault
	message string // a part of it
}

func spoiledRequests() []spoiled {
	auth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	return []spoiled{
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
}

func TestFaults(t *testing.T) {
	for _, tt := range spoiledRequests() {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(Key{Secret: testKey.SecretAccessKey})
			r, body := signedRequest(t)
			if _, err := v.Verify(t.Context(), r, body, testScope.Service, testNow); err != nil {
				t.Fatalf("before: %v", err)
			}
			tt.spoil(r)
			if got := faultOf(v.Verify(t.Context(), r, body, testScope.Service, testNow)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			_, err := v.Verify(t.Context(), r, body, testScope.Service, testNow)
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
	if _, err := v.Verify(t.Context(), r, body, testScope.Service, testNow); err != nil {
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
		_, err := v.Verify(t.Context(), r, body, testScope.Service, testNow.Add(tt.skew))
		if tt.want == 0 {
			if err != nil {
				t.Errorf("skew %v: %v", tt.skew, err)
			}
			continue
		}
		if got := faultOf(v.Verify(t.Context(), r, body, testScope.Service, testNow.Add(tt.skew))); got != tt.want {
			t.Errorf("got %v, want %v", got, tt.want)
		}
		if got := strings.TrimPrefix(err.Error(), tt.want.String()+": "); got != tt.message {
			t.Errorf("skew %v:\n got %q\nwant %q", tt.skew, got, tt.message)
		}
	}
}

// TestServices: a signature opens one service.
func TestServices(t *testing.T) {
	v := newVerifier(Key{Secret: testKey.SecretAccessKey})
	for _, signed := range []string{"chime", "sts"} {
		r := newRequest(t, "POST", "/", nil)
		Sign(r, nil, testKey, Scope{Region: "eu-central-1", Service: signed}, testNow)
		r = received(r)
		if got := ClaimedService(r); got != signed {
			t.Errorf("signed for %s, claims %q", signed, got)
		}
		for _, asked := range []string{"chime", "sts"} {
			id, err := v.Verify(t.Context(), r, nil, asked, testNow)
			if signed == asked {
				if err != nil || id.Service != asked {
					t.Errorf("%s: %+v, %v", asked, id, err)
				}
				continue
			}
			if got := faultOf(id, err); got != InvalidCredentialScope || !strings.HasSuffix(err.Error(), "correct service: '"+asked+"'.") {
				t.Errorf("signed for %s, verified for %s: %v", signed, asked, err)
			}
		}
	}
	if got := ClaimedService(newRequest(t, "GET", "/", nil)); got != "" {
		t.Errorf("an unsigned request claims %q", got)
	}
}

// TestSameWork: a request with an unknown key costs as many key derivations, and the same comparison, as one whose
// signature is wrong, whether or not the key's derivation is in the cache; only then does its time tell nothing.
func TestSameWork(t *testing.T) {
	for _, cached := range []bool{false, true} {
		v := newVerifier(Key{Secret: testKey.SecretAccessKey})
		derived, looked := 0, 0
		v.derive = func(secret, day, region, service string) [32]byte {
			derived++
			return deriveKey(secret, day, region, service)
		}
		v.config.Keys = countingKeys{v.config.Keys, &looked}
		r, body := signedRequest(t)
		if cached {
			if _, err := v.Verify(t.Context(), r, body, testScope.Service, testNow); err != nil {
				t.Fatal(err)
			}
		}
		work := func(id string) [2]int {
			bad := r.Clone(t.Context())
			bad.Method = "PUT"
			bad.Header.Set("Authorization", strings.Replace(bad.Header.Get("Authorization"), testKey.AccessKeyID, id, 1))
			derived, looked = 0, 0
			_, err := v.Verify(t.Context(), bad, body, testScope.Service, testNow)
			if err == nil {
				t.Fatal("accepted")
			}
			return [2]int{derived, looked}
		}
		mismatch, unknown := work(testKey.AccessKeyID), work("AKIDOTHER00")
		if mismatch != unknown || unknown != [2]int{1, 1} {
			t.Errorf("cached %t: %v derivations and look-ups for an unknown key, %v for a wrong signature, want 1 and 1", cached, unknown, mismatch)
		}
	}
}

type countingKeys struct {
	Keys
	n *int
}

func (k countingKeys) Secret(ctx context.Context, id string) (Key, bool) {
	*k.n++
	return k.Keys.Secret(ctx, id)
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
