package cdr

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/clock/clocktest"
)

// disk is a file system whose writes, fsyncs and reads a test can hold up or fail.
type disk struct {
	syncs    atomic.Int64
	onSync   func(n int64) error // n counts from 1
	onWrite  func() error
	onRead   func()
	onOpen   func() error
	truncate error
}

type diskFile struct {
	segmentFile
	d *disk
}

func (d *disk) open(path string, flag int) (segmentFile, error) {
	if d.onOpen != nil {
		if err := d.onOpen(); err != nil {
			return nil, err
		}
	}
	f, err := openFile(path, flag)
	return diskFile{f, d}, err
}

func (f diskFile) Sync() error {
	n := f.d.syncs.Add(1)
	if f.d.onSync != nil {
		if err := f.d.onSync(n); err != nil {
			return err
		}
	}
	return f.segmentFile.Sync()
}

func (f diskFile) WriteAt(b []byte, at int64) (int, error) {
	if f.d.onWrite != nil {
		if err := f.d.onWrite(); err != nil {
			n, _ := f.segmentFile.WriteAt(b[:len(b)/2], at) // a full disk takes a part
			return n, err
		}
	}
	return f.segmentFile.WriteAt(b, at)
}

func (f diskFile) ReadAt(b []byte, at int64) (int, error) {
	if f.d.onRead != nil {
		f.d.onRead()
	}
	return f.segmentFile.ReadAt(b, at)
}

func (f diskFile) Truncate(size int64) error {
	if f.d.truncate != nil {
		return f.d.truncate
	}
	return f.segmentFile.Truncate(size)
}

func TestCallersShareAnFsync(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	d := &disk{}
	d.onSync = func(n int64) error {
		if n == 2 { // the first is of the new segment's head
			close(held)
			<-hold
		}
		return nil
	}
	l := open(t, Config{Dir: t.TempDir(), open: d.open})
	var wg sync.WaitGroup
	wg.Go(func() { appendRecords(t, l, 0, 1) })
	<-held
	for n := 1; n < 64; n++ {
		wg.Go(func() { appendRecords(t, l, n, n+1) })
	}
	for l.Stats().Pending < 63 {
		time.Sleep(time.Millisecond)
	}
	if got := len(ids(t, l, Filter{})); got != 0 {
		t.Errorf("%d records are shown that are not yet durable", got)
	}
	close(hold)
	wg.Wait()
	if s := l.Stats(); s.Appended != 64 || s.Syncs != 2 {
		t.Errorf("%d records with %d fsyncs, want 64 with 2", s.Appended, s.Syncs)
	}
}

// TestRecordsWaitForEachOther: where records come side by side the next ones wait for more, as long as SyncInterval; one
// after the other they do not.
func TestRecordsWaitForEachOther(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	d := &disk{}
	d.onSync = func(n int64) error {
		if n == 4 { // after that of the head and those of two single records
			close(held)
			<-hold
		}
		return nil
	}
	fake := clocktest.New()
	l := open(t, Config{Dir: t.TempDir(), open: d.open, Clock: fake})
	appendRecords(t, l, 0, 2)
	var wg sync.WaitGroup
	side := func(from, to int) {
		for n := from; n < to; n++ {
			wg.Go(func() { appendRecords(t, l, n, n+1) })
		}
	}
	side(2, 3)
	<-held
	side(3, 6)
	wait(t, "three to queue", func() bool { return l.Stats().Pending == 3 })
	close(hold)
	wg.Wait()
	if s := l.Stats(); s.Syncs != 4 {
		t.Fatalf("%d fsyncs; want 4", s.Syncs)
	}
	side(6, 8)
	wait(t, "the first to be taken and the second to queue", func() bool { return l.Stats().Pending == 1 && fake.Pending() == 1 })
	fake.Advance(DefaultSyncInterval - 1)
	if s := l.Stats(); s.Syncs != 4 {
		t.Errorf("%d fsyncs before the interval was over; want 4", s.Syncs)
	}
	fake.Advance(1)
	wg.Wait()
	fake.Advance(DefaultSyncInterval)
	side(8, 9) // the interval is over
	wg.Wait()
	appendRecords(t, l, 9, 10) // and the last one came alone
	if s := l.Stats(); s.Appended != 10 || s.Syncs != 7 || fake.Pending() != 0 {
		t.Errorf("%d records with %d fsyncs, want 10 with 7", s.Appended, s.Syncs)
	}
}

// TestNoNewSegment: where no new segment can be begun, as without files to open, the full one takes more records.
func TestNoNewSegment(t *testing.T) {
	d := &disk{}
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, MaxSegmentBytes: 1, open: d.open})
	appendRecords(t, l, 0, 2)
	d.onOpen = func() error { return syscall.EMFILE }
	appendRecords(t, l, 2, 5)
	if s := l.Stats(); s.Segments != 2 || s.Appended != 5 || s.Faults != 0 {
		t.Errorf("%d segments, %d records, %d faults; want 2, 5 and none", s.Segments, s.Appended, s.Faults)
	}
	d.onOpen = nil
	appendRecords(t, l, 5, 6)
	if s := l.Stats(); s.Segments != 3 {
		t.Errorf("%d segments once files can be opened again, want 3", s.Segments)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, open(t, Config{Dir: dir}), Filter{}); len(got) != 6 {
		t.Errorf("%d records after a restart, want 6", len(got))
	}
}

