package headroom

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestKeeper(t *testing.T) {
	live, percent, changes := uint64(0), 0, 0
	k := &Keeper{headroom: 128 << 20, usual: 100, live: func() uint64 { return live }, set: func(n int) int {
		percent, changes = n, changes+1
		return 0
	}}
	for _, c := range []struct {
		live    uint64
		percent int
	}{
		{0, 12800}, // nothing was collected yet: as if of 1 MiB
		{32 << 20, 400}, {33 << 20, 400}, {20 << 20, 640}, {1 << 30, 100}, {64 << 20, 200},
	} {
		live = c.live
		if !k.adapt() || percent != c.percent {
			t.Errorf("with %d octets in use: %d percent; want %d", c.live, percent, c.percent)
		}
	}
	if changes != 5 {
		t.Errorf("changed %d times; want 5, for a small difference is not worth it", changes)
	}
	if k.End(); percent != 100 || k.adapt() {
		t.Errorf("%d percent at the end; want 100 and no more", percent)
	}
}

// The percentage is adapted after every collection, until the end.
func TestKeeperFollowsCollections(t *testing.T) {
	var asked atomic.Int64
	k := &Keeper{headroom: 1, usual: 100, set: func(int) int { return 100 }, live: func() uint64 { asked.Add(1); return 1 << 30 }}
	k.follow()
	for want := int64(2); want < 5; want++ {
		runtime.GC()
		for end := time.Now().Add(5 * time.Second); asked.Load() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("adapted %d times; want %d", asked.Load(), want)
			}
		}
	}
	k.End()
}
