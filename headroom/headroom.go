// Package headroom sets when the runtime looks for garbage: not before a given amount of memory has filled with it. Left
// to itself the runtime looks each time the memory in use has doubled, which in a process that holds little is every moment,
// and a good part of all it does.
package headroom

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Bounds of what Default gives, in bytes.
const (
	// Least is what any machine can spare.
	Least = 64 << 20
	// Most is what is enough: a node that holds more than that lets as much again fill anyway.
	Most = 256 << 20
	// share is the part of the memory that may be garbage, as its divisor.
	share = 64
)

// Default returns the headroom for a machine or container with so much memory, in bytes: a 64th, from Least to Most.
func Default(memory uint64) uint64 { return min(max(memory/share, Least), Most) }

// Keeper adapts the percentage after which garbage is collected to the memory in use.
type Keeper struct {
	headroom uint64
	usual    int
	set      func(percent int) int
	live     func() uint64

	mu      sync.Mutex
	current int
	ended   bool
}

// Keep begins to let so many bytes fill before garbage is looked for, or as much as is in use, where that is more. There
// is one Keeper in a process at a time: what it sets is the process's.
func Keep(headroom uint64) *Keeper {
	k := &Keeper{headroom: headroom, usual: 100, set: debug.SetGCPercent, live: liveMemory}
	k.follow()
	return k
}

// follow adapts now and after each collection: an object that nobody holds is found by the next one.
func (k *Keeper) follow() {
	if k.adapt() {
		runtime.SetFinalizer(&struct{ k *Keeper }{k}, func(*struct{ k *Keeper }) { k.follow() })
	}
}

// adapt reports whether it is to be called again.
func (k *Keeper) adapt() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return false
	}
	percent := max(k.usual, int(100*k.headroom/max(k.live(), 1<<20)))
	// To change it stops the world for a moment.
	if off := percent - k.current; off*off > percent*percent/64 {
		k.current = percent
		k.set(percent)
	}
	return true
}

// End goes back to the usual pace. A nil Keeper has nothing to end.
func (k *Keeper) End() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	k.set(k.usual)
}

// liveMemory is what the last collection found in use, in bytes.
func liveMemory() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