func TestReadersDoNotWaitForWritersNorWritersForReaders(t *testing.T) {
	d := &disk{}
	l := open(t, Config{Dir: t.TempDir(), open: d.open})
	appendRecords(t, l, 0, 1)

	hold, held := make(chan struct{}), make(chan struct{})
	d.onSync = func(int64) error { close(held); <-hold; return nil }
	written := make(chan error, 1)
	go func() { written <- l.Append(record(1)) }()
	<-held
	if _, ok, err := l.Show(record(0).ID); !ok || err != nil {
		t.Errorf("Show beside a stalled fsync = %v, %v", ok, err)
	}
	d.onSync = nil
	close(hold)
	if err := <-written; err != nil {
		t.Fatal(err)
	}

	hold, held = make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.onRead = func() { once.Do(func() { close(held); <-hold }) }
	listed := make(chan error, 1)
	go func() { _, err := l.List(Filter{}, 10, ""); listed <- err }()
	<-held
	appendRecords(t, l, 2, 3)
	close(hold)
	if err := <-listed; err != nil {
		t.Fatal(err)
	}
}

// TestFaults fails the disk once in each way. The record whose Append failed may be there later or not; it must
// never be there twice, and no other may be missing.
func TestFaults(t *testing.T) {
	broken := errors.New("input/output error")
	for name, breakDisk := range map[string]func(*disk){
		"fsync":                 func(d *disk) { d.onSync = func(int64) error { return broken } },
		"write":                 func(d *disk) { d.onWrite = func() error { return broken } },
		"fsync, then truncate":  func(d *disk) { d.onSync = func(int64) error { return broken }; d.truncate = broken },
		"write, then truncate":  func(d *disk) { d.onWrite = func() error { return broken }; d.truncate = broken },
		"fsync for a long time": func(d *disk) { d.onSync = func(int64) error { return broken } },
	} {
		t.Run(name, func(t *testing.T) {
			d := &disk{}
			cfg := Config{Dir: t.TempDir(), open: d.open}
			l := open(t, cfg)
			appendRecords(t, l, 0, 2)
			breakDisk(d)
			failures := 1
			if name == "fsync for a long time" {
				failures = 20
			}
			for range failures {
				if err := l.Append(record(2)); !errors.Is(err, broken) {
					t.Fatalf("append on a broken disk: %v", err)
				}
			}
			d.onSync, d.onWrite, d.truncate = nil, nil, nil
			appendRecords(t, l, 2, 4)
			want := wantIDs(0, 4)
			if got := ids(t, l, Filter{}); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if s := l.Stats(); s.Faults != uint64(failures) || s.Segments != 2 {
				t.Errorf("stats = %+v", s)
			}
			l.Close()
			got := ids(t, open(t, cfg), Filter{})
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("opened again: got %v, want %v", got, want)
			}
		})
	}
}

func TestRetention(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), MaxSegmentBytes: 2000, MaxBytes: 10_000, MaxBacklogBytes: 20_000}
	l := open(t, cfg)
	appendRecords(t, l, 0, 100)
	s := l.Stats()
	if s.Bytes > cfg.MaxBytes+cfg.MaxSegmentBytes || s.Removed == 0 || int(s.Removed)+s.Records != 100 || s.RemovedUnexported != 0 {
		t.Errorf("stats = %+v", s)
	}
	if got, want := ids(t, l, Filter{}), wantIDs(100-s.Records, 100); !slices.Equal(got, want) {
		t.Errorf("got %v, want the newest %v", got, want)
	}
	if _, ok, err := l.Show(record(0).ID); ok || err != nil {
		t.Errorf("Show of a removed record = %v, %v", ok, err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "*"+extension))
	if err != nil || len(files) != s.Segments {
		t.Errorf("%d files for %d segments, %v", len(files), s.Segments, err)
	}

	if _, err := NewExporter(l, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	appendRecords(t, l, 100, 110)
	if s := l.Stats(); s.RemovedUnexported != 0 || s.Bytes <= cfg.MaxBytes {
		t.Errorf("within the backlog: stats = %+v", s)
	}
	appendRecords(t, l, 110, 200)
	if s := l.Stats(); s.RemovedUnexported == 0 || s.Bytes > cfg.MaxBacklogBytes+cfg.MaxSegmentBytes {
		t.Errorf("beyond the backlog: stats = %+v", s)
	}
}

// TestSerialsOutliveRetention: were serials to start again after everything was removed, the exporter's checkpoint
// would hide the new records from it.
func TestSerialsOutliveRetention(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), MaxSegmentBytes: 1, MaxBytes: 1}
	l := open(t, cfg)
	appendRecords(t, l, 0, 10)
	l.Close()
	if err := os.Truncate(filepath.Join(cfg.Dir, segmentName(10)), int64(headSize)); err != nil {
		t.Fatal(err)
	}
	l = open(t, cfg)
	if l.next != 10 {
		t.Errorf("next serial = %d, want 10", l.next)
	}
}

// TestSubmitDoesNotWait: neither for the disk nor for room in the queue, and every record is answered, also by a log that
// closes.
func TestSubmitDoesNotWait(t *testing.T) {
	hold := make(chan struct{})
	d := &disk{onSync: func(int64) error { <-hold; return nil }}
	l := open(t, Config{Dir: t.TempDir(), open: d.open, MaxPending: 1})
	const n = 20
	answers := make(chan error, n+2)
	for i := range n {
		l.Submit(record(i), func(err error) { answers <- err })
	}
	bad := record(n)
	bad.ID = "none"
	l.Submit(bad, func(err error) { answers <- err })
	if err := <-answers; err == nil {
		t.Error("a record without an id was taken")
	}
	if len(answers) != 0 {
		t.Error("a record was acknowledged that is not on disk")
	}
	close(hold)
	for range n {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if got := ids(t, l, Filter{}); len(got) != n {
		t.Errorf("%d records; want %d", len(got), n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Submit(record(n+1), func(err error) { answers <- err })
	if err := <-answers; !errors.Is(err, ErrClosed) {
		t.Errorf("closed log: %v; want %v", err, ErrClosed)
	}
}
