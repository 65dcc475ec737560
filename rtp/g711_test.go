package rtp

import "testing"

// Between the laws each octet becomes the one whose sample is nearest, as the tables of ITU-T G.711 have it, and silence
// stays silence.
func TestLawsAreConverted(t *testing.T) {
	for name, x := range map[string]struct {
		table    *[256]byte
		from, to func(byte) int16
		zero, as byte
	}{
		"mu to A": {MuToA(), LinearMu, LinearA, 0xff, 0xd5},
		"A to mu": {AToMu(), LinearA, LinearMu, 0xd5, 0xfe},
	} {
		distance := func(a, b int16) int { return max(int(a)-int(b), int(b)-int(a)) }
		for i := range 256 {
			want, got := 1<<16, distance(x.from(byte(i)), x.to(x.table[i]))
			for j := range 256 {
				want = min(want, distance(x.from(byte(i)), x.to(byte(j))))
			}
			if got != want {
				t.Errorf("%s: %#x (%d) becomes %#x (%d), %d away; the nearest is %d away", name, i, x.from(byte(i)), x.table[i], x.to(x.table[i]), got, want)
			}
		}
		if got := x.table[x.zero]; got != x.as {
			t.Errorf("%s: silence becomes %#x; want %#x", name, got, x.as)
		}
	}
}
