package cdr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carillon/call"
)

// The bounds of an exporter.
const (
	// exportBatch is how many records are written before the checkpoint moves.
	exportBatch = 256
	// exportWorkers write files side by side where one file takes longer than slowFile.
	exportWorkers = 4
	slowFile      = time.Millisecond
	// ExportLinger is how long a record waits for others to be exported with it.
	ExportLinger = time.Second
	// MinExportRetry and MaxExportRetry bound the growing pause after a failed export.
	MinExportRetry = time.Second
	MaxExportRetry = time.Minute
	// MaxFinalExport bounds the last pass when the node stops; what it leaves is exported at the next start.
	MaxFinalExport = 5 * time.Second
)

const checkpointName = "export.checkpoint"

// Exporter writes each record of a Log as AWS's JSON into its own file.
type Exporter struct {
	log *Log
	dir string
	// scratch is where files are made.
	scratch string
	next    uint64 // serial of the first record not yet exported; of the one goroutine that exports
	workers int    // likewise
	// link is linkFile, but for tests of file systems that cannot.
	link func(path string, content []byte) error

	mu sync.Mutex // one Export at a time

	exported, skipped, failures atomic.Uint64
}

// ExportStats counts what an Exporter did since it was made.
type ExportStats struct {
	// Exported counts files written or found to be there, Skipped records that belong to no connector,
	// Failures failed attempts, each tried again.
	Exported, Skipped, Failures uint64
}

// NewExporter returns an exporter of l into dir, which goes on where the last one on this log stopped. From now
// on the log keeps what is not yet exported. A log has one exporter.
func NewExporter(l *Log, dir string) (*Exporter, error) {
	e := &Exporter{log: l, dir: filepath.Clean(dir), workers: 1, link: linkFile}
	if err := e.prepare(); err != nil {
		return nil, fmt.Errorf("export call records: %w", err)
	}
	next, err := readCheckpoint(filepath.Join(l.cfg.Dir, checkpointName))
	if err != nil {
		return nil, fmt.Errorf("export call records: %w", err)
	}
	l.mu.RLock()
	stored := len(l.entries)
	if stored > 0 && next > l.entries[stored-1].serial+1 {
		// The log was emptied by hand and counts from the start again; a file too many is better than none.
		next = l.entries[0].serial
	}
	l.mu.RUnlock()
	e.next = next
	l.setKeepFrom(next)
	return e, nil
}

// prepare makes the folder and the place where files are made, so that they appear under their key complete or not at
// all. The place is beside the log, where nobody who reads the folder sees it, unless the folder is on a file system of
// its own: a file can only be moved within one.
func (e *Exporter) prepare() error {
	if err := os.MkdirAll(e.dir, 0o750); err != nil {
		return err
	}
	e.scratch = filepath.Join(e.log.cfg.Dir, "partial")
	if !sameFileSystem(e.dir, e.log.cfg.Dir) {
		e.scratch = filepath.Join(e.dir, ".partial")
	}
	return os.MkdirAll(e.scratch, 0o700)
}

// Stats returns the exporter's counters.
func (e *Exporter) Stats() ExportStats {
	return ExportStats{e.exported.Load(), e.skipped.Load(), e.failures.Load()}
}

// Run exports records as they come until ctx ends, and then once more what calls left on their way out. A failure
// is logged, counted and tried again after a pause that doubles from MinExportRetry to MaxExportRetry; calls never
// wait for it.
func (e *Exporter) Run(ctx context.Context) {
	pause := MinExportRetry
	for ctx.Err() == nil {
		err := e.Export(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			pause = MinExportRetry
			select {
			case <-e.log.changed:
				e.sleep(ctx, ExportLinger)
			case <-ctx.Done():
			}
		default:
			e.failed(err)
			e.sleep(ctx, pause)
			pause = min(2*pause, MaxExportRetry)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), MaxFinalExport)
	defer cancel()
	if err := e.Export(last); err != nil {
		e.failed(err)
	}
}

func (e *Exporter) failed(err error) {
	e.failures.Add(1)
	e.log.cfg.Logger.Error("call records wait to be exported", "err", err)
}

// sleep waits for d or the end of ctx.
func (e *Exporter) sleep(ctx context.Context, d time.Duration) {
	due := make(chan struct{})
	timer := e.log.cfg.Clock.AfterFunc(d, func() { close(due) })
	defer timer.Stop()
	select {
	case <-due:
	case <-ctx.Done():
	}
}

