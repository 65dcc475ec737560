package xdp

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"carillon/clock"
)

// heldKernel does not answer before it is let go.
type heldKernel struct {
	fakeKernel
	asked, held chan struct{}
}

func (k *heldKernel) neighbours() map[netip.Addr]neighbour {
	close(k.asked)
	<-k.held
	return nil
}

// TestClose: who closes a link waits for its goroutine, which may wait for the kernel; who asks for its counts, or closes it
// once more, does not.
func TestClose(t *testing.T) {
	k := &heldKernel{asked: make(chan struct{}), held: make(chan struct{})}
	l := &Link{hops: newHops(k, clock.System())}
	l.hops.find(netip.MustParseAddr("192.0.2.7"))
	<-k.asked
	var first, others sync.WaitGroup
	first.Go(l.Close)
	closing := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.closed
	}
	past := make(chan struct{})
	go func() {
		defer close(past)
		for !closing() {
			time.Sleep(time.Millisecond)
		}
		for range 4 {
			others.Go(l.Close)
			others.Go(func() { l.Stats() })
		}
		others.Wait()
	}()
	select {
	case <-past:
	case <-time.After(5 * time.Second):
		t.Error("others wait for what the kernel has not answered")
	}
	close(k.held)
	first.Wait()
}
