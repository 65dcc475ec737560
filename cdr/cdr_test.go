package cdr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/call"
)

const connector = "abcdef1ghij2klmno3pqr4"

// record returns the nth record of a test.
func record(n int) call.Record {
	start := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC).Add(time.Duration(n) * time.Second)
	return call.Record{
		ID:          call.ID(fmt.Sprintf("%08x-5af5-9bcc-8000-f28d51278cfc", n)),
		Account:     "111122223333",
		ConnectorID: connector,
		Region:      "us-east-1",
		Direction:   "Outbound",
		From:        "+12065550100",
		To:          "+12065550101",
		FromCountry: "US",
		ToCountry:   "US",
		Start:       start,
		Answered:    start.Add(time.Second),
		End:         start.Add(5 * time.Second),
		Status:      200,
		Reason:      "hangup",
		HungUpBy:    "customer",
		Customer:    call.LegRecord{SIPCallID: fmt.Sprintf("call-%d@192.0.2.1", n)},
	}
}

func open(t *testing.T, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func appendRecords(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := l.Append(record(n)); err != nil {
			t.Fatalf("append %d: %v", n, err)
		}
	}
}

// ids lists the whole log through small pages.
func ids(t *testing.T, l *Log, f Filter) []call.ID {
	t.Helper()
	var all []call.ID
	cursor := ""
	for {
		page, err := l.List(f, 3, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			all = append(all, r.ID)
		}
		if page.Next == "" {
			return all
		}
		cursor = page.Next
	}
}

func wantIDs(from, to int) []call.ID {
	var want []call.ID
	for n := to - 1; n >= from; n-- {
		want = append(want, record(n).ID)
	}
	return want
}

func TestAppendSurvivesReopening(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), MaxSegmentBytes: 2000}
	for round := range 3 {
		l := open(t, cfg)
		appendRecords(t, l, round*7, round*7+7)
		if got, want := ids(t, l, Filter{}), wantIDs(0, round*7+7); !slices.Equal(got, want) {
			t.Errorf("round %d: got %v, want %v", round, got, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, cfg)
	got, ok, err := l.Show(record(3).ID)
	if want := record(3); err != nil || !ok || got.To != want.To || !got.Start.Equal(want.Start) || got.Customer != want.Customer {
		t.Errorf("Show = %+v, %v, %v", got, ok, err)
	}
	if s := l.Stats(); s.Records != 21 || s.Segments < 3 || s.Torn+s.Damaged+s.Faults != 0 {
		t.Errorf("stats = %+v", s)
	}
}

func TestAppendTakesAnIDOnce(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	appendRecords(t, l, 0, 2)
	again := record(1)
	again.To = "+12065559999"
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := l.Append(again); err != nil {
				t.Errorf("append again: %v", err)
			}
			if err := l.Append(record(2)); err != nil {
				t.Errorf("append the same at the same time: %v", err)
			}
		})
	}
	wg.Wait()
	if got, want := ids(t, l, Filter{}), wantIDs(0, 3); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if r, _, _ := l.Show(again.ID); r.To != record(1).To {
		t.Errorf("the second record replaced the first: %q", r.To)
	}
	if s := l.Stats(); s.Appended != 3 || s.Duplicates != 31 {
		t.Errorf("appended %d, duplicates %d; want 3, 31", s.Appended, s.Duplicates)
	}
}

