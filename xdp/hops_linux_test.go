package xdp

import (
	"encoding/hex"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"

	"carillon/clock"
)

// fakeKernel has 192.0.2.0/24 and 2001:db8::/64 on the interface, a router at 192.0.2.254 for 198.51.100.0/24, and another
// interface for all else.
type fakeKernel struct {
	mu    sync.Mutex
	known map[netip.Addr]neighbour
	asks  int
}

func (k *fakeKernel) route(to netip.Addr) (netip.Addr, bool) {
	switch {
	case netip.MustParsePrefix("192.0.2.0/24").Contains(to), netip.MustParsePrefix("2001:db8::/64").Contains(to), to.IsLinkLocalUnicast():
		return to, true
	case to.Is4In6(): // which netlink's library takes for one of IPv4
		return netip.MustParseAddr("192.0.2.254"), true
	case netip.MustParsePrefix("198.51.100.0/24").Contains(to):
		return netip.MustParseAddr("192.0.2.254"), true
	}
	return netip.Addr{}, false
}

func (k *fakeKernel) neighbours() map[netip.Addr]neighbour {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asks++
	all := map[netip.Addr]neighbour{}
	for a, n := range k.known {
		all[a] = n
	}
	return all
}

func (k *fakeKernel) set(at string, last byte, doubtful bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[netip.MustParseAddr(at)] = neighbour{[6]byte{2, 0, 0, 0, 0, last}, doubtful}
}

func (k *fakeKernel) hardware() [6]byte { return [6]byte{2, 0, 0, 0, 0, 99} }

func withHops(t *testing.T, f func(t *testing.T, k *fakeKernel, h *hops)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{known: map[netip.Addr]neighbour{}}
		h := newHops(k, clock.System())
		defer h.close()
		f(t, k, h)
	})
}

// header returns what a frame to an address begins with, empty where the datagram takes its socket.
func (h *hops) header(to string) string {
	found := h.find(netip.MustParseAddr(to))
	synctest.Wait()
	if found == nil {
		return ""
	}
	return hex.EncodeToString(found.ether[:])
}

func TestHops(t *testing.T) {
	withHops(t, func(t *testing.T, k *fakeKernel, h *hops) {
		k.set("192.0.2.7", 7, false)
		k.set("192.0.2.254", 254, false)
		k.set("2001:db8::7", 6, false)
		k.set("fe80::7", 5, false)
		for to, want := range map[string]string{
			"192.0.2.7": "0200000000070200000000630800", "198.51.100.1": "0200000000fe0200000000630800",
			"2001:db8::7": "02000000000602000000006386dd",
			"192.0.2.8":   "", // not known to the kernel
			"203.0.113.1": "", // by another interface
			// What sockets refuse.
			"fe80::7": "", "::ffff:198.51.100.2": "",
		} {
			if got := h.header(to); got != "" {
				t.Errorf("%s was known before it was asked for: %s", to, got)
			}
			if got := h.header(to); got != want {
				t.Errorf("%s: %q, want %q", to, got, want)
			}
		}
		if n := h.size.Load(); n != 7 {
			t.Errorf("%d destinations are known", n)
		}
	})
}

// TestHopsFollowTheKernel: neighbours move, come and go.
func TestHopsFollowTheKernel(t *testing.T) {
	withHops(t, func(t *testing.T, k *fakeKernel, h *hops) {
		k.set("192.0.2.7", 7, false)
		h.header("192.0.2.7")
		h.header("192.0.2.8")
		k.set("192.0.2.7", 17, false)
		k.set("192.0.2.8", 8, false)
		time.Sleep(hopRefresh + time.Millisecond)
		if a, b := h.header("192.0.2.7"), h.header("192.0.2.8"); a != "0200000000110200000000630800" || b != "0200000000080200000000630800" {
			t.Errorf("after a second %q and %q", a, b)
		}
		k.mu.Lock()
		delete(k.known, netip.MustParseAddr("192.0.2.7"))
		k.mu.Unlock()
		time.Sleep(hopRefresh + time.Millisecond)
		if got := h.header("192.0.2.7"); got != "" {
			t.Errorf("a neighbour that is gone: %q", got)
		}
	})
}

