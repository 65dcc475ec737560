package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1 "carillon/api/v1"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

// setRate sets a rate through the API.
func (n *node) setRate(t *testing.T, name, account string, value int) {
	t.Helper()
	n.do(t, operatorAccount, "PUT", v1.Quotas+"/"+url.PathEscape(name), fmt.Sprintf(`{"value":%d,"account":%q}`, value, account)).want(t, 200)
}

// TestThrottle: a rate holds for each operation of an account by itself, the operation's own before the general one; what
// is refused says when to come again, and then is right.
func TestThrottle(t *testing.T) {
	n := startNode(t)
	list := func(account string) answer { return n.do(t, account, "GET", "/voice-connectors", "") }
	for range 50 {
		list(accountA).want(t, 200)
	}
	n.setRate(t, "API requests per second", "", 4)
	n.setRate(t, "API requests per second: CreateVoiceConnector", accountA, 2)
	for range 4 {
		list(accountA).want(t, 200)
	}
	a := list(accountA).want(t, 429)
	if a.errorType() != "ThrottledClientException" || a.text(t, "Code") != "Throttled" || a.text(t, "Message") != "Rate exceeded" ||
		a.Header.Get("Retry-After") != "1" || a.Header.Get("x-amz-retry-after") != "250" {
		t.Errorf("got %v", a)
	}
	list(accountB).want(t, 200) // another account has its own bucket
	for range 2 {               // another operation too
		n.create(t, accountA, true)
	}
	before := n.revision(t)
	if a := n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 429); a.Header.Get("x-amz-retry-after") != "500" {
		t.Errorf("got %v", a)
	}
	if n.revision(t) != before {
		t.Error("a throttled create stored something")
	}
	n.clock.Advance(249 * time.Millisecond)
	list(accountA).want(t, 429)
	n.clock.Advance(time.Millisecond)
	list(accountA).want(t, 200)
	list(accountA).want(t, 429)
	n.clock.Advance(time.Hour) // never more than the depth
	for range 4 {
		list(accountA).want(t, 200)
	}
	list(accountA).want(t, 429)
	n.do(t, operatorAccount, "DELETE", v1.Quotas+"/API%20requests%20per%20second", "").want(t, 204)
	for range 20 {
		list(accountA).want(t, 200)
	}
}

// TestOnlySignedRequestsSpend: neither strangers nor a stolen key id can take a tenant's rate away; a key that may do
// nothing spends its own account's.
func TestOnlySignedRequestsSpend(t *testing.T) {
	n := startNode(t)
	n.setRate(t, trunk.QuotaAPIRate, accountA, 1)
	forged := sigv4.Credentials{AccessKeyID: n.keys[accountA].AccessKeyID, SecretAccessKey: "guess"}
	for range 5 {
		n.send(t, newRequest("GET", "/voice-connectors", "")).want(t, 403)
		n.as(t, forged, "GET", "/voice-connectors", "").want(t, 403)
		n.do(t, accountB, "GET", "/voice-connectors", "").want(t, 200)
	}
	n.do(t, accountA, "GET", "/voice-connectors", "").want(t, 200)
	n.do(t, accountA, "GET", "/voice-connectors", "").want(t, 429)
	nothing := n.key(t, accountA, func(k *iam.AccessKey) { k.Policy = `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}` })
	n.clock.Advance(time.Second)
	n.as(t, nothing, "GET", "/voice-connectors", "").want(t, 403)
	n.as(t, nothing, "GET", "/voice-connectors", "").want(t, 429)
}

// TestThrottlingException: the other name, and operations whose model has neither.
func TestThrottlingException(t *testing.T) {
	n := startNode(t, func(c *Config) { c.ThrottleException = ThrottlingException })
	n.setRate(t, trunk.QuotaAPIRate, accountA, 1)
	for _, target := range []string{"/voice-connectors", "/tags?arn=x"} {
		n.do(t, accountA, "GET", target, "")
		if a := n.do(t, accountA, "GET", target, "").want(t, 429); a.errorType() != "ThrottlingException" || a.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: %v", target, a)
		}
	}
	n.setRate(t, "API requests per second: GetCallerIdentity", "", 1)
	n.askSTS(t, n.stsRequest(n.keys[accountB], "sts", "POST", "/", whoAmI))
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, n.stsRequest(n.keys[accountB], "sts", "POST", "/", whoAmI))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "<Code>Throttling</Code>") || w.Header().Get("Retry-After") != "1" {
		t.Errorf("STS: %d %v %s", w.Code, w.Header(), w.Body)
	}
	config := n.Server.config
	config.Metrics, config.ThrottleException = nil, "SlowDown"
	if _, err := New(config); err == nil {
		t.Error("SlowDown was taken")
	}
}

