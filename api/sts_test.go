package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	v1 "carillon/api/v1"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

const whoAmI = "Action=GetCallerIdentity&Version=2011-06-15"

// stsAnswer is what a client of the Query protocol reads.
type stsAnswer struct {
	XMLName xml.Name
	Account string `xml:"GetCallerIdentityResult>Account"`
	Type    string `xml:"Error>Type"`
	Code    string `xml:"Error>Code"`
	Message string `xml:"Error>Message"`
	Request string `xml:"RequestId"`
	status  int
	text    string
}

// askSTS sends a request and holds the answer against what every answer of STS must have.
func (n *node) askSTS(t testing.TB, h *http.Request) stsAnswer {
	t.Helper()
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, h)
	a := stsAnswer{status: w.Code, text: w.Body.String()}
	if err := xml.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s %s: %v in %s", h.Method, h.URL, err, a.text)
	}
	if a.XMLName.Space != "https://sts.amazonaws.com/doc/2011-06-15/" || w.Header().Get("Content-Type") != "text/xml" ||
		w.Header().Get("Content-Length") != fmt.Sprint(len(a.text)) || len(w.Header().Get("x-amzn-RequestId")) != 36 {
		t.Errorf("%s %s: %v %s", h.Method, h.URL, w.Header(), a.text)
	}
	if a.status >= 400 && (a.XMLName.Local != "ErrorResponse" || a.Code == "" || a.Message == "" || a.Type != "Sender" && a.Type != "Receiver" ||
		a.Request != w.Header().Get("x-amzn-RequestId")) {
		t.Errorf("%s %s: %d %s", h.Method, h.URL, a.status, a.text)
	}
	return a
}

