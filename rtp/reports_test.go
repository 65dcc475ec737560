package rtp

import (
	"bytes"
	"testing"
	"time"
)

func TestReportsReadBack(t *testing.T) {
	info := SenderInfo{NTP: NTPTime(time.Unix(1000, 5e8)), RTP: 77, Packets: 5, Octets: 800}
	blocks := []ReportBlock{
		{SSRC: 1, Fraction: 3, Lost: -5, Highest: 1<<16 | 9, Jitter: 40, LastSR: 0xdeadbeef, Delay: 1 << 16},
		{SSRC: 2, Fraction: 255, Lost: 1<<23 - 1},
	}
	b := AppendBYE(AppendCNAME(AppendRR(AppendSR(nil, 9, info, blocks...), 8, blocks[1]), 9, "x"), 9)
	if err := CheckRTCP(b); err != nil {
		t.Fatal(err)
	}
	var reports []Report
	packets := 0
	for rest := b; len(rest) > 0; packets++ {
		var first []byte
		first, rest = NextRTCP(rest)
		if r, ok := ParseReport(first); ok {
			reports = append(reports, r)
		}
	}
	if packets != 4 || len(reports) != 2 {
		t.Fatalf("%d packets, %d reports; want 4 and 2", packets, len(reports))
	}
	if r := reports[0]; !r.Sender || r.SSRC != 9 || r.Info != info || r.Len() != 2 || r.Block(0) != blocks[0] || r.Block(1) != blocks[1] {
		t.Errorf("sender's report reads back as %+v", r)
	}
	if r := reports[1]; r.Sender || r.SSRC != 8 || r.Len() != 1 || r.Block(0) != blocks[1] {
		t.Errorf("receiver's report reads back as %+v", r)
	}
	for _, d := range []time.Duration{0, 15 * time.Microsecond, 1500 * time.Millisecond, 18 * time.Hour} {
		if got := DelayOf(ReportDelay(d)); got > d || d-got > time.Second>>15 {
			t.Errorf("%v became %v", d, got)
		}
	}
}

func TestEvents(t *testing.T) {
	for i, key := range []byte("0123456789*#ABCD") {
		code, ok := EventOf(key)
		e := Event{Code: code, End: i%2 == 0, Volume: 10, Duration: 800}
		got, read := ParseEvent(e.Append(nil))
		back, is := got.Key()
		if !ok || !read || !is || int(code) != i || got != e || back != key {
			t.Errorf("key %c: code %d, read back as %+v and %c", key, code, got, back)
		}
	}
	if _, ok := EventOf('x'); ok {
		t.Error("x is a key")
	}
	if _, ok := (Event{Code: 16}).Key(); ok {
		t.Error("event 16 (flash) is a key")
	}
	if _, ok := ParseEvent([]byte{1, 2, 3}); ok {
		t.Error("three octets are an event")
	}
}

// The names of users and hosts are replaced, and nothing else: what is left has the same form and the same reports.
func TestHideNames(t *testing.T) {
	report := AppendRR(nil, 7, ReportBlock{SSRC: 8, Lost: 3})
	b := AppendCNAME(report, 7, "alice@10.0.0.5")
	// A second compound packet with several chunks and items, one of them private, and a farewell with a reason.
	b = append(b, 0x82, TypeSDES, 0, 10,
		0, 0, 0, 7, 1, 3, 'b', 'o', 'b', 2, 5, 'c', 'a', 'r', 'o', 'l', 0, 0, 0, 0,
		0, 0, 0, 9, 8, 6, 3, 'k', 'e', 'y', 'v', '1', 1, 3, 'e', 'v', 'e', 0, 0, 0)
	b = append(b, 0x81, TypeBYE, 0, 3, 0, 0, 0, 7, 6, 'r', 'e', 'b', 'o', 'o', 't', 0)
	if err := CheckRTCP(b); err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b)
	HideNames(b, "xyz")
	if err := CheckRTCP(b); err != nil || len(b) != len(before) || !bytes.Equal(b[:len(report)], report) {
		t.Errorf("%x became %x: %v", before, b, err)
	}
	for _, name := range []string{"alice", "10.0.0.5", "bob", "carol", "key", "v1", "eve", "reboot"} {
		if bytes.Contains(b, []byte(name)) {
			t.Errorf("%q is left in %q", name, b)
		}
	}
	if want := AppendCNAME(nil, 7, "xyzxyzxyzxyzxy"); !bytes.Equal(b[len(report):len(report)+len(want)], want) {
		t.Errorf("the name became %q; want %q", b[len(report):len(report)+len(want)], want)
	}
	if got := b[len(b)-29:]; !bytes.Contains(b, []byte("\x00\x00\x00\x09\x08\x06\x03xyzxy\x01\x03xyz\x00")) {
		t.Errorf("the private item became %q", got)
	}
}

func FuzzReports(f *testing.F) {
	f.Add(AppendCNAME(AppendSR(nil, 1, SenderInfo{}, ReportBlock{SSRC: 2}), 1, "x"))
	f.Add([]byte{0x9f, 201, 0, 1, 0, 0, 0, 1})
	f.Add([]byte{0x81, 200, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		sound := CheckRTCP(b) == nil
		hidden := bytes.Clone(b)
		HideNames(hidden, "hidden")
		if sound && CheckRTCP(hidden) != nil {
			t.Fatalf("%x is %x without its names", b, hidden)
		}
		for len(b) > 0 {
			var first []byte
			before := len(b)
			if first, b = NextRTCP(b); len(first)+len(b) != before || len(first) == 0 {
				t.Fatalf("%d octets became %d and %d", before, len(first), len(b))
			}
			r, ok := ParseReport(first)
			if sound && !ok && (first[1] == TypeSR || first[1] == TypeRR) {
				t.Fatalf("a report that was accepted does not read: %x", first)
			}
			for i := range r.Len() {
				if again := AppendRR(nil, 0, r.Block(i)); len(again) != 32 {
					t.Fatalf("block of %d octets", len(again))
				}
			}
		}
	})
}
