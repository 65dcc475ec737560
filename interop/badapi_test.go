package interop

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestBadAPI sends what the SDKs would not: each is a modelled error in the form all clients read, and nothing is
// stored.
func TestBadAPI(t *testing.T) {
	n := node(t)
	before := n.countConnectors(t)
	const good = `{"Name":"bad","RequireEncryption":true}`
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		exception, says            string
	}{
		{"malformed", "POST", "/voice-connectors", `{"Name":`, 400, "BadRequestException", "JSON"},
		{"no object", "POST", "/voice-connectors", `[1]`, 400, "BadRequestException", "object"},
		{"no body", "POST", "/voice-connectors", ``, 400, "BadRequestException", "name"},
		{"number as name", "POST", "/voice-connectors", `{"Name":5,"RequireEncryption":true}`, 400, "BadRequestException", "String"},
		{"text as flag", "POST", "/voice-connectors", `{"Name":"bad","RequireEncryption":"yes"}`, 400, "BadRequestException", "Boolean"},
		{"no name", "POST", "/voice-connectors", `{"RequireEncryption":true}`, 400, "BadRequestException", "name"},
		{"name of 257", "POST", "/voice-connectors", `{"Name":"` + strings.Repeat("n", 257) + `","RequireEncryption":true}`, 400, "BadRequestException", "256"},
		{"unknown region", "POST", "/voice-connectors", `{"Name":"bad","RequireEncryption":true,"AwsRegion":"mars-1"}`, 400, "BadRequestException", "mars-1"},
		{"not UTF-8", "POST", "/voice-connectors", "{\"Name\":\"\xff\",\"RequireEncryption\":true}", 400, "BadRequestException", "UTF-8"},
		{"more than 1 MiB", "POST", "/voice-connectors", `{"Name":"bad","RequireEncryption":true,"X":"` + strings.Repeat("x", 1<<20) + `"}`, 400, "BadRequestException", "1048576"},
		{"100,000 brackets", "POST", "/voice-connectors", strings.Repeat("[", 100_000), 400, "BadRequestException", ""},
		{"page of 0", "GET", "/voice-connectors?max-results=0", "", 400, "BadRequestException", ""},
		{"empty id", "GET", "/voice-connectors/", "", 404, "", ""},
		{"unknown id", "GET", "/voice-connectors/../../etc/passwd", "", 404, "", ""},
		{"unknown path", "GET", "/nothing", "", 404, "UnknownOperationException", ""},
		{"other method", "PATCH", "/voice-connectors", good, 404, "UnknownOperationException", ""},
		{"not offered", "GET", "/sip-media-applications", "", 403, "ForbiddenException", "not offered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			judgeError(t, n.try(t, c.method, c.target, c.body), c.status, c.exception, c.says)
		})
	}
	if after := n.countConnectors(t); after != before {
		t.Errorf("%d connectors before, %d after", before, after)
	}
	// AWS's clients may be newer than our model: what it does not know is left alone.
	n.call(t, "POST", "/voice-connectors", object{"Name": "good", "RequireEncryption": true, "Unheard": object{"of": 1}}, nil)
}