// stsRequest is a request signed for a service.
func (n *node) stsRequest(key sigv4.Credentials, service, method, target, body string, header ...string) *http.Request {
	h := newRequest(method, target, body, header...)
	if body != "" {
		h.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	sigv4.Sign(h, []byte(body), key, sigv4.Scope{Region: "us-east-1", Service: service}, n.clock.Now())
	return h
}

// presigned signs a GET in the query, by hand: the verifier must agree with the specification and not with itself.
func (n *node) presigned(key sigv4.Credentials, service, host, path, query string) *http.Request {
	date := n.clock.Now().UTC().Format("20060102T150405Z")
	scope := date[:8] + "/us-east-1/" + service + "/aws4_request"
	values, _ := url.ParseQuery(query)
	for name, value := range map[string]string{
		"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": key.AccessKeyID + "/" + scope, "X-Amz-Date": date,
		"X-Amz-Expires": "900", "X-Amz-SignedHeaders": "host",
	} {
		values.Set(name, value)
	}
	if key.SessionToken != "" {
		values.Set("X-Amz-Security-Token", key.SessionToken)
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	hash := func(text string) string { sum := sha256.Sum256([]byte(text)); return hex.EncodeToString(sum[:]) }
	canonical := strings.Join([]string{"GET", path, values.Encode(), "host:" + host + "\n", "host", hash("")}, "\n")
	signing := []byte("AWS4" + key.SecretAccessKey)
	for _, part := range strings.Split(scope, "/") {
		signing = mac(signing, part)
	}
	signature := hex.EncodeToString(mac(signing, strings.Join([]string{"AWS4-HMAC-SHA256", date, scope, hash(canonical)}, "\n")))
	return newRequest("GET", path+"?"+values.Encode()+"&X-Amz-Signature="+signature, "", "Host", host)
}

// TestGetCallerIdentity: every way in gets the answer, byte for byte that of AWS.
func TestGetCallerIdentity(t *testing.T) {
	n := startNode(t)
	key := n.keys[accountA]
	for name, h := range map[string]*http.Request{
		"CLI at the root":         n.stsRequest(key, "sts", "POST", "/", whoAmI),
		"CLI at the base path":    n.stsRequest(key, "sts", "POST", "/sts/", whoAmI),
		"base path without slash": n.stsRequest(key, "sts", "POST", "/sts", whoAmI),
		"global host":             n.stsRequest(key, "sts", "POST", "/", whoAmI, "Host", "sts.amazonaws.com"),
		"regional host":           n.stsRequest(key, "sts", "POST", "/", whoAmI, "Host", "sts.eu-west-1.amazonaws.com:443"),
		"GET":                     n.stsRequest(key, "sts", "GET", "/?"+whoAmI, ""),
		"GET at the base path":    n.stsRequest(key, "sts", "GET", "/sts?"+whoAmI, ""),
		"presigned":               n.presigned(key, "sts", "sts.amazonaws.com", "/", whoAmI),
		"presigned at the root":   n.presigned(key, "sts", "127.0.0.1:8080", "/", whoAmI),
		"parameters in two parts": n.stsRequest(key, "sts", "POST", "/?Version=2011-06-15", "Action=GetCallerIdentity"),
	} {
		w := httptest.NewRecorder()
		n.handler.ServeHTTP(w, h)
		want := `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:iam::111111111111:user/` + key.AccessKeyID + `</Arn>
    <UserId>` + key.AccessKeyID + `</UserId>
    <Account>111111111111</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>` + w.Header().Get("x-amzn-RequestId") + `</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
`
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d\n got %s\nwant %s", name, w.Code, w.Body, want)
		}
	}
	denied := n.key(t, accountB, func(k *iam.AccessKey) { k.Policy = `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}` })
	if a := n.askSTS(t, n.stsRequest(denied, "sts", "POST", "/", whoAmI)); a.status != 200 || a.Account != accountB {
		t.Errorf("with a policy that denies everything: %d %s", a.status, a.text)
	}
}

// TestSTSRefusals: each in the words of the Query protocol.
func TestSTSRefusals(t *testing.T) {
	n := startNode(t)
	key := n.keys[accountA]
	temporary := n.key(t, accountA, func(k *iam.AccessKey) { k.SessionToken = trunk.NewSecret("token") })
	expired := n.key(t, accountA, func(k *iam.AccessKey) {
		k.SessionToken, k.Expires = trunk.NewSecret("token"), n.clock.Now()
	})
	late := newRequest("POST", "/sts", whoAmI)
	sigv4.Sign(late, []byte(whoAmI), key, sigv4.Scope{Region: "us-east-1", Service: "sts"}, n.clock.Now().Add(-16*minute))
	spoiled := n.stsRequest(key, "sts", "POST", "/sts", whoAmI)
	spoiled.Header.Set("Authorization", strings.Replace(spoiled.Header.Get("Authorization"), "SignedHeaders", "SignedHeader", 1))
	for _, c := range []struct {
		name   string
		h      *http.Request
		status int
		code   string
		says   string
	}{
		{"not signed", newRequest("POST", "/sts", whoAmI), 403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		{"not signed, by host", newRequest("POST", "/", whoAmI, "Host", "sts.amazonaws.com"), 403, "MissingAuthenticationToken", "missing"},
		{"unknown key", n.stsRequest(sigv4.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}, "sts", "POST", "/", whoAmI), 403, "InvalidClientTokenId", "The security token included in the request is invalid."},
		{"other secret", n.stsRequest(sigv4.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: "x"}, "sts", "POST", "/", whoAmI), 403, "SignatureDoesNotMatch", "does not match"},
		{"signed for chime", n.stsRequest(key, "chime", "POST", "/sts", whoAmI), 403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'."},
		{"too late", late, 403, "SignatureDoesNotMatch", "Signature expired: "},
		{"incomplete", spoiled, 400, "IncompleteSignature", "Authorization"},
		{"no session token", n.stsRequest(sigv4.Credentials{AccessKeyID: temporary.AccessKeyID, SecretAccessKey: temporary.SecretAccessKey}, "sts", "POST", "/", whoAmI), 403, "InvalidClientTokenId", "invalid"},
		{"expired", n.stsRequest(expired, "sts", "POST", "/", whoAmI), 403, "ExpiredToken", "expired"},
		{"other action", n.stsRequest(key, "sts", "POST", "/", "Action=AssumeRole&Version=2011-06-15"), 400, "InvalidAction", "Could not find operation AssumeRole for version 2011-06-15"},
		{"action in small letters", n.stsRequest(key, "sts", "POST", "/", "Action=getcalleridentity&Version=2011-06-15"), 400, "InvalidAction", "getcalleridentity"},
		{"other version", n.stsRequest(key, "sts", "POST", "/", "Action=GetCallerIdentity&Version=2010-01-01"), 400, "InvalidAction", "for version 2010-01-01"},
		{"no version", n.stsRequest(key, "sts", "POST", "/", "Action=GetCallerIdentity"), 400, "InvalidAction", "NO_VERSION_SPECIFIED"},
		{"other method", n.stsRequest(key, "sts", "PUT", "/", whoAmI), 400, "InvalidAction", "GetCallerIdentity"},
		{"no action", n.stsRequest(key, "sts", "POST", "/", ""), 400, "MissingAction", "Action"},
		{"action twice", n.stsRequest(key, "sts", "POST", "/", whoAmI+"&Action=AssumeRole"), 400, "MalformedQueryString", "more than once"},
		{"action in body and query", n.stsRequest(key, "sts", "POST", "/?Action=GetCallerIdentity", whoAmI), 400, "MalformedQueryString", "more than once"},
		{"no form", n.stsRequest(key, "sts", "POST", "/", "Action=%zz"), 400, "MalformedQueryString", "malformed"},
		{"query that is none", n.stsRequest(key, "sts", "POST", "/sts?a=%zz", whoAmI), 400, "ValidationError", "malformed"},
		{"too long", n.stsRequest(key, "sts", "POST", "/", whoAmI+"&x="+strings.Repeat("x", maxForm)), 400, "ValidationError", "16384"},
		{"far too long", n.stsRequest(key, "sts", "POST", "/sts", strings.Repeat("x", DefaultMaxBody+1)), 400, "ValidationError", "1048576"},
		{"a long action", n.stsRequest(key, "sts", "POST", "/", "Action="+strings.Repeat("a", 9000)+"&Version=2011-06-15"), 400, "InvalidAction", "operation " + strings.Repeat("a", maxQuoted) + "... for"},
		{"text no XML can hold", n.stsRequest(key, "sts", "POST", "/", "Action=%00%3Cb%3E%ff&Version=%0b"), 400, "InvalidAction", "<b>"},
	} {
		a := n.askSTS(t, c.h)
		if a.status != c.status || a.Code != c.code || a.Type != "Sender" || !strings.Contains(a.Message, c.says) {
			t.Errorf("%s: got %d %s, want %d %s %q", c.name, a.status, a.text, c.status, c.code, c.says)
		}
	}
}

// TestTemporaryKeyOfEachForm: in header and query alike a temporary key needs its session token, exactly, and its end is
// told to whoever has all of it.
func TestTemporaryKeyOfEachForm(t *testing.T) {
	n := startNode(t)
	made := decode[v1.Credentials](t, n.do(t, operatorAccount, "POST", v1.Keys, `{"account":"`+accountA+`","expires_seconds":3600}`).want(t, 201))
	key := sigv4.Credentials{AccessKeyID: made.AccessKeyID, SecretAccessKey: made.SecretAccessKey, SessionToken: made.SessionToken}
	forms := map[string]func(sigv4.Credentials) answer{
		"header": func(k sigv4.Credentials) answer { return n.as(t, k, "GET", "/voice-connectors", "") },
		"query": func(k sigv4.Credentials) answer {
			return n.send(t, n.presigned(k, "chime", "127.0.0.1:8080", "/voice-connectors", "max-results=5"))
		},
	}
	for name, send := range forms {
		send(key).want(t, 200)
		for _, token := range []string{"", "x", key.SessionToken[1:], key.SessionToken + "A", strings.ToLower(key.SessionToken)} {
			wrong := key
			wrong.SessionToken = token
			if a := send(wrong); a.Status != 403 || a.errorType() != "InvalidClientTokenId" {
				t.Errorf("%s with token %q: %v", name, token, a)
			}
		}
	}
	n.clock.Advance(time.Hour)
	for name, send := range forms {
		if a := send(key); a.Status != 403 || a.errorType() != "ExpiredTokenException" {
			t.Errorf("%s after its end: %v", name, a)
		}
		wrong := key
		wrong.SessionToken = "x"
		if a := send(wrong); a.errorType() != "InvalidClientTokenId" {
			t.Errorf("%s after its end, without its token: %v", name, a)
		}
	}
}

// TestSTSSignatureOpensNothingElse: a presigned GetCallerIdentity is a proof of identity that is given to others.
func TestSTSSignatureOpensNothingElse(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	before := n.revision(t)
	for op, r := range offeredRequests(s) {
		a := n.send(t, n.stsRequest(n.keys[accountA], "sts", r.method, r.target, r.body))
		if a.Status != 403 || a.errorType() != "InvalidSignatureException" || !strings.Contains(a.Body, "correct service: 'chime'") {
			t.Errorf("operation %v: %v", op, a)
		}
	}
	for _, op := range Operations() {
		if !strings.HasPrefix(op.Path, "/carillon/") {
			continue
		}
		path := strings.NewReplacer("{", "", "}", "").Replace(op.Path)
		if a := n.send(t, n.stsRequest(n.keys[operatorAccount], "sts", op.Method, path, "")); a.Status != 403 || a.errorType() != "InvalidSignatureException" {
			t.Errorf("%s: %v", op.Name, a)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
	// STS is where it is: not below the base path of another service, whatever the signature says.
	for _, path := range []string{"/chime/sts", "/voice/sts", "/chime-sdk-voice/sts"} {
		for _, service := range []string{"sts", "chime"} {
			if a := n.send(t, n.stsRequest(n.keys[accountA], service, "POST", path+"?"+whoAmI, "")); a.Status != 404 {
				t.Errorf("%s signed for %s: %v", path, service, a)
			}
		}
	}
	// At the root there is nothing for other services.
	if a := n.do(t, accountA, "POST", "/", whoAmI); a.Status != 404 {
		t.Errorf("signed for chime at the root: %v", a)
	}
	if a := n.send(t, newRequest("POST", "/", whoAmI)); a.Status != 404 {
		t.Errorf("not signed at the root: %v", a)
	}
}

// TestSTSExceptionIsTotal: every error has words, and internal ones give nothing away.
func TestSTSExceptionIsTotal(t *testing.T) {
	for _, f := range sigv4.Faults() {
		if e := stsException(&sigv4.Error{Fault: f, Message: "m"}); e.Code == "" || e.Message == "" || e.Status != 400 && e.Status != 403 {
			t.Errorf("%v: %+v", f, e)
		}
	}
	for _, k := range trunk.Kinds() {
		if e := stsException(trunk.Errorf(k, "secret")); e.Code == "" || strings.Contains(e.Message, "secret") {
			t.Errorf("%v: %+v", k, e)
		}
	}
	for err, want := range map[error]int{errors.New("secret"): 500, errOverload: 503, trunk.Errorf(trunk.Throttled, "x"): 400} {
		if e := stsException(err); e.Status != want || strings.Contains(e.Message, "secret") {
			t.Errorf("%v: %+v, want %d", err, e, want)
		}
	}
}

// FuzzSTS: whatever the form is, the answer is XML that can be read, and only GetCallerIdentity of this version succeeds.
func FuzzSTS(f *testing.F) {
	n := startNode(f)
	for _, seed := range []string{whoAmI, "", "Action=AssumeRole&Version=2011-06-15", "Action=%00&Version=\xff", "a;b&=&Action", "Action=GetCallerIdentity&Version=2011-06-15&Version="} {
		f.Add(seed, true, "/")
		f.Add(seed, false, "/sts/")
	}
	f.Fuzz(func(t *testing.T, form string, post bool, path string) {
		if path != "/" && path != "/sts" && path != "/sts/" {
			return
		}
		h := n.stsRequest(n.keys[accountA], "sts", "POST", path, form)
		if !post {
			h = newRequest("GET", path, "")
			h.URL.RawQuery = form
			h.RequestURI = h.URL.RequestURI()
			sigv4.Sign(h, nil, n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "sts"}, n.clock.Now())
		}
		a := n.askSTS(t, h)
		values, err := url.ParseQuery(form)
		should := err == nil && len(values["Action"]) == 1 && len(values["Version"]) == 1 &&
			values.Get("Action") == "GetCallerIdentity" && values.Get("Version") == stsVersion && len(form) <= maxForm
		if a.status >= 500 || (a.status == 200) && !should {
			t.Errorf("%q: %d %s", form, a.status, a.text)
		}
	})
}
