package api

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

const create = `{"Name":"demo","RequireEncryption":true}`

// brokenStore answers every transaction with an error.
type brokenStore struct{ err error }

func (s brokenStore) Update(context.Context, func(trunk.Tx) error) (int64, error) { return 0, s.err }

var updateGolden = flag.Bool("update", false, "write golden files anew")

// TestGoldenErrors holds one answer of each kind against a file: clients tell errors apart by these bytes.
func TestGoldenErrors(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	n.put(t, &trunk.PhoneNumber{E164: "+12065550100", Account: accountA, ConnectorID: id})
	n.put(t, &trunk.Quota{Account: accountB, Name: trunk.QuotaConnectors, Value: 0})
	denied := n.key(t, accountA, func(k *iam.AccessKey) {
		k.ID = "AKIADENIED0000000000"
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:List*","Resource":"*"}}`
	})
	broken := func(err error) func() answer {
		return func() answer {
			old := n.Server.config.Store
			defer func() { n.Server.config.Store = old }()
			n.Server.config.Store = brokenStore{err}
			return n.do(t, accountA, "POST", "/voice-connectors", create)
		}
	}
	send := func(method, target, body string, header ...string) func() answer {
		return func() answer { return n.do(t, accountA, method, target, body, header...) }
	}
	var got bytes.Buffer
	before := n.revision(t)
	for _, c := range []struct {
		name string
		do   func() answer
	}{
		{"BadRequest: validation", send("POST", "/voice-connectors", `{"Name":""}`)},
		{"BadRequest: malformed JSON", send("POST", "/voice-connectors", `{"Name":`)},
		{"NotFound", send("GET", "/voice-connectors/aaaaaaaaaaaaaaaaaaaaaa", "")},
		{"Conflict", send("DELETE", "/voice-connectors/"+id, "")},
		{"ResourceLimitExceeded", func() answer { return n.do(t, accountB, "POST", "/voice-connectors", create) }},
		{"Forbidden: not offered", send("GET", "/sip-media-applications", "")},
		{"AccessDenied", func() answer { return n.as(t, denied, "POST", "/voice-connectors", create) }},
		{"AccessDenied where it is not modelled", func() answer { return n.as(t, denied, "GET", "/voice-connectors/aaaaaaaaaaaaaaaaaaaaaa", "") }},
		{"Throttled", broken(trunk.Errorf(trunk.Throttled, "Rate exceeded"))},
		{"Unavailable", broken(fmt.Errorf("update: %w", trunk.Errorf(trunk.Unavailable, "The store cannot be reached.")))},
		{"Unavailable: out of time", broken(context.DeadlineExceeded)},
		{"Internal", broken(errors.New("secret detail"))},
		{"Internal with a kind", broken(trunk.Errorf(trunk.Internal, "secret detail"))},
		{"Conflict where it is not modelled", broken(trunk.Errorf(trunk.Conflict, "It is there."))},
		{"unknown operation", send("GET", "/nothing", "")},
		{"known path, other method", send("PATCH", "/voice-connectors", "")},
		{"no id", send("GET", "/voice-connectors/", "")},
	} {
		a := c.do()
		fmt.Fprintf(&got, "# %s\n%d %s\nContent-Type: %s\nContent-Length: %s\nx-amzn-ErrorType: %s\n\n%s\n\n", c.name, a.Status, http.StatusText(a.Status),
			a.Header.Get("Content-Type"), a.Header.Get("Content-Length"), a.errorType(), a.Body)
	}
	if n.revision(t) != before {
		t.Error("a refused request stored something")
	}
	const file = "testdata/errors.golden"
	if *updateGolden {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("answers differ from %s:\n%s", file, got.Bytes())
	}
}