// TestRatesAreBounded: with more pairs than places, full buckets go first, then any one, and each of those is counted.
func TestRatesAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	forgotten := new(counter)
	r := rates{limit: 10, buckets: map[rateKey]rateBucket{}, forgotten: forgotten}
	take := func(i int) { r.take(rateKey{party{account: fmt.Sprint(i)}, "o"}, 1, now) }
	for i := range 10 {
		take(i)
	}
	now = now.Add(time.Second) // all are full again
	take(10)
	if len(r.buckets) != 1 || forgotten.n != 0 {
		t.Errorf("%d buckets, %v forgotten", len(r.buckets), forgotten.n)
	}
	for i := range 100 {
		take(100 + i)
	}
	if len(r.buckets) != 10 || forgotten.n != 91 {
		t.Errorf("%d buckets, %v forgotten, want 10 and 91", len(r.buckets), forgotten.n)
	}
	key := rateKey{party{account: "a"}, "o"}
	r.take(key, 1, now)
	if wait := r.take(key, 1, now.Add(-time.Hour)); wait != time.Second {
		t.Errorf("with the clock set back: %v, want 1s", wait)
	}
	// A lower rate applies at once, whatever was saved up under the higher one.
	now = now.Add(time.Minute)
	r.take(key, 1000, now)
	r.take(key, 1000, now.Add(time.Second))
	if r.take(key, 1, now.Add(time.Second)) != 0 || r.take(key, 1, now.Add(time.Second)) == 0 {
		t.Error("more than one request at the lower rate")
	}
}

// counter is one that a test can read.
type counter struct {
	prometheus.Counter
	n int
}

// Inc implements prometheus.Counter.
func (c *counter) Inc() { c.n++ }

func TestAnnounce(t *testing.T) {
	for wait, want := range map[time.Duration][2]string{
		time.Millisecond: {"1", "1"}, time.Second: {"1", "1000"}, time.Second + time.Nanosecond: {"2", "1001"}, 1500 * time.Microsecond: {"1", "2"},
	} {
		h := http.Header{}
		(&throttledError{wait}).announce(h)
		if got := [2]string{h.Get("Retry-After"), h.Get("x-amz-retry-after")}; got != want {
			t.Errorf("%v: %v, want %v", wait, got, want)
		}
	}
}

// TestAnOperatorsOwnRate: whatever the other keys of its account ask, and be it in vain, an operator's key can still be
// used: to disable them, or to put a rate right that was set too low.
func TestAnOperatorsOwnRate(t *testing.T) {
	n := startNode(t)
	lowly := n.key(t, operatorAccount, func(*iam.AccessKey) {})
	second := n.key(t, operatorAccount, func(k *iam.AccessKey) { k.Operator = true })
	n.setRate(t, trunk.QuotaAPIRate, "", 1)
	disable := v1.Keys + "/" + lowly.AccessKeyID + "?operation=disable"
	for _, target := range []string{disable, v1.Keys + "/" + n.keys[operatorAccount].AccessKeyID + "?operation=disable"} {
		n.as(t, lowly, "POST", target, "")
	}
	n.as(t, lowly, "POST", disable, "").want(t, 429)
	n.as(t, second, "POST", v1.Keys+"/AKIA0000000000000000?operation=disable", "").want(t, 404)
	n.as(t, second, "POST", disable, "").want(t, 429)
	n.do(t, operatorAccount, "POST", disable, "").want(t, 204)
	n.as(t, lowly, "GET", "/voice-connectors", "").want(t, 403)
	n.do(t, operatorAccount, "POST", disable, "").want(t, 429)
}
