package rtp

// Static payload types of RFC 3551 section 6.
const (
	PayloadPCMU = 0
	PayloadPCMA = 8
	PayloadG722 = 9
	PayloadG729 = 18
)

// MuLaw encodes one 16-bit linear sample as G.711 mu-law.
func MuLaw(sample int16) byte {
	const bias, clip = 0x84, 32635
	v, sign := int32(sample), byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v, clip) + bias
	exp := byte(7)
	for mask := int32(0x4000); v&mask == 0; mask >>= 1 {
		exp--
	}
	return ^(sign | exp<<4 | byte(v>>(exp+3))&0x0f)
}

// LinearMu decodes one mu-law byte.
func LinearMu(b byte) int16 {
	b = ^b
	v := (int32(b&0x0f)<<3 + 0x84) << (b >> 4 & 7)
	v -= 0x84
	if b&0x80 != 0 {
		return int16(-v)
	}
	return int16(v)
}

// ALaw encodes one 16-bit linear sample as G.711 A-law.
func ALaw(sample int16) byte {
	v, mask := int32(sample)>>3, byte(0xd5)
	if v < 0 {
		v, mask = ^v, 0x55
	}
	exp := byte(0)
	for limit := int32(0x1f); v > limit && exp < 7; limit = limit<<1 | 1 {
		exp++
	}
	if exp < 2 {
		return (exp<<4 | byte(v>>1)&0x0f) ^ mask
	}
	return (exp<<4 | byte(v>>exp)&0x0f) ^ mask
}

// LinearA decodes one A-law byte.
func LinearA(b byte) int16 {
	b ^= 0x55
	v := int32(b&0x0f) << 4
	switch exp := b >> 4 & 7; exp {
	case 0:
		v += 8
	default:
		v = (v + 0x108) << (exp - 1)
	}
	if b&0x80 != 0 {
		return int16(v)
	}
	return int16(-v)
}

// Tables of MuToA and AToMu.
var (
	muToA = between(0xff, 0xd5, []run{{0, 0, 1, 2}, {16, 8, 1, 1}, {32, 24, 2, 1}, {36, 32, 1, 1}, {48, 45, 2, 1}, {49, 47, 1, 1}, {64, 63, 1, 1}, {81, 81, 1, 1}})
	aToMu = between(0xd5, 0xff, []run{{0, 1, 2, 1}, {8, 16, 1, 1}, {24, 32, 1, 2}, {32, 36, 1, 1}, {44, 48, 1, 2}, {48, 50, 1, 1}, {63, 64, 1, 1}, {80, 80, 1, 1}})
)

// run is a part of a table of ITU-T G.711: from value number from on the other law's values go up from to, by rise each
// few values. Value numbers count a law's samples from zero outwards, those of the A-law one less than in the tables.
type run struct{ from, to, rise, each byte }

// between makes the octets of tables 3 and 4 of ITU-T G.711. They are not those of the nearest samples: the sign of zero is
// kept, and from 81 on equal numbers go together though the ones before are a little nearer. zero and other are the octets of the
// value number 0 above zero.
func between(zero, other byte, runs []run) *[256]byte {
	var table [256]byte
	at := 0
	for n := range byte(128) {
		if at+1 < len(runs) && n == runs[at+1].from {
			at++
		}
		r := runs[at]
		v := r.to + (n-r.from)/r.each*r.rise
		table[zero^n], table[zero^0x80^n] = other^v, other^0x80^v
	}
	return &table
}

// MuToA returns the A-law octet for each mu-law octet (ITU-T G.711 table 3). The table is read-only.
func MuToA() *[256]byte { return muToA }

// AToMu returns the mu-law octet for each A-law octet (ITU-T G.711 table 4). The table is read-only.
func AToMu() *[256]byte { return aToMu }
