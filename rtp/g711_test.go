package rtp

import "testing"

// Tables 3 and 4 of ITU-T G.711: which value of one law becomes which of the other, above and below zero alike. Values of
// the mu-law are counted from 0, those of the A-law from 1.
var (
	table3 = [128]byte{
		1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8,
		9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
		25, 27, 29, 31, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44,
		46, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
		64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79,
		80, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96,
		97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112,
		113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128,
	}
	table4 = [128]byte{
		1, 3, 5, 7, 9, 11, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23,
		24, 25, 26, 27, 28, 29, 30, 31, 32, 32, 33, 33, 34, 34, 35, 35,
		36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 48, 49, 49,
		50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 64,
		65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80,
		80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95,
		96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
		112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127,
	}
)

func TestLawsAreConverted(t *testing.T) {
	for n := range byte(128) {
		for _, sign := range []byte{0, 0x80} {
			mu, a := 0xff^sign^n, 0xd5^sign^n
			if got, want := MuToA()[mu], 0xd5^sign^(table3[n]-1); got != want {
				t.Errorf("mu-law %#02x becomes %#02x; want %#02x", mu, got, want)
			}
			if got, want := AToMu()[a], 0xff^sign^table4[n]; got != want {
				t.Errorf("A-law %#02x becomes %#02x; want %#02x", a, got, want)
			}
		}
	}
}

// Whatever the tables are, what is heard stays the same: the sign, silence, and each sample to half a step of the coarser law.
func TestConversionKeepsTheSound(t *testing.T) {
	distance := func(a, b int16) int { return max(int(a)-int(b), int(b)-int(a)) }
	changed := 0
	for i := range 256 {
		b := byte(i)
		for name, x := range map[string]struct{ from, to int16 }{
			"mu to A": {LinearMu(b), LinearA(MuToA()[b])}, "A to mu": {LinearA(b), LinearMu(AToMu()[b])},
		} {
			if d := distance(x.from, x.to); d > 8+int(max(x.from, -x.from))/30 {
				t.Errorf("%s: %#02x: %d becomes %d", name, b, x.from, x.to)
			}
		}
		if MuToA()[b]&0x80 != b&0x80 || AToMu()[b]&0x80 != b&0x80 {
			t.Errorf("%#02x changes its sign", b)
		}
		if AToMu()[MuToA()[b]] != b {
			changed++
		}
	}
	// There and back 8 of the 128 values of each sign change, all of them among the 16 quietest: 0 to 14 become odd.
	if changed != 16 {
		t.Errorf("%d of 256 octets are changed there and back; want 16", changed)
	}
	for _, silence := range []struct{ mu, a byte }{{0xff, 0xd5}, {0x7f, 0x55}} {
		if got := MuToA()[silence.mu]; got != silence.a {
			t.Errorf("silence %#02x becomes %#02x; want %#02x", silence.mu, got, silence.a)
		}
		if got := LinearMu(AToMu()[silence.a]); got > 8 || got < -8 {
			t.Errorf("silence %#02x becomes %d", silence.a, got)
		}
	}
}
