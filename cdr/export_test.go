package cdr

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
)

func TestEncode(t *testing.T) {
	outbound := record(0)
	outbound.AuthUser = "pbx"
	outbound.Customer.SIPCallID = "123a<4b5>@203.0.113.9:8080"
	inbound := record(0)
	inbound.Direction = "Inbound"
	refused := record(0)
	refused.Answered, refused.Reason, refused.ToCountry, refused.Region = time.Time{}, "country_not_allowed", "", "eu-west-2"
	refused.Sentence = "Calls to this country are off."
	const head = `{"AwsAccountId":"111122223333","TransactionId":"00000000-5af5-9bcc-8000-f28d51278cfc","CallId":`
	for _, tt := range []struct {
		name string
		r    call.Record
		want string
	}{
		{"outbound", outbound, head + `"123a<4b5>@203.0.113.9:8080",` +
			`"VoiceConnectorId":"abcdef1ghij2klmno3pqr4","Status":"Completed","StatusMessage":"OK","SipAuthUser":"pbx",` +
			`"BillableDurationSeconds":6,"BillableDurationMinutes":0.1,"SchemaVersion":"2.0",` +
			`"SourcePhoneNumber":"+12065550100","SourceCountry":"US","DestinationPhoneNumber":"+12065550101","DestinationCountry":"US",` +
			`"UsageType":"USE1-US-US-outbound-minutes","ServiceCode":"AmazonChimeVoiceConnector","Direction":"Outbound",` +
			`"StartTimeEpochSeconds":1772600767,"EndTimeEpochSeconds":1772600772,"Region":"us-east-1","Streaming":false}`},
		{"inbound", inbound, head + `"call-0@192.0.2.1",` +
			`"VoiceConnectorId":"abcdef1ghij2klmno3pqr4","Status":"Completed","StatusMessage":"Normal Call Clearing",` +
			`"BillableDurationSeconds":6,"BillableDurationMinutes":0.1,"SchemaVersion":"2.0",` +
			`"SourcePhoneNumber":"+12065550100","SourceCountry":"US","DestinationPhoneNumber":"+12065550101","DestinationCountry":"US",` +
			`"UsageType":"USE1-US-inbound-minutes","ServiceCode":"AmazonChimeVoiceConnector","Direction":"Inbound",` +
			`"StartTimeEpochSeconds":1772600767,"EndTimeEpochSeconds":1772600772,"Region":"us-east-1","Streaming":false,"IsProxyCall":false}`},
		{"refused", refused, head + `"call-0@192.0.2.1",` +
			`"VoiceConnectorId":"abcdef1ghij2klmno3pqr4","Status":"Failed","StatusMessage":"Calls to this country are off.",` +
			`"BillableDurationSeconds":0,"BillableDurationMinutes":0,"SchemaVersion":"2.0",` +
			`"SourcePhoneNumber":"+12065550100","SourceCountry":"US","DestinationPhoneNumber":"+12065550101",` +
			`"UsageType":"EUW2-US-ZZ-outbound-minutes","ServiceCode":"AmazonChimeVoiceConnector","Direction":"Outbound",` +
			`"StartTimeEpochSeconds":1772600767,"EndTimeEpochSeconds":1772600772,"Region":"eu-west-2","Streaming":false}`},
	} {
		got, err := Encode(&tt.r)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

func TestBillableSeconds(t *testing.T) {
	for talked, want := range map[time.Duration]int64{
		-time.Hour: 0, 0: 0, time.Millisecond: 6, 4 * time.Second: 6, 6 * time.Second: 6,
		6*time.Second + 1: 12, time.Minute: 60, 61 * time.Second: 66,
	} {
		r := record(0)
		r.End = r.Answered.Add(talked)
		if got := billableSeconds(&r); got != want {
			t.Errorf("%v: got %d, want %d", talked, got, want)
		}
	}
}

func TestKey(t *testing.T) {
	r := record(0)
	r.Start = r.Start.In(time.FixedZone("", 5*3600))
	const want = "Amazon-Chime-Voice-Connector-CDRs/json/abcdef1ghij2klmno3pqr4/2026/03/04/05.06.07.089_00000000-5af5-9bcc-8000-f28d51278cfc"
	if got, ok := Key(&r); got != want || !ok {
		t.Errorf("got %q, %v, want %q", got, ok, want)
	}
	for _, change := range []func(*call.Record){
		func(r *call.Record) { r.ConnectorID = "" },
		func(r *call.Record) { r.ConnectorID = "../../../../../../aaaa" },
		func(r *call.Record) { r.ID = "../00000-5af5-9bcc-8000-f28d51278cfc" },
	} {
		r := record(0)
		change(&r)
		if got, ok := Key(&r); ok {
			t.Errorf("got the key %q for %q and %q", got, r.ConnectorID, r.ID)
		}
	}
}

// exported returns the files below dir by their slash-separated path; there must be nothing but finished records.
func exported(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !json.Valid(content) {
			t.Errorf("%s holds %q", rel, content)
		}
		files = append(files, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func wantKeys(from, to int) []string {
	var want []string
	for n := from; n < to; n++ {
		r := record(n)
		key, _ := Key(&r)
		want = append(want, key)
	}
	slices.Sort(want)
	return want
}

func newExporter(t *testing.T, l *Log, dir string) *Exporter {
	t.Helper()
	e, err := NewExporter(l, dir)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExport(t *testing.T) {
	cfg, out := Config{Dir: t.TempDir(), MaxSegmentBytes: 20_000}, t.TempDir()
	l := open(t, cfg)
	e := newExporter(t, l, out)
	const n = exportBatch + 10
	for i := range n {
		if err := l.Append(record(i)); err != nil {
			t.Fatal(err)
		}
	}
	stray := record(n)
	stray.ConnectorID = ""
	if err := l.Append(stray); err != nil {
		t.Fatal(err)
	}
	if err := e.Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := exported(t, out), wantKeys(0, n); !slices.Equal(got, want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	if s := e.Stats(); s != (ExportStats{Exported: n, Skipped: 1}) {
		t.Errorf("stats = %+v", s)
	}
	l.Close()

	// What was exported is not looked at again, also when its consumer has taken it away.
	if err := os.RemoveAll(filepath.Join(out, "Amazon-Chime-Voice-Connector-CDRs")); err != nil {
		t.Fatal(err)
	}
	l = open(t, cfg)
	e = newExporter(t, l, out)
	appendRecords(t, l, n+1, n+2)
	if err := e.Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := exported(t, out), wantKeys(n+1, n+2); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestExportBeforeCheckpoint is a crash after the files were written and before that was noted.
func TestExportBeforeCheckpoint(t *testing.T) {
	cfg, out := Config{Dir: t.TempDir()}, t.TempDir()
	l := open(t, cfg)
	appendRecords(t, l, 0, 5)
	if err := newExporter(t, l, out).Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.Remove(filepath.Join(cfg.Dir, checkpointName)); err != nil {
		t.Fatal(err)
	}
	before := modTimes(t, out)
	l = open(t, cfg)
	if err := newExporter(t, l, out).Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := exported(t, out), wantKeys(0, 5); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if after := modTimes(t, out); !slices.Equal(before, after) {
		t.Error("files that were there were written again")
	}
}

func modTimes(t *testing.T, dir string) []time.Time {
	t.Helper()
	var times []time.Time
	for _, f := range exported(t, dir) {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, info.ModTime())
	}
	return times
}

func TestCheckpointAheadOfAnEmptiedLog(t *testing.T) {
	cfg, out := Config{Dir: t.TempDir()}, t.TempDir()
	l := open(t, cfg)
	appendRecords(t, l, 0, 5)
	if err := newExporter(t, l, out).Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.Remove(filepath.Join(cfg.Dir, segmentName(1))); err != nil {
		t.Fatal(err)
	}
	l = open(t, cfg)
	appendRecords(t, l, 5, 6)
	if err := newExporter(t, l, out).Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := exported(t, out), wantKeys(0, 6); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestRunTriesAgain blocks the destination with a file, and takes it away.
func TestRunTriesAgain(t *testing.T) {
	fake, out := clocktest.New(), t.TempDir()
	l := open(t, Config{Dir: t.TempDir(), Clock: fake})
	e := newExporter(t, l, out)
	block := filepath.Join(out, "Amazon-Chime-Voice-Connector-CDRs")
	if err := os.WriteFile(block, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { e.Run(ctx); close(ended) }()
	appendRecords(t, l, 0, 1)
	wait(t, "a failure", func() bool { fake.Advance(ExportLinger); return e.Stats().Failures > 0 })
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	wait(t, "the export", func() bool { fake.Advance(MinExportRetry); return e.Stats().Exported == 1 })
	appendRecords(t, l, 1, 2)
	wait(t, "the next export", func() bool { fake.Advance(ExportLinger); return e.Stats().Exported == 2 })
	cancel()
	<-ended
	if got, want := exported(t, out), wantKeys(0, 2); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, f := range exported(t, out) {
		if strings.HasPrefix(f, ".") {
			t.Errorf("%s was left behind", f)
		}
	}
}

// TestManyAreMadeDurableTogether: above fewPaths the file system is synced once and the checkpoint moves as before.
func TestManyAreMadeDurableTogether(t *testing.T) {
	cfg, out := Config{Dir: t.TempDir()}, t.TempDir()
	l := open(t, cfg)
	const many = 40
	appendRecords(t, l, 0, many)
	if err := newExporter(t, l, out).Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := exported(t, out), wantKeys(0, many); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if next, err := readCheckpoint(filepath.Join(cfg.Dir, checkpointName)); err != nil || next != many+1 {
		t.Errorf("checkpoint is %d, %v; want %d", next, err, many+1)
	}
}

// TestFilesThatWereThere: what a crash left under a record's key is kept where it is the record, else replaced; also on
// a file system that cannot link a finished file.
func TestFilesThatWereThere(t *testing.T) {
	for name, link := range map[string]func(string, []byte) error{
		"linked": linkFile, "moved": func(string, []byte) error { return errNoLink },
	} {
		t.Run(name, func(t *testing.T) {
			l, out := open(t, Config{Dir: t.TempDir()}), t.TempDir()
			e := newExporter(t, l, out)
			e.link = link
			appendRecords(t, l, 0, 3)
			torn, whole := wantKeys(0, 2)[0], wantKeys(0, 2)[1]
			r := record(1)
			content, err := Encode(&r)
			if err != nil {
				t.Fatal(err)
			}
			for key, content := range map[string][]byte{torn: content[:7], whole: content} {
				path := filepath.Join(out, key)
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, content, 0o400); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Export(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := exported(t, out), wantKeys(0, 3); !slices.Equal(got, want) { // and all valid
				t.Errorf("got %v, want %v", got, want)
			}
			if info, err := os.Stat(filepath.Join(out, whole)); err != nil || info.Mode().Perm() != 0o400 {
				t.Errorf("the file that was whole is %v, %v; want it left alone", info.Mode(), err)
			}
			if left, err := os.ReadDir(e.scratch); err != nil || len(left) > 0 {
				t.Errorf("%v, %v are left in the scratch folder", left, err)
			}
		})
	}
}

// TestExporterReadsNothingBack: what was just written is still in memory, up to MaxRecent records.
func TestExporterReadsNothingBack(t *testing.T) {
	l, out := open(t, Config{Dir: t.TempDir(), SyncInterval: time.Millisecond}), t.TempDir()
	appendRecords(t, l, 0, 1)
	if s := l.Stats(); s.Recent != 0 {
		t.Errorf("%d records in memory without an exporter; want 0", s.Recent)
	}
	e := newExporter(t, l, out)
	const more = 9
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for n := 1 + g; n <= MaxRecent+more; n += 64 {
				appendRecords(t, l, n, n+1)
			}
		})
	}
	wg.Wait()
	if s := l.Stats(); s.Recent != MaxRecent {
		t.Errorf("%d records in memory; want %d", s.Recent, MaxRecent)
	}
	if err := e.Export(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Recent != 0 || s.ReadBack != 1+more {
		t.Errorf("%d records in memory and %d read back; want 0 and %d", s.Recent, s.ReadBack, 1+more)
	}
	if got, want := exported(t, out), wantKeys(0, MaxRecent+more+1); !slices.Equal(got, want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}

// TestRunEndsWithWhatIsThere: calls that end while the node stops are exported by it and not by the next one.
func TestRunEndsWithWhatIsThere(t *testing.T) {
	out := t.TempDir()
	l := open(t, Config{Dir: t.TempDir()})
	e := newExporter(t, l, out)
	appendRecords(t, l, 0, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.Run(ctx)
	if got, want := exported(t, out), wantKeys(0, 3); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}