// TestDoubtfulNeighbour: the kernel asks after a neighbour only when it sends something itself, so one datagram between two
// refreshes goes its way.
func TestDoubtfulNeighbour(t *testing.T) {
	withHops(t, func(t *testing.T, k *fakeKernel, h *hops) {
		k.set("192.0.2.7", 7, true)
		h.header("192.0.2.7")
		for second := range 3 {
			through := 0
			for range 50 {
				if h.header("192.0.2.7") == "" {
					through++
				}
			}
			if through != 1 {
				t.Errorf("second %d: %d of 50 datagrams went through the kernel", second, through)
			}
			time.Sleep(hopRefresh + time.Millisecond)
		}
	})
}

// TestIdleHops: a destination that nothing is sent to is forgotten, and the kernel is not asked for nobody's sake.
func TestIdleHops(t *testing.T) {
	withHops(t, func(t *testing.T, k *fakeKernel, h *hops) {
		k.set("192.0.2.7", 7, false)
		h.header("192.0.2.7")
		for range 2 * hopIdle / hopRefresh {
			if h.header("192.0.2.7") == "" {
				t.Fatal("a destination in use was forgotten")
			}
			time.Sleep(hopRefresh)
		}
		time.Sleep(hopIdle + hopRefresh)
		if n := h.size.Load(); n != 0 {
			t.Fatalf("%d destinations are known after a minute", n)
		}
		k.mu.Lock()
		asks := k.asks
		k.mu.Unlock()
		time.Sleep(10 * hopRefresh)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.asks != asks {
			t.Errorf("the kernel was asked %d times for no destination", k.asks-asks)
		}
	})
}

// TestManyDestinations: more than there are places for cost only the shorter way.
func TestManyDestinations(t *testing.T) {
	withHops(t, func(t *testing.T, k *fakeKernel, h *hops) {
		k.set("192.0.2.254", 254, false)
		a := netip.MustParseAddr("2001:db8::")
		for range 3 * MaxHops {
			a = a.Next()
			h.find(a)
		}
		synctest.Wait()
		if n := h.size.Load(); n == 0 || n > MaxHops {
			t.Errorf("%d destinations are known, at most %d may be", n, MaxHops)
		}
		time.Sleep(hopRefresh + time.Millisecond)
		h.header("198.51.100.1")
		if got := h.header("198.51.100.1"); got == "" {
			t.Error("a new destination finds no place")
		}
	})
}

// TestSharedPlace: of two destinations that fall on one place one has it while it is sent to. If they took it from each other the
// kernel would be asked with every packet.
func TestSharedPlace(t *testing.T) {
	withHops(t, func(t *testing.T, k *fakeKernel, h *hops) {
		first := netip.MustParseAddr("2001:db8::1")
		other := first.Next()
		for h.place(other) != h.place(first) {
			other = other.Next()
		}
		k.set(first.String(), 1, false)
		k.set(other.String(), 2, false)
		h.header(first.String())
		for range 3 * hopRefresh / (20 * time.Millisecond) {
			if got := h.header(first.String()); got == "" {
				t.Fatal("a destination in use lost its place")
			}
			if got := h.header(other.String()); got != "" {
				t.Fatal("two have one place")
			}
			time.Sleep(20 * time.Millisecond)
		}
		k.mu.Lock()
		asks := k.asks
		k.mu.Unlock()
		if asks > 5 { // once at first, and once for each second
			t.Errorf("the kernel was asked %d times", asks)
		}
		for range 3 * hopRefresh / (20 * time.Millisecond) {
			h.header(other.String())
			time.Sleep(20 * time.Millisecond)
		}
		if h.header(other.String()) == "" || h.size.Load() != 1 {
			t.Error("a place that nobody uses was not given to another destination")
		}
	})
}

// BenchmarkRoute is what the kernel is asked for each destination each second, of an address on the loopback interface.
func BenchmarkRoute(b *testing.B) {
	handle, err := netlink.NewHandle()
	if err != nil {
		b.Fatal(err)
	}
	defer handle.Close()
	const loopback = 1
	from, to := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	// The answer names this host, which is no way for frames: route does not show whether there was one.
	routes, err := handle.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: from.AsSlice()})
	if err != nil || len(routes) != 1 || routes[0].LinkIndex != loopback {
		b.Fatalf("the kernel answers %v, %v", routes, err)
	}
	k := &tables{netlink: handle, index: loopback, from: []netip.Addr{from}}
	b.ReportAllocs()
	for b.Loop() {
		if next, ok := k.route(to); ok {
			b.Fatalf("a frame goes to %v on this host", next)
		}
	}
}