// Export writes every record that is in the log and not yet exported, and returns once the files are durable.
func (e *Exporter) Export(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		batch := e.log.after(e.next, exportBatch)
		if len(batch) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.exportBatch(batch); err != nil {
			return fmt.Errorf("export call records: %w", err)
		}
		next := batch[len(batch)-1].serial + 1
		if err := e.checkpoint(next); err != nil {
			return fmt.Errorf("export call records: %w", err)
		}
		e.next = next
		e.log.setKeepFrom(next)
	}
}

// exportBatch writes a batch and makes all of it durable at once: a sync for each file was half of what a call cost. A
// file that a crash leaves empty or short is behind the checkpoint and is written again.
func (e *Exporter) exportBatch(batch []waiting) error {
	var (
		paths = make([]string, len(batch))
		errs  = make([]error, len(batch), len(batch)+1)
		next  atomic.Int64
		wg    sync.WaitGroup
	)
	begun := e.log.cfg.Clock.Now()
	for range min(e.workers, len(batch)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(batch)); i = next.Add(1) - 1 {
				paths[i], errs[i] = e.exportRecord(batch[i])
			}
		})
	}
	wg.Wait()
	// On a disk of its own one worker is the cheapest; where each file takes its time, as on a network's, more are faster.
	e.workers = 1
	if e.log.cfg.Clock.Now().Sub(begun) > time.Duration(len(batch))*slowFile {
		e.workers = exportWorkers
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return path == "" })
	if len(paths) > 0 {
		errs = append(errs, syncTree(e.dir, paths))
	}
	return errors.Join(errs...)
}

// syncPaths makes files and the folders between them and dir durable, one by one.
func syncPaths(dir string, paths []string) error {
	var errs []error
	done := map[string]bool{}
	for _, path := range paths {
		for p := path; len(p) >= len(dir) && !done[p]; p = filepath.Dir(p) {
			done[p] = true
			errs = append(errs, syncDir(p)) // opens it for reading, which does for a file, too
		}
	}
	return errors.Join(errs...)
}

// exportRecord writes one file and returns its path, empty where there is nothing to write.
func (e *Exporter) exportRecord(w waiting) (path string, err error) {
	r, err := w.record, error(nil)
	if r == nil {
		var stored call.Record
		e.log.stats.readBack.Add(1)
		stored, err = w.read()
		r = &stored
	}
	if errors.Is(err, os.ErrClosed) {
		return "", nil // dropped by MaxBacklogBytes, counted there
	}
	if errors.Is(err, errDamaged) {
		// It will not get better: one such record must not hold up those behind it.
		e.log.stats.damaged.Add(1)
		e.log.cfg.Logger.Error("a call record cannot be exported", "serial", w.serial, "err", err)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	key, ok := Key(r)
	if !ok {
		e.skipped.Add(1)
		return "", nil
	}
	path = filepath.Join(e.dir, filepath.FromSlash(key))
	content, err := Encode(r)
	if err != nil {
		return "", err
	}
	if err := e.writeFile(path, string(r.ID), content); err != nil {
		return "", err
	}
	e.exported.Add(1)
	return path, nil
}

// writeFile makes path hold content, complete or not at all. When it does already, after a crash before the checkpoint,
// it is left alone: whoever watches the folder sees one file, once. id names the record in the scratch folder.
func (e *Exporter) writeFile(path, id string, content []byte) error {
	err := e.link(path, content)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		err = e.link(path, content)
	}
	if !errors.Is(err, errNoLink) && !errors.Is(err, os.ErrExist) {
		return err
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	return replaceFile(filepath.Join(e.scratch, id), path, content, nil)
}

// errNoLink: the file system cannot name a file after it was written.
var errNoLink = errors.New("files cannot be linked here")

// replaceFile writes content to partial, makes it durable where sync is given, and moves it to path.
func replaceFile(partial, path string, content []byte, sync func(*os.File) error) error {
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync != nil {
		err = sync(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// checkpoint remembers durably that everything before next is exported.
func (e *Exporter) checkpoint(next uint64) error {
	path := filepath.Join(e.log.cfg.Dir, checkpointName)
	if err := replaceFile(path+".new", path, []byte(strconv.FormatUint(next, 10)+"\n"), (*os.File).Sync); err != nil {
		return err
	}
	return syncDir(e.log.cfg.Dir)
}

func readCheckpoint(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return n, nil
}

// setKeepFrom tells the log which records the exporter still needs.
func (l *Log) setKeepFrom(serial uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keepFrom = serial
	n := 0
	for n < len(l.recent) && l.recent[n].serial < serial {
		n++
	}
	l.recent = slices.Delete(l.recent, 0, n)
}
