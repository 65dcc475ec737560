package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"carillon/rtp"
)

// mustProtect makes an SRTP packet with capacity for nothing more.
func mustProtect(t *testing.T, s *Sender, ssrc uint32, seq uint16) []byte {
	t.Helper()
	b, err := s.Protect(make([]byte, 0, 512), packet(ssrc, seq, strings.Repeat("v", 160)))
	if err != nil {
		t.Fatalf("protect %d: %v", seq, err)
	}
	return bytes.Clone(b)
}

// The rule of RFC 3711 section 3.3.1 at its edges: half of the numbers ahead and behind, before the first
// rollover, and at the last index.
func TestGuess(t *testing.T) {
	for _, c := range []struct {
		top  uint64
		seq  uint16
		want uint64
	}{
		{5 << 16, 0, 5 << 16},
		{5 << 16, 32767, 5<<16 | 32767},
		{5 << 16, 32768, 5<<16 | 32768}, // as near behind: the same counter wins
		{5 << 16, 32769, 4<<16 | 32769},
		{5 << 16, 65535, 4<<16 | 65535},
		{5<<16 | 32767, 65535, 5<<16 | 65535},
		{5<<16 | 32768, 0, 5 << 16},
		{5<<16 | 32768, 65535, 5<<16 | 65535},
		{5<<16 | 32769, 0, 6 << 16},
		{5<<16 | 65535, 0, 6 << 16},
		{5<<16 | 65535, 32766, 6<<16 | 32766},
		{5<<16 | 65535, 32767, 5<<16 | 32767},
		{5, 65535, 65535}, // nothing lies below 0
		{5, 32774, 32774},
		{maxIndex, 65535, maxIndex},
		{maxIndex, 0, maxIndex + 1},
	} {
		s := stream{rtp: window{started: true, top: c.top}}
		if got := s.guess(c.seq); got != c.want {
			t.Errorf("after %#x, sequence number %d is %#x; want %#x", c.top, c.seq, got, c.want)
		}
	}
	blank := stream{rtp: window{top: 9 << 16}}
	if got := blank.guess(65535); got != 9<<16|65535 {
		t.Errorf("first packet with the counter set: %#x; want %#x", got, 9<<16|65535)
	}
}

// The window over a rollover, for a receiver that joins after it.
func TestWindowEdges(t *testing.T) {
	for _, suite := range []Suite{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80} {
		send, receive := pair(t, key(t, suite), nil)
		outside, inside := mustProtect(t, send, 1, 65500), mustProtect(t, send, 1, 65501)
		top := mustProtect(t, send, 1, uint16((65500+WindowSize)%(1<<16)))
		for _, step := range []struct {
			what   string
			packet []byte
			want   error
		}{
			{"another rollover counter", top, ErrAuth},
			{"the counter set", top, nil},
			{"WindowSize behind", outside, ErrReplay},
			{"WindowSize-1 behind", inside, nil},
			{"WindowSize-1 behind, again", inside, ErrReplay},
			{"the highest again", top, ErrReplay},
		} {
			if _, err := receive.Unprotect(make([]byte, 0, 512), step.packet); !errors.Is(err, step.want) {
				t.Errorf("%v, %s: %v; want %v", suite, step.what, err, step.want)
			}
			receive.SetROC(1, 1) // no effect once the stream is known
		}
	}
}

// Sequence numbers that an attacker writes into forgeries must not move the rollover counter or the window.
func TestForgeriesMoveNothing(t *testing.T) {
	r := rand.New(random())
	for _, suite := range Suites() {
		send, receive := pair(t, key(t, suite), nil)
		if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, 65530)); err != nil {
			t.Fatal(err)
		}
		report, err := send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1))
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			forged := packet(1, uint16(r.Uint32()), strings.Repeat("f", 60))
			if _, err := receive.Unprotect(forged[:0], forged); !errors.Is(err, ErrAuth) && !errors.Is(err, ErrReplay) {
				t.Fatalf("%v: forgery: %v", suite, err)
			}
			forged = bytes.Clone(report)
			at := len(forged) - 4
			if !suites[suite].aead {
				at -= int(suites[suite].rtcp)
			}
			binary.BigEndian.PutUint32(forged[at:], encrypted|(2+r.Uint32N(1<<30)))
			if _, err := receive.UnprotectRTCP(forged[:0], forged); !errors.Is(err, ErrAuth) {
				t.Fatalf("%v: SRTCP index changed: %v; want %v", suite, err, ErrAuth)
			}
		}
		for _, seq := range []uint16{65531, 65535, 0, 1, 65534} {
			if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, seq)); err != nil {
				t.Errorf("%v: %d after forgeries: %v", suite, seq, err)
			}
		}
		if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), report); err != nil {
			t.Errorf("%v: SRTCP after forgeries: %v", suite, err)
		}
	}
}