func TestExceptionTableIsTotal(t *testing.T) {
	if len(exceptions) != len(trunk.Kinds()) {
		t.Fatalf("%d rows for %d kinds", len(exceptions), len(trunk.Kinds()))
	}
	for _, k := range trunk.Kinds() {
		row := exceptions[k]
		if row.name == "" || row.code == "" || wire.ExceptionStatus(row.name) < 400 {
			t.Errorf("%v: %+v", k, row)
		}
	}
}

// TestOnlyModelledErrors: whatever goes wrong in a handler, the SDK has a type for the answer.
func TestOnlyModelledErrors(t *testing.T) {
	faults := []error{errors.New("x"), context.Canceled, &deniedError{"p", "a", "r"}}
	for _, k := range trunk.Kinds() {
		faults = append(faults, trunk.Errorf(k, "x"))
	}
	rows := table()
	for i := range rows {
		for _, ns := range []wire.Namespace{wire.Chime, wire.Voice, wire.Either} {
			r := &request{row: &rows[i], namespace: ns}
			if r.row.aws == nil || !r.row.aws.In(ns).Offered {
				continue
			}
			for _, err := range faults {
				e := r.exception(err)
				if !r.row.aws.In(ns).Models(e.Type) {
					t.Errorf("%s in %v: %v is answered with %s, which is not modelled", r.row.name, ns, err, e.Type)
				}
				if e.Status != wire.ExceptionStatus(e.Type) {
					t.Errorf("%s: %s with status %d", r.row.name, e.Type, e.Status)
				}
			}
		}
	}
}

// TestSignatureFaults: each fault has its own error, on every one nothing is stored.
func TestSignatureFaults(t *testing.T) {
	n := startNode(t)
	good := n.keys[accountA]
	temporary := n.key(t, accountA, func(k *iam.AccessKey) {
		k.SessionToken = trunk.NewSecret("token")
	})
	expired := n.key(t, accountA, func(k *iam.AccessKey) { k.Expires = n.clock.Now().Add(-time.Second) })
	disabled := n.key(t, accountA, func(k *iam.AccessKey) { k.Disabled = true })
	signed := func(key sigv4.Credentials, service string, skew time.Duration) *http.Request {
		h := newRequest("POST", "/voice-connectors", create)
		sigv4.Sign(h, []byte(create), key, sigv4.Scope{Region: "us-east-1", Service: service}, n.clock.Now().Add(skew))
		return h
	}
	edit := func(f func(*http.Request)) *http.Request {
		h := signed(good, "chime", 0)
		f(h)
		return h
	}
	authorization := func(old, new string) *http.Request {
		return edit(func(h *http.Request) {
			h.Header.Set("Authorization", regexp.MustCompile(old).ReplaceAllString(h.Header.Get("Authorization"), new))
		})
	}
	before := n.revision(t)
	for _, c := range []struct {
		name   string
		h      *http.Request
		status int
		want   string
	}{
		{"no signature", newRequest("POST", "/voice-connectors", create), 403, "MissingAuthenticationTokenException"},
		{"no SignedHeaders", authorization(`SignedHeaders=[^,]*, `, ""), 403, "IncompleteSignatureException"},
		{"no date", edit(func(h *http.Request) { h.Header.Del("X-Amz-Date") }), 403, "IncompleteSignatureException"},
		{"header and query", edit(func(h *http.Request) {
			h.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"
			h.RequestURI = h.URL.RequestURI()
		}), 403, "IncompleteSignatureException"},
		{"other secret", signed(sigv4.Credentials{AccessKeyID: good.AccessKeyID, SecretAccessKey: "x"}, "chime", 0), 403, "InvalidSignatureException"},
		{"one bit of the signature", edit(func(h *http.Request) {
			a := []byte(h.Header.Get("Authorization"))
			last := &a[len(a)-1]
			*last = map[bool]byte{true: '1', false: '0'}[*last == '0']
			h.Header.Set("Authorization", string(a))
		}), 403, "InvalidSignatureException"},
		{"signature not in hex", authorization(`Signature=.`, "Signature=g"), 403, "IncompleteSignatureException"},
		{"a signed header changed", edit(func(h *http.Request) { h.Host = "elsewhere.example" }), 403, "InvalidSignatureException"},
		{"other body", edit(func(h *http.Request) {
			h.Body = io.NopCloser(strings.NewReader(strings.Replace(create, "true", "null", 1)))
		}), 400, "XAmzContentSHA256Mismatch"},
		{"body hash", edit(func(h *http.Request) { h.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) }), 400, "XAmzContentSHA256Mismatch"},
		{"unknown key", signed(sigv4.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}, "chime", 0), 403, "UnrecognizedClientException"},
		{"disabled key", signed(disabled, "chime", 0), 403, "UnrecognizedClientException"},
		{"expired key", signed(expired, "chime", 0), 403, "ExpiredTokenException"},
		{"no session token", signed(sigv4.Credentials{AccessKeyID: temporary.AccessKeyID, SecretAccessKey: temporary.SecretAccessKey}, "chime", 0), 403, "InvalidClientTokenId"},
		{"other service", signed(good, "s3", 0), 403, "InvalidSignatureException"},
		{"too old", signed(good, "chime", -15*time.Minute-time.Second), 403, "InvalidSignatureException"},
		{"too new", signed(good, "chime", 15*time.Minute+time.Second), 403, "InvalidSignatureException"},
	} {
		a := n.send(t, c.h)
		if a.Status != c.status || a.errorType() != c.want {
			t.Errorf("%s: got %d %s %s, want %d %s", c.name, a.Status, a.errorType(), a.Body, c.status, c.want)
		}
	}
	if n.revision(t) != before {
		t.Error("a request with a bad signature stored something")
	}
	for _, skew := range []time.Duration{-15 * time.Minute, 15 * time.Minute} {
		if a := n.send(t, signed(good, "chime", skew)); a.Status != 201 {
			t.Errorf("skew %v: %v", skew, a)
		}
	}
	n.as(t, temporary, "POST", "/voice-connectors", create).want(t, 201)
	for _, skew := range []string{"Signature expired: ", "Signature not yet current: "} {
		d := map[bool]time.Duration{true: -time.Hour, false: time.Hour}[strings.Contains(skew, "expired")]
		if a := n.send(t, signed(good, "chime", d)); !strings.HasPrefix(a.text(t, "Message"), skew) {
			t.Errorf("SDKs look for %q, got %s", skew, a.Body)
		}
	}
}

