package sigv4

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const suite = "testdata/aws-signing-test-suite-v4"

// suiteCases is how many cases the suite has; a missing folder must not look like a pass.
const suiteCases = 38

// suiteContext is context.json of a case.
type suiteContext struct {
	Credentials struct {
		AccessKeyID string `json:"access_key_id"`
		Secret      string `json:"secret_access_key"`
		Token       string `json:"token"`
	} `json:"credentials"`
	Normalize        bool      `json:"normalize"`
	OmitSessionToken bool      `json:"omit_session_token"`
	Region           string    `json:"region"`
	Service          string    `json:"service"`
	Timestamp        time.Time `json:"timestamp"`
}

// oneKey knows a single access key.
type oneKey struct {
	id  string
	key Key
}

func (k oneKey) Secret(_ context.Context, id string) (Key, bool) {
	if id != k.id {
		return Key{}, false
	}
	return k.key, true
}

func readCase(t *testing.T, name, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(suite, name, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// readRequest reads a request of the suite. http.ReadRequest refuses some of them (a space in the path), and the
// verifier must not depend on its cleaning anyway.
func readRequest(t *testing.T, text string) (*http.Request, []byte) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	r := &http.Request{Method: method, RequestURI: strings.TrimSuffix(rest, " HTTP/1.1"), Header: http.Header{}, ContentLength: int64(len(body))}
	last := ""
	for _, line := range lines[1:] {
		if line == "" {
			continue
		}
		if line[0] == ' ' {
			values := r.Header[last]
			values[len(values)-1] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		last = http.CanonicalHeaderKey(name)
		r.Header.Add(name, value)
	}
	r.Host = r.Header.Get("Host")
	return r, []byte(strings.TrimSuffix(body, "\n"))
}

// parts returns canonical request and string to sign of a signed request, through the functions Verify uses.
func parts(t *testing.T, v *Verifier, r *http.Request, body []byte) (request, toSign string, c claim) {
	t.Helper()
	path, query := requestTarget(r)
	pairs, fault := parseQuery(query)
	if fault != nil {
		t.Fatal(fault)
	}
	c, fault = readClaim(r, pairs)
	if fault != nil {
		t.Fatal(fault)
	}
	signed := canonical{
		method: r.Method, path: path, pairs: pairs, header: r.Header, host: r.Host, length: r.ContentLength,
		signed: c.signedHeaders, bodyHash: string(hashHex(nil, body)), normalize: v.config.NormalizePath,
	}
	if c.presigned {
		signed.omit = v.unsignedParameter
	}
	text := signed.append(nil)
	return string(text), string(stringToSign(nil, &c, text)), c
}

func TestSuite(t *testing.T) {
	entries, err := os.ReadDir(suite)
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		cases++
		var sc suiteContext
		if err := json.Unmarshal([]byte(readCase(t, entry.Name(), "context.json")), &sc); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{"header", "query"} {
			t.Run(entry.Name()+"/"+form, func(t *testing.T) { suiteCase(t, entry.Name(), form, sc) })
		}
	}
	if cases != suiteCases {
		t.Errorf("the suite has %d cases, want %d", cases, suiteCases)
	}
}

func suiteCase(t *testing.T, name, form string, sc suiteContext) {
	keys := oneKey{sc.Credentials.AccessKeyID, Key{Secret: sc.Credentials.Secret, SessionToken: sc.Credentials.Token}}
	v := NewVerifier(Config{Keys: keys, NormalizePath: sc.Normalize, TokenAfterSigning: sc.OmitSessionToken})
	r, body := readRequest(t, readCase(t, name, form+"-signed-request.txt"))

	request, toSign, c := parts(t, v, r, body)
	if want := readCase(t, name, form+"-canonical-request.txt"); request != strings.TrimSuffix(want, "\n") {
		t.Errorf("canonical request\n got %q\nwant %q", request, want)
	}
	if want := readCase(t, name, form+"-string-to-sign.txt"); toSign != strings.TrimSuffix(want, "\n") {
		t.Errorf("string to sign\n got %q\nwant %q", toSign, want)
	}
	key := deriveKey(sc.Credentials.Secret, c.day, sc.Region, sc.Service)
	mac := hmacSHA256(key[:], []byte(toSign))
	want := strings.TrimSpace(readCase(t, name, form+"-signature.txt"))
	if got := hex.EncodeToString(mac[:]); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}

	id, err := v.Verify(t.Context(), r, body, sc.Service, sc.Timestamp)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	wantID := Identity{
		AccessKeyID: sc.Credentials.AccessKeyID, Region: sc.Region, Service: sc.Service, Signed: sc.Timestamp, Presigned: form == "query",
	}
	if id.Expires.Before(sc.Timestamp.Add(Window)) {
		t.Errorf("the signature of %v is good until %v", sc.Timestamp, id.Expires)
	}
	if wantID.Expires = id.Expires; id != wantID {
		t.Errorf("identity %+v, want %+v", id, wantID)
	}

	// A changed bit must be refused, be it of the signature, the request line or the body.
	flipped := *r
	flipped.Header = r.Header.Clone()
	other := want[:63] + string("0123456789abcdef"[15-strings.IndexByte("0123456789abcdef", want[63])])
	flipped.RequestURI = strings.Replace(r.RequestURI, want, other, 1)
	if auth := r.Header.Get("Authorization"); auth != "" {
		flipped.Header.Set("Authorization", strings.Replace(auth, want, other, 1))
	}
	if got := faultOf(v.Verify(t.Context(), &flipped, body, sc.Service, sc.Timestamp)); got != InvalidSignature {
		t.Errorf("got %v, want %v", got, InvalidSignature)
	}
	method := *r
	method.Method = string(r.Method[0]^1) + r.Method[1:]
	if got := faultOf(v.Verify(t.Context(), &method, body, sc.Service, sc.Timestamp)); got != InvalidSignature {
		t.Errorf("got %v, want %v", got, InvalidSignature)
	}
	bodyFault := InvalidSignature
	if r.Header.Get(headerBodySHA) != "" {
		bodyFault = BodyHashMismatch
	}
	if got := faultOf(v.Verify(t.Context(), r, append([]byte{1}, body...), sc.Service, sc.Timestamp)); got != bodyFault {
		t.Errorf("got %v, want %v", got, bodyFault)
	}
}

// faultOf returns the fault of a refused request, 0 of an accepted one.
func faultOf(_ Identity, err error) Fault {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Fault
	}
	return 0
}