// A counter that is looked for is the one nearest to where it is expected, and never one that the stream has passed.
func TestUnprotectNear(t *testing.T) {
	for _, suite := range []Suite{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80} {
		send, receive := pair(t, key(t, suite), nil)
		before, after, lost, top := mustProtect(t, send, 1, 65530), mustProtect(t, send, 1, 3), mustProtect(t, send, 1, 20), mustProtect(t, send, 1, 30)
		for i, step := range []struct {
			packet []byte
			near   uint64
			want   error
		}{
			{after, 0, ErrAuth}, {before, 1<<16 | 10, nil}, {before, 1<<16 | 10, ErrReplay}, {after, 1<<16 | 30000, nil},
			{top, 1<<16 | 4, nil}, {lost, 1<<16 | 4, ErrReplay}, {before, 1 << 15, ErrReplay},
		} {
			if _, err := receive.UnprotectNear(make([]byte, 0, 512), step.packet, step.near); !errors.Is(err, step.want) {
				t.Errorf("%v, step %d: %v; want %v", suite, i, err, step.want)
			}
		}
		if _, err := receive.Unprotect(make([]byte, 0, 512), lost); err != nil {
			t.Errorf("%v: one that is late, without looking for a counter: %v", suite, err)
		}
	}
}

// The identifier of the master key is not authenticated, so what stands there must be what was agreed on (RFC 3711 section
// 3.1), in RTCP likewise.
func TestMasterKeyIdentifiers(t *testing.T) {
	mki := []byte{0, 0, 1, 4}
	for suite := range pionProfiles {
		k := key(t, suite)
		theirs := pionContext(t, k, mki)
		_, receive := pair(t, k, mki)
		b, err := theirs.EncryptRTP(nil, packet(1, 1, "identified"), nil)
		if err != nil {
			t.Fatal(err)
		}
		report, err := theirs.EncryptRTCP(nil, rtp.AppendRR(nil, 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			open func(dst, packet []byte) ([]byte, error)
			b    []byte
		}{{receive.Unprotect, b}, {receive.UnprotectRTCP, report}} {
			at := bytes.LastIndex(c.b, mki)
			if at < 0 {
				t.Fatalf("%v: %x has no identifier", suite, c.b)
			}
			for i := range mki {
				other := bytes.Clone(c.b)
				other[at+i] ^= 1
				if _, err := c.open(make([]byte, 0, 512), other); !errors.Is(err, ErrAuth) {
					t.Errorf("%v: another identifier: %v; want %v", suite, err, ErrAuth)
				}
			}
			if _, err := c.open(make([]byte, 0, 512), c.b); err != nil {
				t.Errorf("%v: the identifier of the key: %v", suite, err)
			}
		}
		for n, ok := range map[int]bool{0: true, MaxMKI: true, MaxMKI + 1: false} {
			if _, err := NewReceiver(k, make([]byte, n)); (err == nil) != ok {
				t.Errorf("%v: an identifier of %d octets: %v", suite, n, err)
			}
		}
	}
}

// The last index of a key is used, and none after it; an RTCP index never starts over.
func TestKeyLifetime(t *testing.T) {
	for _, suite := range Suites() {
		send, receive := pair(t, key(t, suite), nil)
		mustProtect(t, send, 1, 1)
		send.streams.find(1).rtp.top = maxIndex - 1
		receive.SetROC(1, 1<<32-1)
		if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, 65535)); err != nil {
			t.Errorf("%v: last index: %v", suite, err)
		}
		if _, err := send.Protect(make([]byte, 0, 512), packet(1, 0, "x")); !errors.Is(err, ErrExhausted) {
			t.Errorf("%v: index 2^48: %v; want %v", suite, err, ErrExhausted)
		}
		if _, err := receive.Unprotect(make([]byte, 0, 512), packet(1, 0, strings.Repeat("x", 40))); !errors.Is(err, ErrExhausted) {
			t.Errorf("%v: index 2^48 received: %v; want %v", suite, err, ErrExhausted)
		}
		send.streams.find(1).rtcp.top = maxRTCPIndex - 1
		last, err := send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1))
		if err != nil {
			t.Fatalf("%v: last RTCP index: %v", suite, err)
		}
		if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), last); err != nil || receive.LastRTCP() != maxRTCPIndex {
			t.Errorf("%v: last RTCP index %#x: %v", suite, receive.LastRTCP(), err)
		}
		if _, err := send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1)); !errors.Is(err, ErrExhausted) {
			t.Errorf("%v: RTCP index 2^31: %v; want %v", suite, err, ErrExhausted)
		}
	}
}

