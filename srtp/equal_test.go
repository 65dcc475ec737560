package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	pion "github.com/pion/srtp/v3"

	"carillon/rtp"
)

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// randomRTP makes a packet with contributing sources, header extension, padding and payload by chance, some
// longer than what the fast way takes.
func randomRTP(r *rand.Rand, ssrc uint32, seq uint16) []byte {
	sources, extension := r.IntN(16)*r.IntN(2), -1
	size := rtp.HeaderSize + 4*sources
	if r.IntN(3) == 0 {
		extension = r.IntN(20)
		size += 4 + 4*extension
	}
	b := make([]byte, size+r.IntN(420))
	fill(r, b)
	b[0] = 0x80 | byte(sources)
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	if extension >= 0 {
		at := rtp.HeaderSize + 4*sources
		b[0] |= 0x10
		binary.BigEndian.PutUint16(b[at:], 0x1234) // neither form of RFC 8285, whose contents pion would judge
		binary.BigEndian.PutUint16(b[at+2:], uint16(extension))
	}
	if body := len(b) - size; body > 0 && r.IntN(4) == 0 {
		b[0] |= 0x20
		b[len(b)-1] = byte(1 + r.IntN(min(body, 255)))
	}
	return b
}

// Every suite that pion has gives byte for byte what pion gives, over two streams and several rollovers, and
// each opens what the other has made.
func TestEqualToPion(t *testing.T) {
	r := rand.New(random())
	for suite := range pionProfiles {
		k, err := NewKey(suite, random())
		if err != nil {
			t.Fatal(err)
		}
		send, receive := pair(t, k, nil)
		theirSend, theirReceive := pionContext(t, k, nil), pionContext(t, k, nil)
		seqs, rocs := map[uint32]uint16{7: 65000, 0xfeedbeef: 3}, map[uint32]uint64{}
		for i := range 3000 {
			ssrc := []uint32{7, 0xfeedbeef}[r.IntN(2)]
			step := uint16(1 + r.IntN(2)*r.IntN(2)*r.IntN(30000))
			if seqs[ssrc]+step < seqs[ssrc] {
				rocs[ssrc]++
			}
			seqs[ssrc] += step
			plain := randomRTP(r, ssrc, seqs[ssrc])
			want, err := theirSend.EncryptRTP(nil, plain, nil)
			if err != nil {
				t.Fatalf("%v packet %d: pion: %v", suite, i, err)
			}
			got, err := send.Protect(make([]byte, 0, len(plain)+Overhead), plain)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v packet %d: %x, %v; pion makes %x of %x", suite, i, got, err, want, plain)
			}
			if index, _ := send.Index(ssrc); index != rocs[ssrc]<<16|uint64(seqs[ssrc]) {
				t.Fatalf("%v packet %d: index %#x; want %#x %#x", suite, i, index, rocs[ssrc], seqs[ssrc])
			}
			if clear, err := receive.Unprotect(got[:0:len(got)], bytes.Clone(got)); err != nil || !bytes.Equal(clear, plain) {
				t.Fatalf("%v packet %d: %x, %v; want %x", suite, i, clear, err, plain)
			}
			if clear, err := theirReceive.DecryptRTP(nil, want, nil); err != nil || !bytes.Equal(clear, plain) {
				t.Fatalf("%v packet %d: pion reads %x, %v; want %x", suite, i, clear, err, plain)
			}
		}
		for ssrc, roc := range rocs {
			if roc < 10 {
				t.Errorf("%v: stream %d rolled over %d times; the test wants 10", suite, ssrc, roc)
			}
		}
		equalRTCP(t, r, suite, k)
	}
}

func equalRTCP(t *testing.T, r *rand.Rand, suite Suite, k Key) {
	t.Helper()
	send, receive := pair(t, k, nil)
	theirs := pionContext(t, k, nil)
	for i := range uint32(1500) {
		b := make([]byte, 8+4*r.IntN(120))
		fill(r, b)
		ssrc := 1 + i%3
		b[0], b[1] = 0x80, 200
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
		binary.BigEndian.PutUint32(b[4:], ssrc)
		if i == 700 { // over the place where the index leaves the lower 16 bits
			for ssrc := range uint32(3) {
				send.streams.find(1 + ssrc).rtcp.top = 0xfff0
				theirs.SetIndex(1+ssrc, 0xfff0)
			}
		}
		want, err := theirs.EncryptRTCP(nil, b, nil)
		if err != nil {
			t.Fatalf("%v RTCP %d: pion: %v", suite, i, err)
		}
		got, err := send.ProtectRTCP(make([]byte, 0, len(b)+Overhead), b)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v RTCP %d: %x, %v; pion makes %x of %x", suite, i, got, err, want, b)
		}
		if clear, err := receive.UnprotectRTCP(got[:0:len(got)], got); err != nil || !bytes.Equal(clear, b) {
			t.Fatalf("%v RTCP %d: %x, %v; want %x", suite, i, clear, err, b)
		}
	}
}

// Two defects of pion are why we go another way: docs/adr/0005-own-srtp-transforms.md. Once one of these
// fails, pion has mended it.
func TestWherePionDiffers(t *testing.T) {
	k := key(t, AES_CM_128_HMAC_SHA1_80)
	theirs := pionContext(t, k, nil)
	for range 2 {
		if _, err := theirs.EncryptRTP(nil, packet(1, 5, "two payloads"), nil); err != nil {
			t.Errorf("pion refuses an index used before: %v", err)
		}
	}
	clear, err := pion.CreateContext(k.Secret()[:16], k.Secret()[16:], pionProfiles[k.Suite()], pion.SRTCPNoEncryption())
	if err != nil {
		t.Fatal(err)
	}
	report := rtp.AppendRR(nil, 1)
	b, err := clear.EncryptRTCP(nil, report, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pionContext(t, k, nil).DecryptRTCP(nil, b, nil); err != nil {
		t.Errorf("pion refuses an SRTCP packet in the clear: %v", err)
	}
	_, receive := pair(t, k, nil)
	if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), b); !errors.Is(err, ErrClear) {
		t.Errorf("an authentic SRTCP packet in the clear: %v; want %v", err, ErrClear)
	}
}
