package e2e_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The wire between the node and the customer: two ends of a pair of interfaces, each in a network of its own.
const (
	nodeEnd      = "10.77.0.1"
	customerEnd  = "10.77.0.2"
	nodeEnd6     = "fd77::1"
	customerEnd6 = "fd77::2"
	nodeLink     = "node0"
	customerLink = "customer0"
)

// inNamespace is set in the process whose network is the test's own.
const inNamespace = "E2E_IN_NAMESPACE"

// alone runs the test in a process of its own, in a network that nobody else uses: whatever crosses a wire there belongs
// to the test. It reports whether this is that process; in the other one there is nothing left to do.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is the thread's
	defer runtime.UnlockOSThread()
	_, missing := exec.LookPath("ip")
	out, err := []byte(nil), missing
	if missing == nil {
		out, err = cmd.CombinedOutput()
	}
	// Where nobody reads the output a skip would hide that the promise was not looked at on the wire.
	if (errors.Is(err, syscall.EPERM) || missing != nil) && os.Getenv("CI") == "" {
		t.Skipf("a network of its own needs root and iproute2: %v", err)
	}
	t.Logf("in a network of its own:\n%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("in a network of its own: %v", err)
	}
	return false
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// namespace is the customer's network: a thread that lives in it and opens sockets for others.
type namespace struct {
	t     *testing.T
	tid   int
	tasks chan func()
}

// newNamespace joins a new network with this process's by a wire.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	n := &namespace{t: t, tasks: make(chan func())}
	ready := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		n.tid = syscall.Gettid()
		ready <- err
		for task := range n.tasks {
			task()
		}
	}()
	t.Cleanup(func() { close(n.tasks) })
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "link", "add", nodeLink, "type", "veth", "peer", "name", customerLink, "netns", fmt.Sprint(n.tid))
	run(t, "ip", "addr", "add", nodeEnd+"/24", "dev", nodeLink)
	run(t, "ip", "addr", "add", nodeEnd6+"/64", "dev", nodeLink, "nodad")
	run(t, "ip", "link", "set", nodeLink, "up")
	n.do(func() {
		run(t, "ip", "addr", "add", customerEnd+"/24", "dev", customerLink)
		run(t, "ip", "addr", "add", customerEnd6+"/64", "dev", customerLink, "nodad")
		run(t, "ip", "link", "set", customerLink, "up")
		run(t, "ip", "link", "set", "lo", "up")
	})
	return n
}

// do runs f in the namespace: sockets that it opens, and processes that it starts, are there.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.tasks <- func() { defer close(done); f() }
	<-done
}

// frame is one IP packet on the customer's wire.
type frame struct {
	tos      byte           // or traffic class
	protocol byte           // or next header
	from, to netip.AddrPort // ports of TCP and UDP, else 0
	payload  []byte         // of TCP and UDP, else what follows the IP header
}

// fromNode tells which end of the wire sent it.
func (f frame) fromNode() bool {
	return f.from.Addr().String() == nodeEnd || f.from.Addr().String() == nodeEnd6
}

// capture keeps every frame on the customer's wire, both ways.
type capture struct {
	fd   int
	done chan struct{}
	mu   sync.Mutex
	all  []frame
	odd  []string // frames that this test cannot read
}

// capture begins to listen.
func (n *namespace) capture() *capture {
	n.t.Helper()
	const everything = 0x0300 // ETH_P_ALL in network order
	c := &capture{done: make(chan struct{})}
	var err error
	n.do(func() {
		if c.fd, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM, everything); err != nil {
			return
		}
		err = errors.Join(
			// A test that runs slowly must not lose what it came to see.
			syscall.SetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 16<<20),
			syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 50_000}),
		)
	})
	if err != nil {
		n.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(c.read)
	n.t.Cleanup(func() { close(c.done); running.Wait(); syscall.Close(c.fd) })
	return c
}

func (c *capture) read() {
	buf := make([]byte, 65536)
	for {
		select {
		case <-c.done:
			return
		default:
		}
		n, from, err := syscall.Recvfrom(c.fd, buf, 0)
		if err != nil {
			continue
		}
		protocol := uint16(0)
		if l, ok := from.(*syscall.SockaddrLinklayer); ok {
			protocol = l.Protocol<<8 | l.Protocol>>8
		}
		f, ok := parseFrame(protocol, buf[:n])
		c.mu.Lock()
		switch {
		case ok:
			c.all = append(c.all, f)
		case protocol != syscall.ETH_P_ARP:
			c.odd = append(c.odd, fmt.Sprintf("protocol %#x: % x", protocol, buf[:min(n, 64)]))
		}
		c.mu.Unlock()
	}
}

// parseFrame reads an IP packet that is not a fragment (RFC 791, RFC 8200, RFC 768, RFC 9293).
func parseFrame(protocol uint16, b []byte) (frame, bool) {
	switch {
	case protocol == syscall.ETH_P_IP && len(b) >= 20 && b[0]>>4 == 4 && binary.BigEndian.Uint16(b[6:])&0x3fff == 0:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < 20 || total < header || total > len(b) {
			return frame{}, false
		}
		f := frame{tos: b[1], protocol: b[9]}
		ok := f.parsePorts(netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[header:total])
		return f, ok
	case protocol == syscall.ETH_P_IPV6 && len(b) >= 40 && b[0]>>4 == 6 && b[6] != syscall.IPPROTO_FRAGMENT:
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return frame{}, false
		}
		f := frame{tos: b[0]<<4 | b[1]>>4, protocol: b[6]}
		ok := f.parsePorts(netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[40:total])
		return f, ok
	}
	return frame{}, false
}

// parsePorts reads what follows the IP header.
func (f *frame) parsePorts(from, to netip.Addr, b []byte) bool {
	f.from, f.to = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
	skip := 0
	switch {
	case f.protocol == syscall.IPPROTO_UDP && len(b) >= 8:
		skip = 8
	case f.protocol == syscall.IPPROTO_TCP && len(b) >= 20:
		skip = int(b[12]>>4) * 4
	case f.protocol == syscall.IPPROTO_UDP, f.protocol == syscall.IPPROTO_TCP:
		return false
	}
	if skip > len(b) {
		return false
	}
	if skip > 0 {
		f.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(b))
		f.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:]))
	}
	f.payload = bytes.Clone(b[skip:])
	return true
}

// frames returns what was seen so far.
func (c *capture) frames() ([]frame, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all, c.odd
}

// complete reports whether the kernel handed over every frame there was, since it was last asked.
func (c *capture) complete(t *testing.T) bool {
	t.Helper()
	st, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		t.Fatal(err)
	}
	return st.Drops == 0
}
