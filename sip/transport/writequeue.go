package transport

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// writeQueue is a connection whose Write never waits. It gives the system what it takes at once,
// keeps the rest up to a bound, and only then starts a goroutine that waits. A TLS session on top
// of it therefore never waits either, and a quiet connection costs no goroutine for writing.
type writeQueue struct {
	net.Conn
	t    *Transport
	fail func(error) // disconnects, called without the lock
	raw  syscall.RawConn

	mu       sync.Mutex
	err      error  // why nothing more is taken
	pending  []byte // waiting for the drain goroutine
	inFlight int    // octets it is writing
	draining bool

	// Operands of try: fields, because a closure made for every message would be garbage.
	attempt func(fd uintptr) bool
	out     []byte
	n       int
	errno   error

	in reading
}

// reading holds the operands of Read, which one goroutine calls.
type reading struct {
	attempt func(fd uintptr) bool
	b       []byte
	n       int
	errno   error
}

func newWriteQueue(t *Transport, conn net.Conn, fail func(error)) *writeQueue {
	q := &writeQueue{Conn: conn, t: t, fail: fail}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			q.raw = raw
		}
	}
	q.attempt = func(fd uintptr) bool {
		q.n, q.errno = writeOnce(fd, q.out)
		return true // never wait until it is writable
	}
	q.in.attempt = func(fd uintptr) (done bool) {
		q.in.n, done, q.in.errno = readOnce(fd, q.in.b)
		return done
	}
	return q
}

// Read waits for octets and reads them, past Go's scheduler as far as it can: see udp_linux.go.
func (q *writeQueue) Read(b []byte) (int, error) {
	if !readsOnce || q.raw == nil || len(b) == 0 {
		return q.Conn.Read(b)
	}
	q.in.b = b
	err := q.raw.Read(q.in.attempt)
	q.in.b = nil
	switch {
	case err != nil:
		return 0, err
	case q.in.errno != nil:
		return 0, q.in.errno
	case q.in.n == 0:
		return 0, io.EOF
	}
	return q.in.n, nil
}

// Write takes all of b or disconnects. The lock spans a system call that cannot wait: two
// messages must not mix on the stream.
func (q *writeQueue) Write(b []byte) (int, error) {
	err := q.write(b)
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (q *writeQueue) write(b []byte) error {
	q.mu.Lock()
	if q.err != nil {
		defer q.mu.Unlock()
		return q.err
	}
	rest := b
	if !q.draining {
		n, err := q.try(b)
		if err != nil {
			return q.abort(err)
		}
		rest = b[n:]
	}
	if len(rest) == 0 {
		q.mu.Unlock()
		return nil
	}
	if q.inFlight+len(q.pending)+len(rest) > q.t.limits.WriteQueue {
		q.t.stats.QueueFull.Add(1)
		return q.abort(ErrQueueFull)
	}
	q.pending = append(q.pending, rest...)
	if !q.draining {
		q.draining = true
		q.t.running.Go(q.drain)
	}
	q.mu.Unlock()
	return nil
}

// abort refuses everything from now on and disconnects. It is called with the lock held and
// releases it.
func (q *writeQueue) abort(err error) error {
	q.err = err
	q.pending = nil
	q.mu.Unlock()
	q.fail(err)
	return err
}

// try writes what the system takes without waiting.
func (q *writeQueue) try(b []byte) (int, error) {
	if q.raw == nil {
		return 0, nil
	}
	q.out = b
	err := q.raw.Write(q.attempt)
	q.out = nil
	if err != nil {
		return 0, err
	}
	return q.n, q.errno
}

// drain writes what is pending and ends when nothing is.
func (q *writeQueue) drain() {
	var chunk []byte
	q.mu.Lock()
	for q.err == nil && len(q.pending) > 0 {
		chunk, q.pending = q.pending, chunk[:0]
		q.inFlight = len(chunk)
		q.mu.Unlock()

		stalled := q.t.clock.AfterFunc(q.t.limits.Write, func() {
			q.t.stats.WriteStalled.Add(1)
			q.fail(errWriteStalled)
		})
		_, err := q.Conn.Write(chunk)
		stalled.Stop()

		q.mu.Lock()
		q.inFlight = 0
		if err != nil && q.err == nil {
			q.abort(err)
			q.mu.Lock()
		}
	}
	q.pending, q.draining = nil, false // a burst's buffer is not kept
	q.mu.Unlock()
}

// stop refuses everything from now on; whatever waits is lost.
func (q *writeQueue) stop() {
	q.mu.Lock()
	if q.err == nil {
		q.err = ErrClosed
	}
	q.pending = nil
	q.mu.Unlock()
}
