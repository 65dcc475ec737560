package resolve

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	typeA     = dns.TypeA
	typeAAAA  = dns.TypeAAAA
	typeSRV   = dns.TypeSRV
	typeNAPTR = dns.TypeNAPTR
)

// key names one record set.
type key struct {
	name  string // canonical: lower case, no trailing dot
	qtype uint16
}

// answer is one record set; all slices empty means that the DNS denies it. It is never changed once made.
type answer struct {
	addrs    []netip.Addr
	srv      []srv
	services []service
	ttl      time.Duration
}

func (a *answer) empty() bool { return len(a.addrs)+len(a.srv)+len(a.services) == 0 }

// size estimates what an entry costs in memory; it need only be proportionate.
func (a *answer) size(k key) int {
	n := 256 + len(k.name) + 24*len(a.addrs)
	for _, s := range a.srv {
		n += 32 + len(s.target)
	}
	for _, s := range a.services {
		n += 32 + len(s.replacement)
	}
	return n
}

// entry is a cached answer. It stays past expires, as the last good answer, until the limit or until room is needed.
type entry struct {
	key     key
	answer  answer
	size    int
	expires time.Time
	retry   time.Time // after a failure: not asked again before
	good    bool      // answer came from a server; false: only the failure is remembered
	place   *list.Element
}

// cache is a least-recently-used store bounded in entries and octets. Its owner locks.
type cache struct {
	maxEntries, maxBytes int
	entries              map[key]*entry
	order                *list.List // front: used last
	bytes                int
}

func newCache(maxEntries, maxBytes int) *cache {
	return &cache{maxEntries: maxEntries, maxBytes: maxBytes, entries: make(map[key]*entry), order: list.New()}
}

func (c *cache) get(k key) *entry {
	e := c.entries[k]
	if e != nil {
		c.order.MoveToFront(e.place)
	}
	return e
}

// put replaces the entry of a key and gives the number of others that had to leave.
func (c *cache) put(e *entry) (evicted int) {
	if old := c.entries[e.key]; old != nil {
		c.remove(old)
	}
	e.size = e.answer.size(e.key)
	if e.size > c.maxBytes {
		return 0
	}
	for len(c.entries) >= c.maxEntries || c.bytes+e.size > c.maxBytes {
		c.remove(c.order.Back().Value.(*entry))
		evicted++
	}
	e.place = c.order.PushFront(e)
	c.entries[e.key] = e
	c.bytes += e.size
	return evicted
}

func (c *cache) remove(e *entry) {
	c.order.Remove(e.place)
	delete(c.entries, e.key)
	c.bytes -= e.size
}
