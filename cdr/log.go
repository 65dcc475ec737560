// Package cdr keeps the record of every call: a durable log on this node, and its export in AWS's form.
//
// Append answers once the record is on disk; callers that come at the same time share one fsync. The log is a
// row of segment files; what a crash tore off the end of the last one was never acknowledged and is cut off when
// the log is opened. An Exporter turns each record into one file under AWS's own key, at least once and, because
// the key and the text follow from the record alone, never as two files.
package cdr

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carillon/call"
	"carillon/clock"
)

// The bounds of a log and their defaults.
const (
	// DefaultMaxSegmentBytes is the size at which a new segment is begun.
	DefaultMaxSegmentBytes = 16 << 20
	// DefaultMaxBytes is how much is kept for Show and List once it is exported. An operator sets --max-record-bytes.
	DefaultMaxBytes = 1 << 30
	// DefaultMaxBacklogBytes is how much is kept while the exporter cannot take it.
	DefaultMaxBacklogBytes = 4 << 30
	// DefaultMaxPending is how many Appends may wait for the disk before further ones wait to be taken.
	DefaultMaxPending = 4096
	// MaxRecordBytes is the longest record in its stored form.
	MaxRecordBytes = 256 << 10
	// DefaultSyncInterval is the time between two fsyncs while records come faster than that: one costs as much
	// processor time as all else that is done for a record.
	DefaultSyncInterval = 50 * time.Millisecond
	// MaxRecent is how many records are kept in memory for the exporter, so that it need not read them back. Those
	// above it are read back.
	MaxRecent = 4096
	// maxBatchBytes and maxBatchRecords bound what shares one fsync.
	maxBatchBytes   = 4 << 20
	maxBatchRecords = 1024
)

// ErrClosed is returned by calls on a Log that was closed.
var ErrClosed = errors.New("the log of call records is closed")

// Config is what a Log is opened with. Only Dir is required.
type Config struct {
	// Dir holds the segments; it is created when missing. One process at a time may have it open.
	Dir string
	// Clock times the exporter's retries; the system's when nil.
	Clock clock.Clock
	// Logger gets damage found at opening and faults of the disk; none when nil.
	Logger *slog.Logger
	// MaxSegmentBytes, MaxBytes, MaxBacklogBytes and MaxPending are the bounds described at their defaults,
	// which 0 stands for.
	MaxSegmentBytes, MaxBytes, MaxBacklogBytes int64
	MaxPending                                 int
	// SyncInterval is described at DefaultSyncInterval, which 0 stands for.
	SyncInterval time.Duration

	// open replaces the file system in tests of failing disks.
	open func(path string, flag int) (segmentFile, error)
}

// MaxFiles is the most files that a Log opened with c and an Exporter of it have open: every segment, the lock, and those
// that are being written or read.
func (c Config) MaxFiles() int {
	c = c.withDefaults()
	const others = 8
	return int(max(c.MaxBytes, c.MaxBacklogBytes)/c.MaxSegmentBytes) + others
}

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxSegmentBytes <= 0 {
		c.MaxSegmentBytes = DefaultMaxSegmentBytes
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MaxBacklogBytes <= 0 {
		c.MaxBacklogBytes = max(DefaultMaxBacklogBytes, c.MaxBytes)
	}
	if c.MaxPending <= 0 {
		c.MaxPending = DefaultMaxPending
	}
	if c.SyncInterval <= 0 {
		c.SyncInterval = DefaultSyncInterval
	}
	if c.open == nil {
		c.open = openFile
	}
	return c
}

