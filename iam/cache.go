package iam

import (
	"sync"
	"sync/atomic"
)

// DefaultCachedPolicies is how many parsed policies are kept where a caller sets no other number: one for each text that
// keys have had lately, at most MaxPolicyBytes and what is made of them.
const DefaultCachedPolicies = 1024

// Cache keeps parsed policies by their text: to parse one costs ten times as much as to verify a signature. It is safe
// for concurrent use. A text that changes is another text, so nothing is ever stale.
type Cache struct {
	limit   int
	evicted atomic.Uint64

	mu     sync.RWMutex
	parsed map[string]*Policy
}

// NewCache returns a cache of at most limit policies; 0 means DefaultCachedPolicies.
func NewCache(limit int) *Cache {
	if limit <= 0 {
		limit = DefaultCachedPolicies
	}
	return &Cache{limit: limit, parsed: map[string]*Policy{}}
}

// Evicted returns how many policies were dropped because the cache was full.
func (c *Cache) Evicted() uint64 { return c.evicted.Load() }

// Parse is Parse, or what it returned for the same text before.
func (c *Cache) Parse(text string) (*Policy, error) {
	c.mu.RLock()
	p, ok := c.parsed[text]
	c.mu.RUnlock()
	if ok {
		return p, nil
	}
	p, err := Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.parsed[text]; !ok {
		for old := range c.parsed {
			if len(c.parsed) < c.limit {
				break
			}
			delete(c.parsed, old)
			c.evicted.Add(1)
		}
	}
	c.parsed[text] = p
	return p, nil
}
