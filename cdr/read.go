package cdr

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"time"

	"carillon/call"
)

// The bounds of List.
const (
	// DefaultLimit is the length of a page when List is asked for 0 records.
	DefaultLimit = 100
	// MaxLimit is the most records of a page.
	MaxLimit = 1000
	// MaxScan is the most records one List looks at. A filter that few records pass gives short, even empty,
	// pages with a cursor to go on from.
	MaxScan = 20_000
)

// Filter selects records. Empty fields select all.
type Filter struct {
	// Account and ConnectorID are compared whole.
	Account, ConnectorID string
	// Direction is "Outbound" or "Inbound".
	Direction string
	// Number is the caller's or the called number.
	Number string
	// Reason is the name of a call.Reason.
	Reason string
	// Since and Until select calls that began at or after, and before, these times.
	Since, Until time.Time
}

func (f *Filter) match(r *call.Record) bool {
	return (f.Account == "" || f.Account == r.Account) &&
		(f.ConnectorID == "" || f.ConnectorID == r.ConnectorID) &&
		(f.Direction == "" || f.Direction == r.Direction) &&
		(f.Number == "" || f.Number == r.From || f.Number == r.To) &&
		(f.Reason == "" || f.Reason == r.Reason) &&
		(f.Since.IsZero() || !r.Start.Before(f.Since)) &&
		(f.Until.IsZero() || r.Start.Before(f.Until))
}

// Page is a part of a list.
type Page struct {
	// Records are newest first.
	Records []call.Record
	// Next is the cursor of the following page, empty when there is none.
	Next string
}

// Show returns the record of a call, reporting whether there is one.
func (l *Log) Show(id call.ID) (call.Record, bool, error) {
	key, ok := parseID(id)
	if !ok {
		return call.Record{}, false, nil
	}
	l.mu.RLock()
	serial, ok := l.byID[key]
	entries := l.entries
	l.mu.RUnlock()
	i := position(entries, serial)
	if !ok || i == len(entries) || entries[i].serial != serial {
		return call.Record{}, false, nil
	}
	r, err := entries[i].read()
	if errors.Is(err, os.ErrClosed) {
		return call.Record{}, false, nil // removed meanwhile
	}
	if err != nil {
		return call.Record{}, false, fmt.Errorf("show call record: %w", err)
	}
	return r, true, nil
}

// List returns up to limit records that pass the filter, newest first, starting behind cursor, which is empty or
// a Page's Next. A cursor stays good while records are added and removed.
func (l *Log) List(f Filter, limit int, cursor string) (Page, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	before := maxSerial
	if cursor != "" {
		n, err := strconv.ParseUint(cursor, 10, 64)
		if err != nil {
			return Page{}, fmt.Errorf("list call records: the cursor %q is none of ours", cursor)
		}
		before = n
	}
	l.mu.RLock()
	entries := l.entries
	l.mu.RUnlock()
	entries = entries[:position(entries, before)]
	page := Page{}
	for scanned := 0; len(entries) > 0; scanned++ {
		if len(page.Records) == limit || scanned == MaxScan {
			page.Next = strconv.FormatUint(entries[len(entries)-1].serial+1, 10)
			break
		}
		e := entries[len(entries)-1]
		entries = entries[:len(entries)-1]
		r, err := e.read()
		if errors.Is(err, os.ErrClosed) {
			break // removed meanwhile, and so is everything older
		}
		if err != nil {
			return Page{}, fmt.Errorf("list call records: %w", err)
		}
		if f.match(&r) {
			page.Records = append(page.Records, r)
		}
	}
	return page, nil
}

// waiting is a record that waits to be exported.
type waiting struct {
	entry
	record *call.Record // nil where it has to be read
}

// after returns up to limit records from serial on, oldest first.
func (l *Log) after(serial uint64, limit int) []waiting {
	l.mu.RLock()
	defer l.mu.RUnlock()
	entries := l.entries[position(l.entries, serial):]
	entries = entries[:min(limit, len(entries))]
	all := make([]waiting, 0, len(entries))
	fresh := l.recent
	for _, e := range entries {
		for len(fresh) > 0 && fresh[0].serial < e.serial {
			fresh = fresh[1:]
		}
		w := waiting{entry: e}
		if len(fresh) > 0 && fresh[0].serial == e.serial {
			w.record = fresh[0].record
		}
		all = append(all, w)
	}
	return all
}

// position returns the index of the first entry whose serial is at least serial.
func position(entries []entry, serial uint64) int {
	return sort.Search(len(entries), func(i int) bool { return entries[i].serial >= serial })
}

// errDamaged is a record whose octets are no longer those that were written.
var errDamaged = errors.New("the record is damaged")

// read fetches the record. Its checksum is compared again: a disk may forget after it was asked once.
func (e entry) read() (call.Record, error) {
	buf := make([]byte, frameSize+e.length)
	if _, err := e.segment.file.ReadAt(buf, e.offset); err != nil {
		return call.Record{}, err
	}
	if f, ok := parseFrame(buf, e.serial); !ok || f.serial != e.serial {
		return call.Record{}, fmt.Errorf("%w: serial %d in %s", errDamaged, e.serial, e.segment.path)
	}
	var r call.Record
	err := json.Unmarshal(buf[frameSize:], &r)
	return r, err
}