// Log is the durable list of this node's call records. Its methods are safe for concurrent use; those that read
// never wait for the disk writes of Append, nor Append for them.
type Log struct {
	cfg     Config
	lock    *os.File
	queue   chan *request
	closing chan struct{} // closed by Close
	closed  chan struct{} // closed when the committing goroutine has ended
	changed chan struct{} // holds a token after each commit, for the exporter
	once    sync.Once

	taking sync.RWMutex // held while a request is put into the queue
	ended  bool         // no more are taken

	// Of the committing goroutine alone.
	active  *segment  // nil after a fault: the next commit begins a new segment
	next    uint64    // serial of the next record
	number  uint64    // number of the newest segment file
	synced  time.Time // when the last batch was made durable
	crowded bool      // that batch was of more than one record

	mu       sync.RWMutex // never held over I/O
	segments []*segment   // oldest first
	entries  []entry      // by serial; appended to or replaced, never changed in place
	byID     map[recordID]uint64
	keepFrom uint64   // the serial the exporter has yet to take; maxSerial without an exporter
	recent   []recent // what the exporter has yet to take, by serial, as far as it is in memory

	stats counters
}

// entry says where a record lies.
type entry struct {
	serial  uint64
	id      recordID
	segment *segment
	offset  int64 // of the frame
	length  int   // of the payload
}

// recent is a record that was written a moment ago.
type recent struct {
	serial uint64
	record *call.Record
}

type counters struct {
	appended, duplicates, refused, syncs, faults, removed, removedUnexported, torn, damaged, readBack atomic.Uint64
}

// Stats counts what a Log holds and did since it was opened.
type Stats struct {
	// Records, Segments and Bytes are what is kept now; Pending the Appends that wait to be taken.
	Records, Segments int
	Bytes             int64
	Pending           int
	// Recent are the records in memory for the exporter, ReadBack counts those it had to read from the disk.
	Recent   int
	ReadBack uint64
	// Appended counts acknowledged records, Duplicates those whose id was there already, Refused those that are
	// no valid record.
	Appended, Duplicates, Refused uint64
	// Syncs counts successful fsyncs, Faults failed writes or fsyncs.
	Syncs, Faults uint64
	// Removed counts records dropped by MaxBytes, RemovedUnexported those dropped by MaxBacklogBytes before they
	// were exported: the only way a record is lost.
	Removed, RemovedUnexported uint64
	// Torn counts unfinished tails cut off at opening, Damaged unreadable places that were skipped.
	Torn, Damaged uint64
}

const maxSerial = ^uint64(0)

// Open opens the log in cfg.Dir, or begins one. Everything that was acknowledged is there again.
func Open(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open call records: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open call records: %w", err)
	}
	l := &Log{
		cfg:      cfg,
		lock:     lock,
		queue:    make(chan *request, cfg.MaxPending),
		closing:  make(chan struct{}),
		closed:   make(chan struct{}),
		changed:  make(chan struct{}, 1),
		next:     1,
		byID:     map[recordID]uint64{},
		keepFrom: maxSerial,
	}
	if err := l.load(); err != nil {
		l.closeFiles()
		return nil, fmt.Errorf("open call records: %w", err)
	}
	go l.run()
	return l, nil
}

// Close waits for the Appends that were taken and closes the log. It may be called more than once.
func (l *Log) Close() error {
	l.once.Do(func() {
		l.taking.Lock() // waits for those that wait for room, while the committing goroutine makes some
		l.ended = true
		l.taking.Unlock()
		close(l.closing)
	})
	<-l.closed
	return l.closeFiles()
}

func (l *Log) closeFiles() error {
	l.mu.Lock()
	segments := l.segments
	l.segments, l.entries = nil, nil
	l.mu.Unlock()
	var errs []error
	for _, s := range segments {
		errs = append(errs, s.file.Close())
	}
	if l.lock != nil {
		l.lock.Close() // gives up the lock; there is nothing to write
	}
	return errors.Join(errs...)
}

