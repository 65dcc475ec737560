package server

import "testing"

// TestShareFiles: what is shared out is never more than there is, and all that is wanted where there is enough.
func TestShareFiles(t *testing.T) {
	want := files{accepted: 10_000, dialed: 2000, api: 4096, media: 10_000}
	all := want.connections() + want.media
	for most, wanted := range map[int]files{
		all:     want,
		all + 1: want,
		20_000:  {accepted: 6212, dialed: 1242, api: 2544, media: 10_000},
		1000:    {accepted: 155, dialed: 31, api: 63, media: 750},
	} {
		if got := share(most, want); got != wanted {
			t.Errorf("of %d: %+v, want %+v", most, got, wanted)
		}
	}
	for most := 4; most < all; most += 97 {
		got := share(most, want)
		if sum := got.connections() + got.media; sum > max(most, 4) && most > 100 || got.accepted < 1 || got.dialed < 1 || got.api < 1 || got.media < 1 {
			t.Fatalf("of %d: %+v, together %d", most, got, sum)
		}
	}
	// A side that wants little leaves the rest to the other.
	few := files{accepted: 100, dialed: 10, api: 40, media: 10_000}
	if got := share(5000, few); got != (files{accepted: 100, dialed: 10, api: 40, media: 4850}) {
		t.Errorf("with few connections: %+v", got)
	}
	few = files{accepted: 10_000, dialed: 2000, api: 4096, media: 100}
	if got := share(5000, few); got.media != 100 || got.connections() > 4900 || got.connections() < 4890 {
		t.Errorf("with few ports: %+v", got)
	}
}
