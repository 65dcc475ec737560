package cdr

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"carillon/call"
)

// recordID is a call id as 16 octets.
type recordID [16]byte

// parseID reads the 36-character lower-case text form of a UUID (RFC 9562 section 4). Nothing else becomes part
// of a file name.
func parseID(id call.ID) (recordID, bool) {
	var out recordID
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return out, false
	}
	digits := make([]byte, 0, 32)
	for i := range len(id) {
		switch c := id[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
			digits = append(digits, c)
		default:
			return out, false
		}
	}
	_, err := hex.Decode(out[:], digits)
	return out, err == nil
}

// validConnectorID reports whether id is 22 lower-case letters and digits. It becomes the name of a folder.
func validConnectorID(id string) bool {
	if len(id) != 22 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// request is one Append on its way to the disk.
type request struct {
	id      recordID
	record  *call.Record
	payload []byte      // set by encode
	done    func(error) // called by the committing goroutine, so it does not wait for the log
}

func newRequest(r *call.Record) (*request, error) {
	id, ok := parseID(r.ID)
	if !ok {
		return nil, fmt.Errorf("the call id %q is no UUID", r.ID)
	}
	if r.ConnectorID != "" && !validConnectorID(r.ConnectorID) {
		return nil, fmt.Errorf("the connector id %q is not 22 letters and digits", r.ConnectorID)
	}
	if y := r.Start.UTC().Year(); r.Start.IsZero() || y < 1970 || y > 9999 {
		return nil, errors.New("the record has no start")
	}
	return &request{id: id, record: r}, nil
}

// encode makes the payload, or answers the caller when it cannot.
func (r *request) encode(l *Log) bool {
	var err error
	if r.payload, err = json.Marshal(r.record); err == nil && len(r.payload) > MaxRecordBytes {
		err = fmt.Errorf("the record has %d octets, more than %d", len(r.payload), MaxRecordBytes)
	}
	if err != nil {
		l.stats.refused.Add(1)
		r.done(fmt.Errorf("append call record: %w", err))
	}
	return err == nil
}

// run commits what Append queues until the log is closed, and then what is left in the queue.
func (l *Log) run() {
	defer close(l.closed)
	for {
		select {
		case first := <-l.queue:
			l.linger()
			l.commit(l.gather(first))
		case <-l.closing:
			for {
				select {
				case first := <-l.queue:
					l.commit(l.gather(first))
				default:
					return
				}
			}
		}
	}
}

// linger lets the next records come, so that they share the fsync, where the last batch showed that they do come. One
// caller who waits for each of his records is not held up.
func (l *Log) linger() {
	left := l.cfg.SyncInterval - l.cfg.Clock.Now().Sub(l.synced)
	if !l.crowded || left <= 0 {
		return
	}
	due := make(chan struct{})
	timer := l.cfg.Clock.AfterFunc(left, func() { close(due) })
	defer timer.Stop()
	select {
	case <-due:
	case <-l.closing:
	}
}

// gather takes what else waits, so that all of it shares one fsync. Records are encoded here, one after the other: in the
// caches of a processor that does nothing else meanwhile that takes a third of the time.
func (l *Log) gather(first *request) (batch []*request) {
	size := 0
	for r := first; ; {
		if r.encode(l) {
			batch = append(batch, r)
			size += len(r.payload)
		}
		if len(batch) == maxBatchRecords || size >= maxBatchBytes {
			return batch
		}
		select {
		case r = <-l.queue:
		default:
			return batch
		}
	}
}

// commit writes a batch, makes it durable, shows it to readers and answers its callers, in this order.
func (l *Log) commit(batch []*request) {
	fresh := l.withoutDuplicates(batch)
	err := l.write(fresh)
	if err != nil {
		err = fmt.Errorf("append call record: %w", err)
		l.stats.faults.Add(1)
		l.cfg.Logger.Error("call records could not be written", "records", len(fresh), "err", err)
	} else {
		l.stats.appended.Add(uint64(len(fresh)))
		l.stats.duplicates.Add(uint64(len(batch) - len(fresh)))
	}
	isFresh := make(map[recordID]bool, len(fresh))
	for _, r := range fresh {
		isFresh[r.id] = true
	}
	for _, r := range batch {
		if isFresh[r.id] {
			r.done(err)
		} else {
			r.done(nil) // durable since an earlier batch
		}
	}
	if err == nil && len(fresh) > 0 {
		l.retain()
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

// withoutDuplicates drops what is stored already and all but the first of equal ids within the batch.
func (l *Log) withoutDuplicates(batch []*request) []*request {
	l.mu.RLock()
	defer l.mu.RUnlock()
	seen := make(map[recordID]bool, len(batch))
	fresh := make([]*request, 0, len(batch))
	for _, r := range batch {
		if _, stored := l.byID[r.id]; stored || seen[r.id] {
			continue
		}
		seen[r.id] = true
		fresh = append(fresh, r)
	}
	return fresh
}

// write appends the batch to the active segment with one write and one fsync. After a failed fsync the kernel may
// have dropped the pages it could not write and call the next fsync a success, so the file is never written
// again: the batch is refused and the next one begins a new segment.
func (l *Log) write(batch []*request) error {
	if len(batch) == 0 {
		return nil
	}
	if l.active == nil || l.active.size >= l.cfg.MaxSegmentBytes {
		if err := l.roll(); err != nil && l.active == nil {
			return err
		} else if err != nil {
			// A full segment takes more; a record that is not written is lost.
			l.cfg.Logger.Error("no new segment of call records could be begun", "err", err)
		}
	}
	s := l.active
	size := 0
	for _, r := range batch {
		size += frameSize + len(r.payload)
	}
	buf := make([]byte, 0, size)
	entries := make([]entry, 0, len(batch))
	for _, r := range batch {
		entries = append(entries, entry{l.next, r.id, s, s.size + int64(len(buf)), len(r.payload)})
		buf = appendFrame(buf, l.next, r.id, r.payload)
		l.next++ // also when the write fails: a serial is never used twice
	}
	_, err := s.file.WriteAt(buf, s.size)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		l.active = nil
		return errors.Join(err, s.file.Truncate(s.size))
	}
	l.stats.syncs.Add(1)
	l.synced, l.crowded = l.cfg.Clock.Now(), len(batch) > 1
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range batch {
		if entries[i].serial >= l.keepFrom && len(l.recent) < MaxRecent {
			l.recent = append(l.recent, recent{entries[i].serial, r.record})
		}
	}
	s.size += int64(len(buf))
	s.records += len(batch)
	l.entries = append(l.entries, entries...)
	for _, e := range entries {
		l.byID[e.id] = e.serial
	}
	return nil
}

// roll begins a new segment. Its name is durable before a record is written into it. After an error the active segment
// is the one before.
func (l *Log) roll() error {
	l.number++
	path := filepath.Join(l.cfg.Dir, segmentName(l.number))
	file, err := l.cfg.open(path, os.O_CREATE|os.O_EXCL|os.O_RDWR)
	if err != nil {
		return err
	}
	head := appendHead(nil, l.next)
	_, err = file.WriteAt(head, 0)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = syncDir(l.cfg.Dir)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(path))
	}
	s := &segment{path: path, file: file, size: int64(len(head))}
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	l.active = s
	return nil
}