func TestLongPackets(t *testing.T) {
	send, _ := pair(t, key(t, AES_CM_128_HMAC_SHA1_80), nil)
	b := append(packet(1, 1, ""), make([]byte, 1<<16)...)
	if _, err := send.Protect(make([]byte, 0, 1<<17), b); !errors.Is(err, ErrMalformed) {
		t.Errorf("RTP of %d bytes: %v; want %v", len(b), err, ErrMalformed)
	}
	if _, err := send.ProtectRTCP(make([]byte, 0, 1<<17), b); !errors.Is(err, ErrMalformed) {
		t.Errorf("RTCP of %d bytes: %v; want %v", len(b), err, ErrMalformed)
	}
	if _, err := send.Protect(make([]byte, 0, 1<<17), b[:maxPacket]); err != nil {
		t.Errorf("RTP of %d bytes: %v", maxPacket, err)
	}
}

// Buffers of packets may lie side by side, so nothing behind a received packet may be written.
func TestUnprotectStaysInside(t *testing.T) {
	for _, suite := range Suites() {
		send, receive := pair(t, key(t, suite), nil)
		for n := range uint16(40) {
			b, err := send.Protect(make([]byte, 0, 512), packet(1, n, strings.Repeat("v", int(n)*8)))
			if err != nil {
				t.Fatal(err)
			}
			room := bytes.Repeat([]byte{0xa5}, len(b)+64)
			copy(room, b)
			if _, err := receive.Unprotect(room[:0], room[:len(b)]); err != nil {
				t.Fatalf("%v: %v", suite, err)
			}
			if behind := room[len(b):]; !bytes.Equal(behind, bytes.Repeat([]byte{0xa5}, 64)) {
				t.Fatalf("%v: wrote behind a packet of %d bytes: %x", suite, len(b), behind)
			}
		}
	}
}

// The header is judged as package rtp judges it.
func TestReadHeader(t *testing.T) {
	r := rand.New(random())
	for range 20000 {
		b := make([]byte, r.IntN(100))
		fill(r, b)
		if len(b) > 0 && r.IntN(4) > 0 {
			b[0] = b[0]&0x3f | 0x80
		}
		if len(b) > 14 && r.IntN(2) == 0 {
			b[0] &^= 0x0f
			b[14] = 0
		}
		want, err := rtp.Parse(b)
		got, ok := readHeader(b)
		if ok != (err == nil) || ok && got != (header{want.Size, want.SSRC, want.Sequence}) {
			t.Fatalf("%x: %v, %v; want %v, %v", b, got, ok, want, err)
		}
	}
}

// A refused packet must cost an attacker's target no memory, whatever it is refused for.
func TestRefusalsDoNotAllocate(t *testing.T) {
	for _, suite := range Suites() {
		send, receive := pair(t, key(t, suite), []byte{1})
		_, plain := pair(t, key(t, suite), nil)
		good := mustProtect(t, send, 1, 500)
		if _, err := plain.Unprotect(make([]byte, 0, 512), good); err != nil {
			t.Fatal(err)
		}
		mustProtect(t, send, 1, 900)
		report, err := send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1))
		if err != nil {
			t.Fatal(err)
		}
		clear := append(rtp.AppendRR(nil, 1), make([]byte, 4+16+16)...)
		forgedReport := append(bytes.Clone(clear[:8]), bytes.Repeat([]byte{0x81}, 40)...)
		buf := make([]byte, 0, 512)
		for name, c := range map[string]struct {
			call   func(dst, packet []byte) ([]byte, error)
			dst, b []byte
			want   error
		}{
			"short":         {plain.Unprotect, buf, good[:11], ErrMalformed},
			"empty":         {plain.Unprotect, buf, nil, ErrMalformed},
			"header alone":  {plain.Unprotect, buf, packet(1, 700, ""), ErrAuth},
			"forged":        {plain.Unprotect, buf, packet(1, 700, strings.Repeat("f", 160)), ErrAuth},
			"forged stream": {plain.Unprotect, buf, packet(9, 700, strings.Repeat("f", 160)), ErrAuth},
			"replay":        {plain.Unprotect, buf, good, ErrReplay},
			"wrong MKI":     {receive.Unprotect, buf, good, ErrAuth},
			"small buffer":  {receive.Unprotect, buf[:0:20], good, ErrBuffer},
			"reused":        {send.Protect, buf, packet(1, 900, "x"), ErrReused},
			"stale":         {send.Protect, buf, packet(1, 500, "x"), ErrStale},
			"broken":        {send.Protect, buf, good[:11], ErrMalformed},
			"no room":       {send.Protect, buf[:0:20], packet(1, 901, "x"), ErrBuffer},
			"short RTCP":    {plain.UnprotectRTCP, buf, report[:11], ErrMalformed},
			"RTCP in clear": {plain.UnprotectRTCP, buf, clear, ErrClear},
			"forged RTCP":   {plain.UnprotectRTCP, buf, forgedReport, ErrAuth},
			"broken RTCP":   {send.ProtectRTCP, buf, report[:7], ErrMalformed},
		} {
			if n := testing.AllocsPerRun(100, func() { _, err = c.call(c.dst, c.b) }); n != 0 || !errors.Is(err, c.want) {
				t.Errorf("%v, %s: %v allocations and %v; want none and %v", suite, name, n, err, c.want)
			}
		}
	}
}