// Stats returns the log's counters.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	s := Stats{Records: len(l.entries), Segments: len(l.segments), Recent: len(l.recent)}
	for _, segment := range l.segments {
		s.Bytes += segment.size
	}
	l.mu.RUnlock()
	c := &l.stats
	s.Pending, s.ReadBack = len(l.queue), c.readBack.Load()
	s.Appended, s.Duplicates, s.Refused = c.appended.Load(), c.duplicates.Load(), c.refused.Load()
	s.Syncs, s.Faults = c.syncs.Load(), c.faults.Load()
	s.Removed, s.RemovedUnexported = c.removed.Load(), c.removedUnexported.Load()
	s.Torn, s.Damaged = c.torn.Load(), c.damaged.Load()
	return s
}

// load reads every segment. Only the last one may end in the middle of a record.
func (l *Log) load() error {
	names, err := segmentNames(l.cfg.Dir)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := l.loadSegment(name, i == len(names)-1); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) loadSegment(name string, last bool) error {
	path := filepath.Join(l.cfg.Dir, name)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	l.number = segmentNumber(name)
	found, err := scan(content)
	if err != nil {
		return l.unreadable(path, len(content), last, err)
	}
	file, err := l.cfg.open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	s := &segment{path: path, file: file, size: int64(len(content))}
	l.segments = append(l.segments, s)
	for _, f := range found.frames {
		if _, twice := l.byID[f.id]; twice {
			continue // written again after a fault that left the first copy readable after all
		}
		s.records++
		l.byID[f.id] = f.serial
		l.entries = append(l.entries, entry{f.serial, f.id, s, f.offset, f.length})
	}
	l.next = max(l.next, found.next)
	if found.holes > 0 {
		l.stats.damaged.Add(uint64(found.holes))
		l.cfg.Logger.Error("call records are damaged", "segment", name, "places", found.holes)
	}
	if !last {
		return nil
	}
	if found.end < s.size {
		l.stats.torn.Add(1)
		l.cfg.Logger.Warn("cut off an unfinished call record", "segment", name, "bytes", s.size-found.end)
		if err := s.cut(found.end); err != nil {
			return err
		}
	}
	if found.holes == 0 {
		l.active = s
	}
	return nil
}

// unreadable judges a segment without a valid head. The newest one was being made when the machine stopped, so
// nothing in it was acknowledged; an older one is left for the operator to look at.
func (l *Log) unreadable(path string, size int, last bool, err error) error {
	if last && size <= headSize {
		l.stats.torn.Add(1)
		return os.Remove(path)
	}
	l.stats.damaged.Add(1)
	l.cfg.Logger.Error("call records are damaged", "segment", filepath.Base(path), "err", err)
	return nil
}

// Append stores a record and returns once it is on disk. A record whose id is there already changes nothing and
// is no error, so a caller may repeat an Append whose outcome it does not know. An error means that the record is
// not acknowledged; the log goes on in a new segment.
func (l *Log) Append(r call.Record) error {
	done := make(chan error, 1)
	l.Submit(r, func(err error) { done <- err })
	return <-done
}

// Submit is Append for those who cannot wait: done is called with what Append would return, possibly before Submit
// returns. It must not wait for the log.
func (l *Log) Submit(r call.Record, done func(error)) {
	// The record is read again when the caller has gone on.
	r.Attempts, r.FailedTransfers = slices.Clone(r.Attempts), slices.Clone(r.FailedTransfers)
	req, err := newRequest(&r)
	if err != nil {
		l.stats.refused.Add(1)
		done(fmt.Errorf("append call record: %w", err))
		return
	}
	req.done = done
	if l.enqueue(req, false) {
		return
	}
	go func() { // the disk is slow, and records wait in thousands
		if !l.enqueue(req, true) {
			done(ErrClosed)
		}
	}()
}

// enqueue hands a request to the committing goroutine, waiting for room if it may. It reports whether it did; after that
// the request is answered.
func (l *Log) enqueue(req *request, wait bool) bool {
	l.taking.RLock()
	defer l.taking.RUnlock()
	if l.ended {
		return false
	}
	if wait {
		l.queue <- req
		return true
	}
	select {
	case l.queue <- req:
		return true
	default:
		return false
	}
}