func TestBadInput(t *testing.T) {
	n := startNode(t)
	before := n.revision(t)
	for _, c := range []struct{ name, body, says string }{
		{"no body", ``, "name"},
		{"no members", `{}`, "requireEncryption"},
		{"cut off", `{"Name":"demo"`, "JSON"},
		{"two values", `{} {}`, "JSON"},
		{"a list", `[]`, "object"},
		{"null", `null`, "object"},
		{"bad UTF-8", "{\"Name\":\"\xff\",\"RequireEncryption\":true}", "UTF-8"},
		{"name of another type", `{"Name":1,"RequireEncryption":true}`, "String"},
		{"flag as text", `{"Name":"demo","RequireEncryption":"true"}`, "Boolean"},
		{"flag null", `{"Name":"demo","RequireEncryption":null}`, "requireEncryption"},
		{"no name", `{"RequireEncryption":true}`, "name"},
		{"empty name", `{"Name":"","RequireEncryption":true}`, "name"},
		{"257 characters", `{"Name":"` + strings.Repeat("n", 257) + `","RequireEncryption":true}`, "256"},
		{"control character", `{"Name":"a\nb","RequireEncryption":true}`, "control"},
		{"unknown region", `{"Name":"demo","RequireEncryption":true,"AwsRegion":"mars-1"}`, "mars-1"},
		{"too many tags", `{"Name":"demo","RequireEncryption":true,"Tags":[` + strings.Repeat(`{"Key":"a","Value":"b"},`, 50) + `{"Key":"b","Value":"b"}]}`, "50"},
		{"tag twice", `{"Name":"demo","RequireEncryption":true,"Tags":[{"Key":"a","Value":"b"},{"Key":"a","Value":"c"}]}`, "twice"},
		{"more than 1 MiB", `{"Name":"demo","RequireEncryption":true,"X":"` + strings.Repeat("x", 1<<20) + `"}`, "1048576"},
		{"deep", `{"X":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`, ""},
	} {
		a := n.do(t, accountA, "POST", "/voice-connectors", c.body)
		if a.Status != 400 || a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %.300s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
	}
	for _, target := range []string{"/voice-connectors?max-results=0", "/voice-connectors?max-results=x", "/voice-connectors?max-results=101", "/voice-connectors?a=%zz"} {
		h := newRequest("GET", "/voice-connectors", "")
		h.URL.RawQuery = strings.TrimPrefix(target, "/voice-connectors?")
		h.RequestURI = h.URL.RequestURI()
		sigv4.Sign(h, nil, n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
		if a := n.send(t, h); a.Status != 400 {
			t.Errorf("%s: %v", target, a)
		}
	}
	if n.revision(t) != before {
		t.Error("a refused request stored something")
	}
	n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"`+strings.Repeat("é", 256)+`","RequireEncryption":true}`).want(t, 201)
}

// TestTooLongBodyClosesConnection: what is left of the body must not be read as the next request.
func TestTooLongBodyClosesConnection(t *testing.T) {
	n := startNode(t, func(c *Config) { c.MaxBody = 10 })
	if a := n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 400); a.Header.Get("Connection") != "close" {
		t.Errorf("got %v", a.Header)
	}
}

type panickingStore struct{ trunk.Store }

func (panickingStore) Update(context.Context, func(trunk.Tx) error) (int64, error) { panic("boom") }

func TestPanicIsAnAnswer(t *testing.T) {
	n := startNode(t)
	n.Server.config.Store = panickingStore{n.Server.config.Store}
	a := n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 500)
	if a.errorType() != "ServiceFailureException" || strings.Contains(a.Body, "boom") {
		t.Errorf("got %v", a)
	}
}

// TestOverload: beyond MaxConcurrent a request is refused at once and not queued.
func TestOverload(t *testing.T) {
	var log strings.Builder
	n := startNode(t, func(c *Config) { c.MaxConcurrent, c.Logger = 1, slog.New(slog.NewTextHandler(&log, nil)) })
	n.working <- struct{}{}
	a := n.do(t, accountA, "GET", "/voice-connectors", "").want(t, 503)
	if a.errorType() != "ServiceUnavailableException" {
		t.Errorf("got %v", a)
	}
	if log.Len() > 0 {
		t.Errorf("a flood would fill the log: %s", log.String())
	}
	<-n.working
	n.do(t, accountA, "GET", "/voice-connectors", "").want(t, 200)
}

// TestAuditReads: only so many pages of the audit log are made at once, and one counts until its answer is sent.
func TestAuditReads(t *testing.T) {
	n := startNode(t, func(c *Config) { c.MaxAuditReads = 1 })
	h := newRequest("GET", v1.Audit, "")
	sigv4.Sign(h, nil, n.keys[operatorAccount], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
	w := &slowReader{ResponseRecorder: httptest.NewRecorder(), reads: func() {
		n.do(t, operatorAccount, "GET", v1.Audit, "").want(t, 503)
		n.do(t, accountA, "GET", "/voice-connectors", "").want(t, 200)
	}}
	if n.handler.ServeHTTP(w, h); w.Code != 200 || w.reads != nil {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	n.do(t, operatorAccount, "GET", v1.Audit, "").want(t, 200)
}

// slowReader is a client in whose answer something happens before it takes it.
type slowReader struct {
	*httptest.ResponseRecorder
	reads func()
}

// Write implements http.ResponseWriter.
func (w *slowReader) Write(b []byte) (int, error) {
	if reads := w.reads; reads != nil {
		w.reads = nil
		reads()
	}
	return w.ResponseRecorder.Write(b)
}

// TestLargeBodies: senders of large bodies, or of bodies whose length they do not tell, cannot fill the memory, and
// cannot keep out those who send small ones.
func TestLargeBodies(t *testing.T) {
	n := startNode(t, func(c *Config) { c.MaxLargeBodies = 1 })
	n.largeBodies <- struct{}{}
	large := `{"Name":"demo","RequireEncryption":true,"X":"` + strings.Repeat("x", smallBody) + `"}`
	if a := n.do(t, accountA, "POST", "/voice-connectors", large).want(t, 503); a.Header.Get("Connection") != "close" {
		t.Errorf("got %v", a.Header)
	}
	n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 201)
	h := newRequest("POST", "/voice-connectors", create)
	sigv4.Sign(h, []byte(create), n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
	h.ContentLength = -1
	n.send(t, h).want(t, 503)
	<-n.largeBodies
	n.do(t, accountA, "POST", "/voice-connectors", large).want(t, 201)
	if len(n.largeBodies) != 0 || len(n.working) != 0 {
		t.Error("a place was not given back")
	}
}

// TestShareOfAnAccount: one account's requests take only their share of the places, and give it back; each operator's key
// has one of its own.
func TestShareOfAnAccount(t *testing.T) {
	n := startNode(t, func(c *Config) { c.MaxConcurrent = 8 })
	lowly := n.key(t, operatorAccount, func(*iam.AccessKey) {})
	if got := n.Server.config.MaxPerAccount; got != 2 {
		t.Fatalf("the share of an account is %d, want a quarter", got)
	}
	list := func(account string) answer { return n.do(t, account, "GET", "/voice-connectors", "") }
	for range 2 {
		list(accountA).want(t, 200)
		for _, account := range []string{accountA, operatorAccount} {
			if !n.shares.enter(party{account: account}) {
				t.Fatal("a request has not given its share back")
			}
		}
	}
	if a := list(accountA).want(t, 503); a.errorType() != "ServiceUnavailableException" {
		t.Errorf("got %v", a)
	}
	list(accountB).want(t, 200)
	n.as(t, lowly, "GET", "/voice-connectors", "").want(t, 503)
	n.do(t, operatorAccount, "POST", v1.Keys+"/"+lowly.AccessKeyID+"?operation=disable", "").want(t, 204)
	n.shares.leave(party{account: accountA})
	list(accountA).want(t, 200)
	n.do(t, accountA, "GET", "/voice-connectors/none", "").want(t, 404)
	if got := n.shares.taken; len(got) != 2 || got[party{account: accountA}] != 1 {
		t.Errorf("taken are %v", got)
	}
}

// TestTrickledBodies: a large body that does not come in time gives its place to the next.
func TestTrickledBodies(t *testing.T) {
	n := startNode(t, func(c *Config) { c.MaxLargeBodies, c.LargeBodyTime = 1, 2*time.Second })
	_, to := n.bounded(t, 10, 10)
	c := dialFrom(t, "127.0.0.1", to, "POST /voice-connectors HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
	ended(t, drained{c})
	large := `{"Name":"demo","RequireEncryption":true,"X":"` + strings.Repeat("x", smallBody) + `"}`
	if got := n.ask(t, freshClient(), to, "POST", "/voice-connectors", large); got != 201 {
		t.Errorf("got %d, want 201", got)
	}
}

// drained is a connection whose next read finds what comes after all answers.
type drained struct{ net.Conn }

// Read implements net.Conn.
func (d drained) Read([]byte) (int, error) {
	_, err := io.Copy(io.Discard, d.Conn)
	if err == nil {
		err = io.EOF
	}
	return 0, err
}