func TestAppendRefusesWhatCannotBeNamed(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	for name, change := range map[string]func(*call.Record){
		"no id":              func(r *call.Record) { r.ID = "" },
		"path in id":         func(r *call.Record) { r.ID = "../../../../../../../../../tmp/evil-12" },
		"upper-case id":      func(r *call.Record) { r.ID = "ABCDEF00-5af5-9bcc-8000-f28d51278cfc" },
		"short id":           func(r *call.Record) { r.ID = r.ID[1:] },
		"dash in id":         func(r *call.Record) { r.ID = "0000000--5af5-9bcc-8000-f28d51278cfc" },
		"path in connector":  func(r *call.Record) { r.ConnectorID = "../../../../../tmp/evil" },
		"upper connector":    func(r *call.Record) { r.ConnectorID = "ABCDEF1ghij2klmno3pqr4" },
		"no start":           func(r *call.Record) { r.Start = time.Time{} },
		"year 10000":         func(r *call.Record) { r.Start = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"larger than a page": func(r *call.Record) { r.Sentence = string(bytes.Repeat([]byte("x"), MaxRecordBytes)) },
	} {
		r := record(0)
		change(&r)
		if err := l.Append(r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if s := l.Stats(); s.Records != 0 || s.Refused != 10 {
		t.Errorf("stats = %+v", s)
	}
}

func TestListFilters(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	in := record(1)
	in.Direction, in.From, in.Account, in.Reason = "Inbound", "+442079460000", "444455556666", "no_route"
	for _, r := range []call.Record{record(0), in, record(2)} {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		filter Filter
		want   []call.ID
	}{
		{"all", Filter{}, wantIDs(0, 3)},
		{"account", Filter{Account: "444455556666"}, wantIDs(1, 2)},
		{"connector", Filter{ConnectorID: connector}, wantIDs(0, 3)},
		{"other connector", Filter{ConnectorID: "x"}, nil},
		{"direction", Filter{Direction: "Inbound"}, wantIDs(1, 2)},
		{"caller", Filter{Number: "+442079460000"}, wantIDs(1, 2)},
		{"called", Filter{Number: "+12065550101"}, wantIDs(0, 3)},
		{"reason", Filter{Reason: "no_route"}, wantIDs(1, 2)},
		{"since", Filter{Since: record(1).Start}, wantIDs(1, 3)},
		{"until", Filter{Until: record(1).Start}, wantIDs(0, 1)},
	}
	for _, tt := range tests {
		if got := ids(t, l, tt.filter); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	if _, err := l.List(Filter{}, 1, "../1"); err == nil {
		t.Error("a cursor that is no number was accepted")
	}
	if _, ok, err := l.Show("no such call"); ok || err != nil {
		t.Errorf("Show of no id = %v, %v", ok, err)
	}
	if _, ok, err := l.Show(record(77).ID); ok || err != nil {
		t.Errorf("Show of an unknown id = %v, %v", ok, err)
	}
}

func TestCursorStaysGoodWhileRecordsCome(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	appendRecords(t, l, 0, 4)
	first, err := l.List(Filter{}, 2, "")
	if err != nil {
		t.Fatal(err)
	}
	appendRecords(t, l, 4, 6)
	second, err := l.List(Filter{}, 2, first.Next)
	if err != nil {
		t.Fatal(err)
	}
	got := []call.ID{second.Records[0].ID, second.Records[1].ID}
	if want := wantIDs(0, 2); !slices.Equal(got, want) || second.Next != "" {
		t.Errorf("second page = %v, next %q; want %v", got, second.Next, want)
	}
}

// TestTornTail cuts the file at every octet of the last frame's head and at many behind it, and leaves zeros there, as file systems do.
func TestTornTail(t *testing.T) {
	whole := segmentOf(t, 3)
	lastFrame := frameStarts(whole)[2]
	for size := lastFrame; size < len(whole); size += 1 + (size-lastFrame)/frameSize*11 {
		for _, zeros := range []int{0, 5000} {
			content := append(slices.Clone(whole[:size]), make([]byte, zeros)...)
			l := open(t, Config{Dir: dirWith(t, content)})
			if got, want := ids(t, l, Filter{}), wantIDs(0, 2); !slices.Equal(got, want) {
				t.Fatalf("cut at %d: got %v, want %v", size, got, want)
			}
			wantTorn := uint64(1)
			if size == lastFrame && zeros == 0 {
				wantTorn = 0
			}
			if s := l.Stats(); s.Torn != wantTorn || s.Damaged != 0 {
				t.Fatalf("cut at %d: stats = %+v", size, s)
			}
			appendRecords(t, l, 2, 4)
			l.Close()
			l = open(t, l.cfg)
			if got, want := ids(t, l, Filter{}), wantIDs(0, 4); !slices.Equal(got, want) || l.Stats().Torn != 0 {
				t.Fatalf("cut at %d, opened again: got %v, want %v", size, got, want)
			}
			l.Close()
		}
	}
}

// TestDamageHidesOneRecordOnly flips every octet of the middle record: those around it must be found, and the
// damaged one never shown with other content.
func TestDamageHidesOneRecordOnly(t *testing.T) {
	whole := segmentOf(t, 3)
	starts := frameStarts(whole)
	for at := starts[1]; at < starts[2]; at++ {
		content := slices.Clone(whole)
		content[at] ^= 0x41
		found, err := scan(content)
		if err != nil || len(found.frames) != 2 || found.holes != 1 || found.end != int64(len(content)) {
			t.Fatalf("octet %d: %d frames, %d holes, end %d, %v", at, len(found.frames), found.holes, found.end, err)
		}
	}
	content := slices.Clone(whole)
	content[starts[1]+100] ^= 1
	l := open(t, Config{Dir: dirWith(t, content)})
	want := []call.ID{record(2).ID, record(0).ID}
	if got := ids(t, l, Filter{}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	appendRecords(t, l, 3, 4)
	if s := l.Stats(); s.Damaged != 1 || s.Segments != 2 {
		t.Errorf("stats = %+v, want a new segment behind the damaged one", s)
	}
}

func TestUnfinishedHead(t *testing.T) {
	for size := range headSize {
		dir := dirWith(t, segmentOf(t, 2))
		if err := os.WriteFile(filepath.Join(dir, segmentName(2)), appendHead(nil, 3)[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, Config{Dir: dir})
		appendRecords(t, l, 2, 3)
		if got, want := ids(t, l, Filter{}), wantIDs(0, 3); !slices.Equal(got, want) {
			t.Fatalf("head of %d octets: got %v, want %v", size, got, want)
		}
		l.Close()
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Dir: dir})
	if _, err := Open(Config{Dir: dir}); err == nil {
		t.Error("a second log was opened on the same folder")
	}
}

func TestClosed(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	l.Close()
	if err := l.Append(record(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	l.Close()
}

// segmentOf returns the content of a segment with n records.
func segmentOf(t *testing.T, n int) []byte {
	t.Helper()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	appendRecords(t, l, 0, n)
	l.Close()
	content, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func frameStarts(content []byte) []int {
	var starts []int
	for at := headSize; at < len(content); at += frameSize + int(binary.LittleEndian.Uint32(content[at:])) {
		starts = append(starts, at)
	}
	return starts
}

func dirWith(t *testing.T, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// FuzzScan looks for content that makes scanning fail or find a record that is not there.
func FuzzScan(f *testing.F) {
	r := record(0)
	req, err := newRequest(&r)
	if err != nil {
		f.Fatal(err)
	}
	whole := appendFrame(appendHead(nil, 1), 1, req.id, req.payload)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(slices.Clone(whole), whole[headSize:]...))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, content []byte) {
		found, err := scan(content)
		if err != nil {
			return
		}
		serial, end := uint64(0), int64(headSize)
		for _, fr := range found.frames {
			if fr.offset < end || fr.serial < serial {
				t.Fatalf("frame %+v overlaps or goes back", fr)
			}
			serial, end = fr.serial+1, fr.offset+int64(frameSize+fr.length)
		}
		if end != found.end || end > int64(len(content)) {
			t.Fatalf("end %d, found %d of %d", end, found.end, len(content))
		}
	})
}
