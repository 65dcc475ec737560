package transport

import (
	"net/netip"
	"sync"
	"time"
)

// MaxHandshakeLines is how many failed TLS handshakes of peers are logged within a minute, so that a scanner cannot fill
// the log; carillon_sip_handshakes_failed_total counts all of them.
const MaxHandshakeLines = 10

// handshakeLog says which peers fail to agree on TLS: phones that do not take the node's certificate show in nothing else.
type handshakeLog struct {
	mu      sync.Mutex
	since   time.Time
	written int
	skipped int
}

// take reports whether one more failure is logged, and how many were not since the last that was.
func (l *handshakeLog) take(now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.since); age < 0 || age >= time.Minute {
		l.since, l.written = now, 0
	}
	if l.written == MaxHandshakeLines {
		l.skipped++
		return 0, false
	}
	l.written++
	skipped, l.skipped = l.skipped, 0
	return skipped, true
}

// handshakeFailed logs that a peer's handshake ended badly.
func (t *Transport) handshakeFailed(remote netip.AddrPort, err error) {
	if skipped, ok := t.handshakes.take(t.clock.Now()); ok {
		t.log.Info("TLS handshake failed", "remote", remote, "err", err, "not_logged", skipped)
	}
}
