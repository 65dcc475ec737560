package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"sync/atomic"
)

// DefaultCacheSize is the number of derived signing keys kept where a caller sets no other: one for each access key,
// day, region and service that signed lately.
const DefaultCacheSize = 4096

// CacheStats counts what the signing-key cache did.
type CacheStats struct {
	// Entries now in the cache.
	Entries int
	// Hits and Misses of look-ups; a changed secret is a miss.
	Hits, Misses uint64
	// Evicted entries, dropped because the cache was full.
	Evicted uint64
}

type cacheKey struct{ accessKeyID, day, region, service string }

// cached is a signing key with the secret it came from: it is good only as long as the key has that secret, so a
// rotated secret needs no call to invalidate anything.
type cached struct {
	secret  string
	signing [sha256.Size]byte
}

// keyCache keeps derived signing keys: deriving one costs four HMACs, four fifths of a verification.
type keyCache struct {
	limit int

	mu      sync.RWMutex
	entries map[cacheKey]cached

	hits, misses, evicted atomic.Uint64
	sink                  atomic.Uint32 // takes results that only time matters of, so that no compiler drops the work
}

func newKeyCache(limit int) *keyCache {
	return &keyCache{limit: limit, entries: make(map[cacheKey]cached)}
}

func (c *keyCache) get(at cacheKey, secret string) ([sha256.Size]byte, bool) {
	c.mu.RLock()
	entry, ok := c.entries[at]
	c.mu.RUnlock()
	if ok && subtle.ConstantTimeCompare([]byte(entry.secret), []byte(secret)) == 1 {
		c.hits.Add(1)
		return entry.signing, true
	}
	c.misses.Add(1)
	return [sha256.Size]byte{}, false
}

// put adds an entry. When the cache is full it first drops those of other days, which nobody can use any more for
// long, and if there are none, any one.
func (c *keyCache) put(at cacheKey, secret string, signing [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, replace := c.entries[at]; !replace && len(c.entries) >= c.limit {
		c.evict(at.day)
	}
	c.entries[at] = cached{secret: secret, signing: signing}
}

func (c *keyCache) evict(today string) {
	before := len(c.entries)
	for at := range c.entries {
		if at.day < today {
			delete(c.entries, at)
		}
	}
	if len(c.entries) == before {
		for at := range c.entries {
			delete(c.entries, at)
			break
		}
	}
	c.evicted.Add(uint64(before - len(c.entries)))
}

func (c *keyCache) stats() CacheStats {
	c.mu.RLock()
	n := len(c.entries)
	c.mu.RUnlock()
	return CacheStats{Entries: n, Hits: c.hits.Load(), Misses: c.misses.Load(), Evicted: c.evicted.Load()}
}
