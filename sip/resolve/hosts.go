package resolve

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"carillon/clock"
)

// hosts is the operator's hosts file, read again when its time or size changes, at most every hostsEvery.
type hosts struct {
	path  string
	clock clock.Clock

	mu      sync.Mutex
	names   map[string][]netip.Addr // replaced, never changed
	checked time.Time
	modTime time.Time
	size    int64
}

func newHosts(path string, c clock.Clock) *hosts {
	switch path {
	case "":
		path = "/etc/hosts"
	case "-":
		path = ""
	}
	return &hosts{path: path, clock: c}
}

// lookup gives the addresses of a name. localhost and all below it are loopback whatever the file says (RFC 6761 §6.3).
func (h *hosts) lookup(name string) []netip.Addr {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	if h.path == "" {
		return nil
	}
	now := h.clock.Now()
	h.mu.Lock()
	names := h.names
	due := h.checked.IsZero() || now.Sub(h.checked) >= hostsEvery || now.Before(h.checked)
	if due {
		h.checked = now // one caller looks; the others go on with what is known
	}
	modTime, size := h.modTime, h.size
	h.mu.Unlock()
	if due {
		names = h.refresh(names, modTime, size)
	}
	return names[name]
}

// refresh reads the file if it changed. A file that cannot be read leaves the last good one in force.
func (h *hosts) refresh(names map[string][]netip.Addr, modTime time.Time, size int64) map[string][]netip.Addr {
	info, err := os.Stat(h.path)
	if err != nil || info.ModTime().Equal(modTime) && info.Size() == size {
		return names
	}
	f, err := os.Open(h.path)
	if err != nil {
		return names
	}
	defer f.Close()
	names = parseHosts(io.LimitReader(f, maxHosts))
	h.mu.Lock()
	h.names, h.modTime, h.size = names, info.ModTime(), info.Size()
	h.mu.Unlock()
	return names
}

// parseHosts reads "address name…" lines (hosts(5)); lines it cannot read are passed over.
func parseHosts(r io.Reader) map[string][]netip.Addr {
	names := make(map[string][]netip.Addr)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil || addr.Zone() != "" {
			continue
		}
		for _, name := range fields[1:] {
			if name, err := canonical(name); err == nil && !slices.Contains(names[name], addr) {
				names[name] = append(names[name], addr)
			}
		}
	}
	return names
}
