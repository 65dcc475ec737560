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
	muToA = convert(LinearMu, ALaw, LinearA)
	aToMu = convert(LinearA, MuLaw, LinearMu)
)

// convert finds for each octet of one law the octet of the other whose sample is nearest. Encoding the sample finds it,
// except where the sample lies just beyond a step that is twice as high as the one before.
func convert(decode func(byte) int16, encode func(int16) byte, back func(byte) int16) *[256]byte {
	const step = 132 // the lower one, where the laws' steps do not fall together
	var table [256]byte
	for i := range table {
		v, nearest := int(decode(byte(i))), 1<<16
		for _, near := range [3]int{v, v - step, v + step} {
			code := encode(int16(min(max(near, -1<<15), 1<<15-1)))
			if d := max(v-int(back(code)), int(back(code))-v); d < nearest {
				table[i], nearest = code, d
			}
		}
	}
	return &table
}

// MuToA returns the A-law octet for each mu-law octet. The table is read-only.
func MuToA() *[256]byte { return muToA }

// AToMu returns the mu-law octet for each A-law octet. The table is read-only.
func AToMu() *[256]byte { return aToMu }