// TestBadSignatures: each fault has an error of its own.
func TestBadSignatures(t *testing.T) {
	n := node(t)
	const body = `{"Name":"unsigned","RequireEncryption":true}`
	before := n.countConnectors(t)
	signed := func() *http.Request {
		h, err := http.NewRequest("POST", n.API+"/voice-connectors", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		h.Header.Set("Content-Type", "application/json")
		if err := n.sign(h, []byte(body)); err != nil {
			t.Fatal(err)
		}
		return h
	}
	authorization := func(h *http.Request, old, new string) {
		h.Header.Set("Authorization", strings.Replace(h.Header.Get("Authorization"), old, new, 1))
	}
	skew := func(by time.Duration) func(*http.Request) {
		return func(h *http.Request) {
			if err := n.signAt(h, []byte(body), time.Now().Add(by)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name      string
		change    func(*http.Request)
		status    int
		exception string
		says      string
	}{
		{"none", func(h *http.Request) { h.Header.Del("Authorization") }, 403, "MissingAuthenticationTokenException", ""},
		{"another algorithm", func(h *http.Request) { authorization(h, "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1") }, 403, "IncompleteSignatureException", ""},
		{"no signature", func(h *http.Request) { authorization(h, "Signature=", "Sig=") }, 403, "IncompleteSignatureException", ""},
		{"no date", func(h *http.Request) { h.Header.Del("X-Amz-Date") }, 403, "IncompleteSignatureException", ""},
		{"another service", func(h *http.Request) { authorization(h, "/chime/", "/s3/") }, 403, "InvalidSignatureException", ""},
		{"another key", func(h *http.Request) { authorization(h, n.AccessKeyID, "AKIAQQQQQQQQQQQQQQQQ") }, 403, "UnrecognizedClientException", ""},
		{"another query", func(h *http.Request) { h.URL.RawQuery = "a=b" }, 403, "InvalidSignatureException", "does not match"},
		{"a changed header", func(h *http.Request) { h.Header.Set("Content-Type", "text/json") }, 403, "InvalidSignatureException", "does not match"},
		{"16 minutes ago", skew(-16 * time.Minute), 403, "InvalidSignatureException", "Signature expired"},
		{"in 16 minutes", skew(16 * time.Minute), 403, "InvalidSignatureException", "Signature not yet current"},
		{"the session token of nobody", func(h *http.Request) { h.Header.Set("X-Amz-Security-Token", "x") }, 403, "InvalidClientTokenId", ""},
	} {
		h := signed()
		c.change(h)
		t.Run(c.name, func(t *testing.T) { judgeError(t, n.send(t, h), c.status, c.exception, c.says) })
	}
	h := signed()
	h.Body, h.ContentLength = io.NopCloser(strings.NewReader(strings.Replace(body, "unsigned", "replaced", 1))), int64(len(body))
	if r := n.send(t, h); r.status/100 != 4 {
		t.Errorf("another body under the same signature: %d %s", r.status, r.body)
	}
	if after := n.countConnectors(t); after != before {
		t.Errorf("%d connectors before, %d after", before, after)
	}
}

// judgeError checks the form that all clients read: the type in a header, Code and Message in the body, an id.
func judgeError(t *testing.T, r reply, status int, exception, says string) {
	t.Helper()
	var body struct{ Code, Message string }
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || body.Code == "" {
		t.Errorf("the body is %q (%v)", r.body, err)
	}
	if r.status != status || exception != "" && r.header.Get("X-Amzn-ErrorType") != exception || !strings.Contains(body.Message, says) {
		t.Errorf("got %d %s %s; want %d %s with %q", r.status, r.header.Get("X-Amzn-ErrorType"), r.body, status, exception, says)
	}
	if r.header.Get("X-Amzn-RequestId") == "" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", r.header)
	}
}

// TestBadHTTP: what is no HTTP, or HTTP that two readers could read in two ways, is refused, and the API goes on.
func TestBadHTTP(t *testing.T) {
	n := node(t)
	address, err := url.Parse(n.API)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text string }{
		{"garbage", "\x00\xff\x00\xff\r\n\r\n"},
		{"SIP", "OPTIONS sip:a@b SIP/2.0\r\n\r\n"},
		{"no host", "GET /voice-connectors HTTP/1.1\r\n\r\n"},
		{"two lengths", "POST /voice-connectors HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"},
		{"negative length", "POST /voice-connectors HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
		{"length beside chunks, unsigned", "POST /voice-connectors HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"2 MiB of headers", "GET /voice-connectors HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", 2<<20) + "\r\n\r\n"},
		{"escape that is none", "GET /voice-connectors/%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			go io.WriteString(conn, c.text)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return // the connection was closed without an answer
			}
			defer answer.Body.Close()
			if answer.StatusCode < 400 || answer.StatusCode >= 500 {
				t.Errorf("got %s", answer.Status)
			}
		})
	}
	n.countConnectors(t)
}

// countConnectors walks the list to its end.
func (n *process) countConnectors(t *testing.T) int {
	t.Helper()
	count, target := 0, "/voice-connectors?max-results=99"
	for {
		var page struct {
			VoiceConnectors []connector
			NextToken       *string
		}
		n.call(t, "GET", target, nil, &page)
		count += len(page.VoiceConnectors)
		if page.NextToken == nil {
			return count
		}
		target = "/voice-connectors?max-results=99&next-token=" + url.QueryEscape(*page.NextToken)
	}
}
