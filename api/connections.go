package api

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Limits of the API's connections. Each can be set in NewConnections.
const (
	// DefaultMaxConnections is how many connections are open at once. For one more, the one that has waited longest for a
	// whole request is closed and counted in carillon_api_connections_closed_total.
	// An operator sets --max-api-connections.
	DefaultMaxConnections = 4096
	// DefaultMaxConnectionsPerIP is the same for those of one IPv4 address or IPv6 /64.
	// An operator sets --max-api-connections-per-ip.
	DefaultMaxConnectionsPerIP = 1024
)

// Connections bounds the connections to an http.Server, which itself takes all that come. A new one is always let in,
// and closes the one that has waited longest without a whole request: so whoever opens connections and sends nothing, or
// sends slowly, takes places from himself first, and a client that sends its request gets it through. One whose request
// is being worked on is never closed; one that does not take its answer waits again, where it stood before.
type Connections struct {
	most, mostPerIP int
	stats           struct{ open, total, perIP, refused atomic.Int64 }

	mu sync.Mutex
	// all has every connection, addresses those whose address is known.
	all       crowd
	addresses map[netip.Prefix]*crowd
	// turns counts how often a connection has begun to wait.
	turns uint64
}

// ConnectionStats are the counters of Connections.
type ConnectionStats struct {
	// Open connections now.
	Open int64
	// ClosedTotal and ClosedPerIP were closed while they waited, to make room for a new one.
	ClosedTotal, ClosedPerIP int64
	// Refused were closed at once, because all others were being worked for.
	Refused int64
}

// crowd is connections that share a bound.
type crowd struct {
	open int
	// waiting are those without a whole request, longest first.
	waiting list.List
}

// NewConnections returns a bound of most connections, mostPerIP of them from one address; 0 means the default.
func NewConnections(most, mostPerIP int) *Connections {
	if most <= 0 {
		most = DefaultMaxConnections
	}
	if mostPerIP <= 0 {
		mostPerIP = DefaultMaxConnectionsPerIP
	}
	return &Connections{most: most, mostPerIP: mostPerIP, addresses: map[netip.Prefix]*crowd{}}
}

// Stats returns the counters.
func (c *Connections) Stats() ConnectionStats {
	return ConnectionStats{
		Open: c.stats.open.Load(), ClosedTotal: c.stats.total.Load(), ClosedPerIP: c.stats.perIP.Load(), Refused: c.stats.refused.Load(),
	}
}

// Listener returns ln with the bound. TLS goes on top of it.
func (c *Connections) Listener(ln net.Listener) net.Listener { return &boundedListener{ln, c} }

// Attach lets the server say what its connections do. It must be called before the server serves.
func (c *Connections) Attach(s *http.Server) {
	s.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, trackedBelow(nc))
	}
	s.ConnState = func(nc net.Conn, state http.ConnState) {
		// Active is the first octet of a request: it takes a place at the end, once for each request.
		if t := trackedBelow(nc); t != nil && (state == http.StateIdle || state == http.StateActive) {
			t.wait()
		}
	}
}

type connectionKey struct{}

// working marks the connection of a request as one that is being worked for. It returns false when the connection has
// been closed: then nobody waits for the answer.
func working(ctx context.Context) bool {
	t, _ := ctx.Value(connectionKey{}).(*tracked)
	return t == nil || t.work()
}

// worked puts the connection of a request back among those that wait, before its answer is written: who pipelines
// requests and reads no answer would hold its place as long as a write may take.
func worked(ctx context.Context) {
	if t, _ := ctx.Value(connectionKey{}).(*tracked); t != nil {
		t.waitAgain()
	}
}

// trackedBelow finds the connection of a boundedListener under a server's, nil if there is none.
func trackedBelow(nc net.Conn) *tracked {
	if over, ok := nc.(*tls.Conn); ok {
		nc = over.NetConn()
	}
	t, _ := nc.(*tracked)
	return t
}

type boundedListener struct {
	net.Listener
	bound *Connections
}

// Accept returns the next connection that there is room for.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		t := &tracked{Conn: nc, bound: l.bound}
		entered := t.enter()
		if _, plain := nc.(*net.TCPConn); plain && entered {
			// In the order of their coming, not in that in which goroutines get to run.
			t.identify.Do(t.known)
			entered = t.here()
		}
		if entered {
			return t, nil
		}
		_ = nc.Close()
	}
}

// tracked is a connection and its places.
type tracked struct {
	net.Conn
	bound *Connections
	// identify finds out the address. Behind a load balancer that reads from the connection, and accepting must not wait
	// for it, so it is done at the first use.
	identify sync.Once

	// The rest is guarded by bound.mu. The elements are nil while the connection is being worked for.
	inAll, inAddress *list.Element
	address          netip.Prefix
	from             *crowd // nil until the address is known
	turn             uint64 // when it began to wait
	gone             bool
}

