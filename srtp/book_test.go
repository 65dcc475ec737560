package srtp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"carillon/rtp"
)

// book protects packets as the RFCs spell it out, with nothing but the standard library. It is slow, and the only other
// implementation of AES-192 (RFC 6188) that the tests have: pion has none.
type book struct {
	key, salt []byte
	row       bookRow
}

// bookRow has the lengths of a suite in octets: keys, salts, and the tags of SRTP and SRTCP.
type bookRow struct {
	key, salt, tag, rtcp int
	aead                 bool
}

// bookRows are from RFC 4568 section 6.2, RFC 6188 section 4 and RFC 7714 sections 12 and 13.
var bookRows = map[string]bookRow{
	"AES_CM_128_HMAC_SHA1_80": {16, 14, 10, 10, false},
	"AES_CM_128_HMAC_SHA1_32": {16, 14, 4, 10, false},
	"AES_192_CM_HMAC_SHA1_80": {24, 14, 10, 10, false},
	"AES_192_CM_HMAC_SHA1_32": {24, 14, 4, 10, false},
	"AES_256_CM_HMAC_SHA1_80": {32, 14, 10, 10, false},
	"AES_256_CM_HMAC_SHA1_32": {32, 14, 4, 10, false},
	"AEAD_AES_128_GCM":        {16, 12, 16, 16, true},
	"AEAD_AES_256_GCM":        {32, 12, 16, 16, true},
}

func newBook(t *testing.T, k Key) book {
	t.Helper()
	row, ok := bookRows[k.String()]
	secret := k.Secret()
	if !ok || len(secret) != row.key+row.salt || k.Overhead() != row.tag {
		t.Fatalf("%v has %d octets of key and salt and %d of tag; want %+v", k, len(secret), k.Overhead(), row)
	}
	return book{secret[:row.key], secret[row.key:], row}
}

// counterStream applies AES in counter mode.
func counterStream(t *testing.T, key []byte, iv [16]byte, b []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(b))
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, b)
	return out
}

// derived is RFC 3711 section 4.3.1 with a key derivation rate of 0.
func (k book) derived(t *testing.T, label byte, size int) []byte {
	t.Helper()
	var iv [16]byte
	copy(iv[:14], k.salt)
	iv[7] ^= label
	return counterStream(t, k.key, iv, make([]byte, size))
}

// sealed encrypts what follows the header. first is the label of the cipher's key: 0 for RTP, 3 for RTCP. behind is what
// is authenticated besides.
func (k book) sealed(t *testing.T, first byte, packet []byte, header int, ssrc uint32, index uint64, behind []byte, tag int) []byte {
	t.Helper()
	key := k.derived(t, first, k.row.key)
	salt := k.derived(t, first+2, k.row.salt)
	if k.row.aead {
		return k.sealedGCM(t, key, salt, packet, header, ssrc, index, behind)
	}
	var iv [16]byte // RFC 3711 section 4.1.1
	copy(iv[:14], salt)
	for i, b := range binary.BigEndian.AppendUint32(nil, ssrc) {
		iv[4+i] ^= b
	}
	for i, b := range binary.BigEndian.AppendUint64(nil, index<<16) {
		iv[8+i] ^= b
	}
	out := append(bytes.Clone(packet[:header]), counterStream(t, key, iv, packet[header:])...)
	sum := hmac.New(sha1.New, k.derived(t, first+1, 20))
	sum.Write(out)
	sum.Write(behind)
	if first == 3 {
		out = append(out, behind...)
	}
	return append(out, sum.Sum(nil)[:tag]...)
}

func (k book) sealedGCM(t *testing.T, key, salt, packet []byte, header int, ssrc uint32, index uint64, word []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, 4, 12) // RFC 7714 section 8.1: two zeros, the SSRC, the index of 48 bits
	binary.BigEndian.PutUint16(iv[2:], uint16(ssrc>>16))
	iv = binary.BigEndian.AppendUint64(iv, uint64(ssrc)<<48|index)
	for i := range iv {
		iv[i] ^= salt[i]
	}
	out := gcm.Seal(bytes.Clone(packet[:header]), iv, packet[header:], append(bytes.Clone(packet[:header]), word...))
	return append(out, word...)
}

func (k book) rtp(t *testing.T, packet []byte, roc uint32) []byte {
	t.Helper()
	h, err := rtp.Parse(packet)
	if err != nil {
		t.Fatal(err)
	}
	var behind []byte
	if !k.row.aead {
		behind = binary.BigEndian.AppendUint32(nil, roc)
	}
	return k.sealed(t, 0, packet, h.Size, h.SSRC, uint64(roc)<<16|uint64(h.Sequence), behind, k.row.tag)
}

