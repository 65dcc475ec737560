package rtp

import (
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

func FuzzReports(f *testing.F) {
	f.Add(AppendCNAME(AppendSR(nil, 1, SenderInfo{}, ReportBlock{SSRC: 2}), 1, "x"))
	f.Add([]byte{0x9f, 201, 0, 1, 0, 0, 0, 1})
	f.Add([]byte{0x81, 200, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		sound := CheckRTCP(b) == nil
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