// retain removes the oldest segments while the log is larger than its bounds. The active one always stays, so the
// last serial is never forgotten.
func (l *Log) retain() {
	for {
		s, records, unexported := l.dropOldest()
		if s == nil {
			return
		}
		l.stats.removed.Add(uint64(records))
		if unexported > 0 {
			l.stats.removedUnexported.Add(uint64(unexported))
			l.cfg.Logger.Error("call records were dropped before they could be exported", "records", unexported)
		}
		// A reader in the middle of a read finds the file closed and takes the record as gone.
		if err := errors.Join(s.file.Close(), os.Remove(s.path)); err != nil {
			l.cfg.Logger.Error("an old segment of call records could not be removed", "err", err)
		}
	}
}

// dropOldest takes the oldest segment out of the index if the bounds ask for it; otherwise it returns nil.
func (l *Log) dropOldest() (s *segment, records, unexported int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) < 2 || l.segments[0] == l.active {
		return nil, 0, 0
	}
	total := int64(0)
	for _, s := range l.segments {
		total += s.size
	}
	s = l.segments[0]
	for records < len(l.entries) && l.entries[records].segment == s {
		if l.entries[records].serial >= l.keepFrom {
			unexported++
		}
		records++
	}
	limit := l.cfg.MaxBytes
	if unexported > 0 {
		limit = max(limit, l.cfg.MaxBacklogBytes)
	}
	if total <= limit {
		return nil, 0, 0
	}
	for _, e := range l.entries[:records] {
		delete(l.byID, e.id)
	}
	l.segments = append([]*segment(nil), l.segments[1:]...)
	l.entries = append([]entry(nil), l.entries[records:]...)
	return s, records, unexported
}
