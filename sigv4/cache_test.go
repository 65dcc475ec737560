package sigv4

import (
	"context"
	"testing"
)

// rotating is a key store whose one secret changes.
type rotating struct{ secret string }

func (k *rotating) Secret(context.Context, string) (Key, bool) { return Key{Secret: k.secret}, true }

func TestCache(t *testing.T) {
	keys := &rotating{testKey.SecretAccessKey}
	v := NewVerifier(Config{Keys: keys, CacheSize: 2})
	r, body := signedRequest(t)
	for range 3 {
		if _, err := v.Verify(t.Context(), r, body, testScope.Service, testNow); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.CacheStats(); got != (CacheStats{Entries: 1, Hits: 2, Misses: 1}) {
		t.Errorf("after three requests: %+v", got)
	}
	// The old secret must be dead at once, the new one good at once.
	keys.secret = "new"
	if got := faultOf(v.Verify(t.Context(), r, body, testScope.Service, testNow)); got != InvalidSignature {
		t.Errorf("got %v, want %v", got, InvalidSignature)
	}
	fresh := newRequest(t, "GET", "/", nil)
	with := testKey
	with.SecretAccessKey = "new"
	Sign(fresh, nil, with, testScope, testNow)
	if _, err := v.Verify(t.Context(), received(fresh), nil, testScope.Service, testNow); err != nil {
		t.Error(err)
	}
	for _, region := range []string{"a", "b", "c", "d"} {
		r := newRequest(t, "GET", "/", nil)
		Sign(r, nil, with, Scope{region, "chime"}, testNow)
		if _, err := v.Verify(t.Context(), received(r), nil, testScope.Service, testNow); err != nil {
			t.Error(err)
		}
		// A wrong signature must not be able to push a good key out.
		wrong := received(r)
		wrong.Method = "PUT"
		if got := faultOf(v.Verify(t.Context(), wrong, nil, testScope.Service, testNow)); got != InvalidSignature {
			t.Errorf("got %v, want %v", got, InvalidSignature)
		}
	}
	if got := v.CacheStats(); got.Entries != 2 || got.Evicted != 3 {
		t.Errorf("after four more regions: %+v, want 2 entries, 3 evicted", got)
	}
}
