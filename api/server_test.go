package api

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"carillon/api/wire"
	"carillon/sigv4"
	"carillon/trunk"
)

// TestTable: the rows are complete, distinct, and those of the model are all there.
func TestTable(t *testing.T) {
	names := map[string]bool{}
	for _, op := range Operations() {
		if names[op.Name] || op.Status < 200 || op.Status > 299 || op.Method == "" || op.Path == "" {
			t.Errorf("row %+v", op)
		}
		names[op.Name] = true
		own := strings.HasPrefix(op.Path, "/carillon/v1/")
		prefix := "carillon:"
		if !own {
			prefix = op.Service + ":"
		}
		if want := prefix + op.Name; op.Action != want {
			t.Errorf("%s: action %q", op.Name, op.Action)
		}
		if (own || op.Service == stsService) != (len(op.Namespaces) == 0) || own && (!op.Offered || op.Service != chimeService) {
			t.Errorf("%s: namespaces %v, offered %v", op.Name, op.Namespaces, op.Offered)
		}
	}
	for _, op := range wire.Operations() {
		if !names[op.Name] {
			t.Errorf("%s is not in the table", op.Name)
		}
	}
	for _, r := range table() {
		if r.resource == nil {
			t.Errorf("%s has no resource", r.name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	n := startNode(t)
	good := Config{Store: n.store, Directory: n.directory, Calls: n.calls, Audit: n.store, Rehearser: n.rehearser, Random: rand.Reader, TokenKey: make([]byte, 16)}
	if _, err := New(good); err != nil {
		t.Errorf("good: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"no store": func(c *Config) { c.Store = nil }, "no directory": func(c *Config) { c.Directory = nil },
		"no calls": func(c *Config) { c.Calls = nil }, "no audit log": func(c *Config) { c.Audit = nil },
		"no rehearser": func(c *Config) { c.Rehearser = nil }, "no random": func(c *Config) { c.Random = nil },
		"short key": func(c *Config) { c.TokenKey = make([]byte, 15) }, "metrics twice": func(c *Config) { c.Metrics = n.metrics },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMetrics(t *testing.T) {
	n := startNode(t, func(c *Config) { c.MaxBody = 100 })
	n.create(t, accountA, true)
	n.do(t, accountA, "POST", "/voice-connectors", `{}`)
	n.do(t, accountA, "POST", "/voice-connectors", strings.Repeat(" ", 101))
	n.do(t, accountA, "GET", "/nothing", "")
	n.send(t, newRequest("GET", "/voice-connectors", ""))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(n.metrics, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`carillon_api_requests_total{exception="none",operation="CreateVoiceConnector"} 1`,
		`carillon_api_requests_total{exception="BadRequestException",operation="CreateVoiceConnector"} 1`,
		`carillon_api_requests_total{exception="BadRequestException",operation="unknown"} 1`,
		`carillon_api_requests_total{exception="UnknownOperationException",operation="unknown"} 1`,
		`carillon_api_requests_total{exception="MissingAuthenticationTokenException",operation="ListVoiceConnectors"} 1`,
		`carillon_api_request_seconds_count{operation="CreateVoiceConnector"} 2`,
		`carillon_api_signature_faults_total{fault="MissingAuthenticationToken"} 1`,
		`carillon_api_bodies_too_large_total 1`,
		`carillon_api_overload_total 0`,
		`carillon_api_retries_answered_total 0`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

func TestHTTPServerHasLimits(t *testing.T) {
	s := HTTPServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= DefaultRequestTime || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a limit is missing: %+v", s)
	}
}

// TestSecretsStayOut: what a client sends and gets as a secret is in no line of the log, whatever its level.
func TestSecretsStayOut(t *testing.T) {
	var log strings.Builder
	n := startNode(t, func(c *Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	id := n.create(t, accountA, true)
	n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/termination", usTermination).want(t, 200)
	put := "/voice-connectors/" + id + "/termination/credentials?operation=put"
	n.do(t, accountA, "POST", put, `{"Credentials":[{"Username":"u","Password":"geheim"}]}`).want(t, 204)
	n.Server.config.Store = brokenStore{trunk.Errorf(trunk.Internal, "broken")}
	n.do(t, accountA, "POST", put, `{"Credentials":[{"Username":"u","Password":"geheim"}]}`).want(t, 500)
	if got := log.String(); strings.Contains(got, "geheim") || strings.Contains(got, "Signature=") || !strings.Contains(got, "broken") {
		t.Errorf("log: %s", got)
	}
}

func FuzzHandler(f *testing.F) {
	n := startNode(f)
	for op, r := range offeredRequests(n.subject(f, accountA)) {
		if op != wire.OpDeleteVoiceConnector && op != wire.OpDeleteVoiceConnectorGroup && op != wire.OpDeleteSIPRule {
			f.Add(r.method, r.target, r.body, true)
		}
	}
	for _, op := range Operations() {
		f.Add(op.Method, strings.NewReplacer("{", "", "}", "").Replace(op.Path), `{"a":[{"b":null}]}`, false)
	}
	f.Add("", "/voice-connectors", "", true) // net/http takes no method for GET
	f.Fuzz(func(t *testing.T, method, target, body string, tenant bool) {
		h, err := http.NewRequest(method, "http://127.0.0.1"+target, strings.NewReader(body))
		if err != nil || h.URL.Host != "127.0.0.1" || len(body) > 1<<16 {
			return
		}
		h.RequestURI, h.RemoteAddr = h.URL.RequestURI(), "127.0.0.1:1"
		account := operatorAccount
		if tenant {
			account = accountA
		}
		sigv4.Sign(h, []byte(body), n.keys[account], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
		if speaksSTS(h) {
			if a := n.askSTS(t, h); a.status == 200 {
				t.Errorf("%s %q %q: signed for chime and answered by STS", method, target, body)
			}
			return
		}
		a := n.send(t, h)
		if a.Status >= 500 || a.errorType() == "InvalidSignatureException" {
			t.Errorf("%s %q %q: %d %s", method, target, body, a.Status, a.Body)
		}
		_, path := namespaceOf(h.Host, h.URL.EscapedPath(), "")
		if _, err := n.router.Match(h.Method, path, h.URL.Query()); err != nil && a.Status < 400 {
			t.Errorf("%s %q has no route and is answered %d", h.Method, target, a.Status)
		}
	})
}
