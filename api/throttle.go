package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carillon/api/wire"
	"carillon/restjson"
	"carillon/trunk"
)

// DefaultMaxRateBuckets is how many pairs of account, or operator's key, and operation are remembered that have spent of a request rate of
// late. Beyond it one is forgotten, and so is full again, and counted in carillon_api_rate_buckets_forgotten_total.
const DefaultMaxRateBuckets = 1 << 16

// ThrottlingException is what the retry modes of newer SDKs back off from; they take the exception that the models have,
// ThrottledClientException, for final.
const ThrottlingException = "ThrottlingException"

// throttledError says that an account asks too often.
type throttledError struct{ wait time.Duration }

// Error returns the sentence of AWS.
func (e *throttledError) Error() string { return "Rate exceeded" }

// announce tells the client when to come again, in both headers that SDKs look for: one in seconds, one in milliseconds.
func (e *throttledError) announce(h http.Header) {
	h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(e.wait.Seconds())), 10))
	h.Set("X-Amz-Retry-After", strconv.FormatInt((e.wait+time.Millisecond-1).Milliseconds(), 10))
}

// exception is what a throttled request is answered: 429 also from the few operations that model no throttling.
func (e *throttledError) exception(name string) restjson.Exception {
	return restjson.Exception{
		Status: http.StatusTooManyRequests, Type: name, Code: exceptions[trunk.Throttled].code, Message: e.Error(),
	}
}

// throttle spends a request of the account's rate. It comes after the signature, so that strangers spend nobody's, and
// before the permission, so that a key that is allowed nothing cannot ask without end. Each operator's key has a rate of
// its own: else any other key of its account could keep it from disabling that very key.
func (r *request) throttle() error {
	perSecond, ok := r.snapshot.Quota(r.principal.Account, r.row.rate)
	if !ok {
		perSecond, ok = r.snapshot.Quota(r.principal.Account, trunk.QuotaAPIRate)
	}
	if !ok {
		return nil
	}
	wait := r.server.rates.take(rateKey{r.party(), r.row.name}, perSecond, r.server.config.Clock.Now())
	if wait > 0 {
		return &throttledError{wait}
	}
	return nil
}

// party is who shares a bound: operator is the key of one, and empty for all other keys of an account.
type party struct{ account, operator string }

// party returns the one whose key signed.
func (r *request) party() party {
	p := party{account: r.principal.Account}
	if r.principal.Operator {
		p.operator = r.principal.AccessKeyID
	}
	return p
}

// rateKey is whose requests of what a bucket counts.
type rateKey struct {
	party
	operation string
}

// rates holds one token bucket for each account, or operator's key, and operation that spent of a rate of late, on this node. A full bucket
// is the same as none.
type rates struct {
	limit     int
	forgotten prometheus.Counter

	mu      sync.Mutex
	buckets map[rateKey]rateBucket
	swept   time.Time
}

// rateBucket fills at perSecond, which is also its depth.
type rateBucket struct {
	tokens    float64
	perSecond int
	at        time.Time
}

func (b rateBucket) filled(now time.Time) float64 {
	depth := float64(b.perSecond)
	// A clock that was set back fills nothing and takes nothing away.
	return min(depth, b.tokens+max(now.Sub(b.at), 0).Seconds()*depth)
}

// take spends one request, or returns how long until there is one to spend.
func (t *rates) take(key rateKey, perSecond int, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ok := t.buckets[key]
	if !ok {
		t.makeRoom(now)
		b = rateBucket{tokens: float64(perSecond), at: now}
	}
	b.perSecond = perSecond
	b.tokens, b.at = b.filled(now), now
	wait := time.Duration(0)
	if b.tokens < 1 {
		wait = max(time.Duration((1-b.tokens)/float64(perSecond)*float64(time.Second)), time.Millisecond)
	} else {
		b.tokens--
	}
	t.buckets[key] = b
	return wait
}

// makeRoom keeps a place free for one more bucket. It looks through all of them at most once a second.
func (t *rates) makeRoom(now time.Time) {
	if len(t.buckets) < t.limit {
		return
	}
	if now.Sub(t.swept) >= time.Second {
		t.swept = now
		for key, b := range t.buckets {
			if b.filled(now) >= float64(b.perSecond) {
				delete(t.buckets, key)
			}
		}
	}
	for key := range t.buckets {
		if len(t.buckets) < t.limit {
			return
		}
		delete(t.buckets, key)
		t.forgotten.Inc()
	}
}

// checkThrottle looks at the exception that was configured.
func checkThrottle(name string) error {
	if name != wire.ThrottledClientException && name != ThrottlingException {
		return fmt.Errorf("make API server: throttled requests are answered %s or %s, not %q", wire.ThrottledClientException, ThrottlingException, name)
	}
	return nil
}