// enter takes a place among all, and closes the connection that waited longest when there is none.
func (t *tracked) enter() bool {
	b := t.bound
	b.mu.Lock()
	var victim *tracked
	if b.all.open >= b.most {
		if victim = longest(&b.all); victim == nil {
			b.mu.Unlock()
			b.stats.refused.Add(1)
			return false
		}
		victim.leave()
		b.stats.total.Add(1)
	}
	b.all.open++
	b.stats.open.Store(int64(b.all.open))
	t.begin()
	b.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close()
	}
	return true
}

// known takes a place among those of the address.
func (t *tracked) known() {
	source, ok := sourceOf(t.Conn.RemoteAddr())
	if !ok {
		return
	}
	b := t.bound
	b.mu.Lock()
	victim := t.enterAddress(source)
	b.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close()
	}
}

// enterAddress returns the connection that must be closed for it, which may be t itself.
func (t *tracked) enterAddress(source netip.Prefix) (victim *tracked) {
	b := t.bound
	if t.gone {
		return nil
	}
	from := b.addresses[source]
	if from == nil {
		from = new(crowd)
		b.addresses[source] = from
	}
	if from.open >= b.mostPerIP {
		if victim = longest(from); victim == nil {
			t.leave()
			b.stats.refused.Add(1)
			return t
		}
		// The crowd must not be dropped as empty before t is in it.
		from.open++
		victim.leave()
		from.open--
		b.stats.perIP.Add(1)
	}
	from.open++
	t.from, t.address = from, source
	if t.inAll != nil {
		t.inAddress = from.stand(t)
	}
	return victim
}

func longest(c *crowd) *tracked {
	if front := c.waiting.Front(); front != nil {
		return front.Value.(*tracked)
	}
	return nil
}

// here reports whether t has its places.
func (t *tracked) here() bool {
	t.bound.mu.Lock()
	defer t.bound.mu.Unlock()
	return !t.gone
}

// leave gives all places back. It is idempotent.
func (t *tracked) leave() {
	if t.gone {
		return
	}
	t.gone = true
	t.unlist()
	b := t.bound
	b.all.open--
	b.stats.open.Store(int64(b.all.open))
	if t.from != nil {
		if t.from.open--; t.from.open == 0 {
			delete(b.addresses, t.address)
		}
	}
}

// unlist takes t out of those that wait.
func (t *tracked) unlist() {
	if t.inAll != nil {
		t.bound.all.waiting.Remove(t.inAll)
	}
	if t.inAddress != nil {
		t.from.waiting.Remove(t.inAddress)
	}
	t.inAll, t.inAddress = nil, nil
}

// wait puts t at the end of those that wait.
func (t *tracked) wait() {
	b := t.bound
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.gone {
		return
	}
	t.unlist()
	t.begin()
}

// begin puts t at the end of those that wait.
func (t *tracked) begin() {
	t.bound.turns++
	t.turn = t.bound.turns
	t.stand()
}

// stand puts t among those that wait, where its turn is.
func (t *tracked) stand() {
	t.inAll = t.bound.all.stand(t)
	if t.from != nil {
		t.inAddress = t.from.stand(t)
	}
}

// stand puts t among those of c that wait, where its turn is, and looks for that from the end: most were not away for long.
func (c *crowd) stand(t *tracked) *list.Element {
	for e := c.waiting.Back(); e != nil; e = e.Prev() {
		if e.Value.(*tracked).turn < t.turn {
			return c.waiting.InsertAfter(t, e)
		}
	}
	return c.waiting.PushFront(t)
}

// waitAgain puts t back among those that wait, where it stood.
func (t *tracked) waitAgain() {
	t.bound.mu.Lock()
	defer t.bound.mu.Unlock()
	if !t.gone && t.inAll == nil {
		t.stand()
	}
}

// work takes t out of those that wait, and reports false if it is closed already.
func (t *tracked) work() bool {
	t.bound.mu.Lock()
	defer t.bound.mu.Unlock()
	if t.gone {
		return false
	}
	t.unlist()
	return true
}

// Read reads from the client.
func (t *tracked) Read(b []byte) (int, error) {
	t.identify.Do(t.known)
	return t.Conn.Read(b)
}

// RemoteAddr returns the client's address.
func (t *tracked) RemoteAddr() net.Addr {
	t.identify.Do(t.known)
	return t.Conn.RemoteAddr()
}

// Close closes the connection and gives its places back.
func (t *tracked) Close() error {
	t.bound.mu.Lock()
	t.leave()
	t.bound.mu.Unlock()
	return t.Conn.Close()
}

// sourceOf returns the IPv4 address, or the IPv6 /64, that a bound of one address is for.
func sourceOf(a net.Addr) (netip.Prefix, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	return p, err == nil
}
