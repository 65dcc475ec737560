package server

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	gauges "runtime/metrics"
	"sync"
)

// startCollector sets when the runtime looks for garbage: not before --memory-headroom has filled. Left to itself it looks
// each time the memory in use has doubled, which on a node with few connectors is every second, and a tenth of what calls
// cost. A node that holds much keeps the usual pace. Whoever sets GOGC decides for himself.
func (n *Node) startCollector(context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	n.pace = &pace{headroom: uint64(n.config.MemoryHeadroom), usual: 100, set: debug.SetGCPercent, live: liveMemory}
	n.pace.follow()
	return nil
}

// pace adapts the percentage after which garbage is collected to the memory in use.
type pace struct {
	headroom uint64
	usual    int
	set      func(percent int) int
	live     func() uint64

	mu      sync.Mutex
	current int
	ended   bool
}

// follow adapts now and after each collection: an object that nobody holds is found by the next one.
func (p *pace) follow() {
	if p.adapt() {
		runtime.SetFinalizer(&struct{ p *pace }{p}, func(*struct{ p *pace }) { p.follow() })
	}
}

// adapt reports whether it is to be called again.
func (p *pace) adapt() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	percent := max(p.usual, int(100*p.headroom/max(p.live(), 1<<20)))
	// To change it stops the world for a moment.
	if off := percent - p.current; off*off > percent*percent/64 {
		p.current = percent
		p.set(percent)
	}
	return true
}

// end goes back to the usual pace.
func (p *pace) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.set(p.usual)
}

// liveMemory is what the last collection found in use, in octets.
func liveMemory() uint64 {
	sample := []gauges.Sample{{Name: "/gc/heap/live:bytes"}}
	gauges.Read(sample)
	if sample[0].Value.Kind() != gauges.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