func (k book) rtcp(t *testing.T, packet []byte, index uint32) []byte {
	t.Helper()
	word := binary.BigEndian.AppendUint32(nil, index|1<<31)
	return k.sealed(t, 3, packet, 8, binary.BigEndian.Uint32(packet[4:]), uint64(index), word, k.row.rtcp)
}

// Every suite, those of 192 bits too, makes byte for byte what the RFCs say, over rollovers of two streams; SRTCP has its
// E bit set, an index that counts each stream by one, and a tag of 80 bits even with _32.
func TestEqualToTheBook(t *testing.T) {
	r := rand.New(random())
	for _, suite := range Suites() {
		k := key(t, suite)
		by := newBook(t, k)
		send, receive := pair(t, k, nil)
		seqs, rocs := map[uint32]uint16{7: 1, 0xfeedbeef: 3}, map[uint32]uint32{}
		for i := range 600 {
			ssrc := []uint32{7, 0xfeedbeef}[r.IntN(2)]
			step := uint16(1 + r.IntN(2)*r.IntN(30000))
			if seqs[ssrc]+step < seqs[ssrc] {
				rocs[ssrc]++
			}
			seqs[ssrc] += step
			plain := randomRTP(r, ssrc, seqs[ssrc])
			want := by.rtp(t, plain, rocs[ssrc])
			got, err := send.Protect(make([]byte, 0, len(plain)+Overhead), plain)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v packet %d: %x, %v; want %x", suite, i, got, err, want)
			}
			if clear, err := receive.Unprotect(make([]byte, 0, len(want)), want); err != nil || !bytes.Equal(clear, plain) {
				t.Fatalf("%v packet %d opens as %x, %v; want %x", suite, i, clear, err, plain)
			}
		}
		if rocs[7] < 10 {
			t.Errorf("%v: %d rollovers; the test wants 10", suite, rocs[7])
		}
		// All 32 bits of the counter count.
		const roc = 0x87654321
		for _, x := range []*streams{&send.streams, &receive.streams} {
			x.find(7).rtp.top = roc<<16 | 5
		}
		plain := packet(7, 6, "a stream of 136 years")
		want := by.rtp(t, plain, roc)
		if got, err := send.Protect(make([]byte, 0, 512), plain); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v, counter %#x: %x, %v; want %x", suite, uint32(roc), got, err, want)
		}
		if clear, err := receive.Unprotect(make([]byte, 0, 512), want); err != nil || !bytes.Equal(clear, plain) {
			t.Errorf("%v, counter %#x: opens as %x, %v", suite, uint32(roc), clear, err)
		}
		indices := map[uint32]uint32{}
		for range 100 {
			ssrc := 1 + r.Uint32N(3)
			indices[ssrc]++
			plain := rtp.AppendCNAME(rtp.AppendRR(nil, ssrc, rtp.ReportBlock{SSRC: 7, Jitter: r.Uint32()}), ssrc, "a name")
			want := by.rtcp(t, plain, indices[ssrc])
			got, err := send.ProtectRTCP(make([]byte, 0, len(plain)+Overhead), plain)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v RTCP %d of %d: %x, %v; want %x", suite, indices[ssrc], ssrc, got, err, want)
			}
			if clear, err := receive.UnprotectRTCP(make([]byte, 0, len(want)), want); err != nil || !bytes.Equal(clear, plain) {
				t.Fatalf("%v RTCP opens as %x, %v; want %x", suite, clear, err, plain)
			}
		}
	}
}

// SRTCP has a window of its own for each stream: late reports are taken once, those that came before and those behind the
// window never, whatever RTP under the same key has seen.
func TestRTCPWindow(t *testing.T) {
	for _, suite := range Suites() {
		k := key(t, suite)
		by := newBook(t, k)
		send, receive := pair(t, k, nil)
		if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, 5000)); err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			ssrc, index uint32
			want        error
		}{
			{1, 300, nil}, {1, 300, ErrReplay}, {2, 300, nil}, {1, 299, nil}, {1, 299, ErrReplay},
			{1, 300 - WindowSize + 1, nil}, {1, 300 - WindowSize, ErrReplay}, {1, 1 << 30, nil}, {1, 301, ErrReplay}, {2, 301, nil},
			{1, maxRTCPIndex, nil}, {1, 0, ErrReplay}, {3, 0, nil}, {3, 0, ErrReplay},
		} {
			b := by.rtcp(t, rtp.AppendRR(nil, step.ssrc), step.index)
			if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), b); !errors.Is(err, step.want) {
				t.Errorf("%v, step %d: report %d of %d: %v; want %v", suite, i, step.index, step.ssrc, err, step.want)
			}
		}
	}
}
