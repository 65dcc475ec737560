package rtp

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	plain := []byte{0x80, 0x80, 1, 2, 0, 0, 0, 5, 0xde, 0xad, 0xbe, 0xef, 'x'}
	tests := []struct {
		name string
		in   []byte
		size int
		err  error
	}{
		{"plain", plain, 12, nil},
		{"empty", nil, 0, ErrShort},
		{"eleven bytes", plain[:11], 0, ErrShort},
		{"header only", plain[:12], 12, nil},
		{"version 1", append([]byte{0x40}, plain[1:]...), 0, ErrVersion},
		{"one csrc missing", append([]byte{0x81}, plain[1:]...), 0, ErrShort},
		{"one csrc", append(append([]byte{0x81}, plain[1:]...), 1, 2, 3), 16, nil},
		{"extension cut", append([]byte{0x90}, plain[1:]...), 0, ErrShort},
		{"extension longer than packet", append(append([]byte{0x90}, plain[1:12]...), 0xbe, 0xde, 0xff, 0xff), 0, ErrShort},
		{"extension", append(append([]byte{0x90}, plain[1:12]...), 0xbe, 0xde, 0, 1, 1, 2, 3, 4), 20, nil},
	}
	for _, tt := range tests {
		h, err := Parse(tt.in)
		if !errors.Is(err, tt.err) || h.Size != tt.size {
			t.Errorf("%s: size %d, error %v; want %d, %v", tt.name, h.Size, err, tt.size, tt.err)
		}
	}
	h, _ := Parse(plain)
	want := Header{Marker: true, Sequence: 0x102, Timestamp: 5, SSRC: 0xdeadbeef, Size: 12}
	if h != want {
		t.Errorf("Parse = %+v; want %+v", h, want)
	}
	var b [12]byte
	h.Put(b[:])
	if !bytes.Equal(b[:], plain[:12]) {
		t.Errorf("Put = %x; want %x", b, plain[:12])
	}
}

func TestPayloadChecksPadding(t *testing.T) {
	head := []byte{0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}
	tests := []struct {
		body []byte
		want int
		err  error
	}{
		{[]byte{9, 9, 0, 2}, 2, nil},
		{[]byte{0, 0, 0, 4}, 0, nil},
		{[]byte{9, 9, 9, 0}, 0, ErrPadding},
		{[]byte{9, 9, 9, 5}, 0, ErrPadding},
		{nil, 0, ErrPadding},
	}
	for _, tt := range tests {
		b := append(bytes.Clone(head), tt.body...)
		h, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Payload(b)
		if len(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Payload of %x: %d bytes, %v; want %d, %v", tt.body, len(got), err, tt.want, tt.err)
		}
	}
}

func TestIsRTCP(t *testing.T) {
	for second, want := range map[byte]bool{0: false, 8: false, 0x80: false, 0x88: false, 96: false, 191: false, 192: true, 200: true, 207: true, 223: true, 224: false} {
		if got := IsRTCP([]byte{0x80, second}); got != want {
			t.Errorf("IsRTCP of second byte %d = %v; want %v", second, got, want)
		}
	}
	if IsRTCP([]byte{0x80}) {
		t.Error("one byte is no RTCP")
	}
}

func TestReserved(t *testing.T) {
	b := make([]byte, HeaderSize)
	for second := range 256 {
		b[0], b[1] = 0x80, byte(second)
		h, err := Parse(b)
		if want := second >= TypeSR && second <= TypeAPP; err != nil || h.Reserved() != want {
			t.Errorf("second byte %d: reserved %v, %v; want %v", second, h.Reserved(), err, want)
		}
	}
}

func TestBuiltReportsAreValid(t *testing.T) {
	block := ReportBlock{SSRC: 7, Fraction: 3, Lost: -2, Highest: 70000, Jitter: 9}
	b := AppendSR(nil, 1, SenderInfo{NTP: NTPTime(time.Unix(0, 5e8)), RTP: 160, Packets: 1, Octets: 160}, block)
	b = AppendCNAME(b, 1, "abc")
	b = AppendRR(b, 1, block, block)
	b = AppendBYE(b, 1)
	if err := CheckRTCP(b); err != nil {
		t.Fatalf("CheckRTCP of our own compound: %v", err)
	}
	if got, want := b[8:16], []byte{0x83, 0xaa, 0x7e, 0x80, 0x80, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("NTP time %x; want %x", got, want)
	}
	if got, want := b[32:36], []byte{3, 0xff, 0xff, 0xfe}; !bytes.Equal(got, want) {
		t.Errorf("fraction and lost %x; want %x", got, want)
	}
	for n := range b {
		short := CheckRTCP(b[:n])
		// Cuts at the seams leave a shorter compound that is valid.
		if whole := n == 52 || n == 68 || n == 68+56; (short == nil) != whole {
			t.Errorf("CheckRTCP of %d bytes = %v", n, short)
		}
	}
}

func TestCheckRTCP(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty receiver report", []byte{0x80, 201, 0, 1, 0, 0, 0, 1}, nil},
		{"version 0", []byte{0, 201, 0, 1, 0, 0, 0, 1}, ErrRTCPVersion},
		{"rtp", []byte{0x80, 0, 0, 1, 0, 0, 0, 1}, ErrRTCPType},
		{"length beyond", []byte{0x80, 201, 0, 2, 0, 0, 0, 1}, ErrRTCPShort},
		{"block announced, none there", []byte{0x81, 201, 0, 1, 0, 0, 0, 1}, ErrRTCPCount},
		{"padding of 0", []byte{0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}, ErrRTCPPadding},
		{"padding of 3", []byte{0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3}, ErrRTCPPadding},
		{"padding of 4", []byte{0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4}, nil},
		{"padding over the header", []byte{0xa0, 201, 0, 1, 0, 0, 0, 8}, ErrRTCPPadding},
		{"padding before the end", []byte{0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0x80, 201, 0, 1, 0, 0, 0, 1}, ErrRTCPPadding},
		{"tail of two bytes", []byte{0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 201}, ErrRTCPShort},
	}
	for _, tt := range tests {
		if got := CheckRTCP(tt.in); !errors.Is(got, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
}

func TestReceiverCountsLossAndJitter(t *testing.T) {
	var r Receiver
	at := time.Unix(1000, 0)
	seq := uint16(65530)
	send := func(skip int, late time.Duration) {
		seq += uint16(skip)
		r.Add(Header{SSRC: 5, Sequence: seq, Timestamp: uint32(seq) * 160}, at.Add(late))
		seq++
		at = at.Add(time.Duration(skip+1) * 20 * time.Millisecond)
	}
	for range 3 {
		send(0, 0)
	}
	if r.Lost() != 0 || r.Jitter() != 0 {
		t.Errorf("even stream: lost %d, jitter %v; want none", r.Lost(), r.Jitter())
	}
	at = at.Add(2 * 20 * time.Millisecond)
	seq += 2
	r.Add(Header{SSRC: 5, Sequence: seq, Timestamp: uint32(65535) * 160}, at)
	if got := r.Lost(); got != 2 {
		t.Errorf("lost %d; want 2", got)
	}
	// The two come late, one of them twice: nothing is lost and the count does not go below zero.
	for _, late := range []uint16{seq - 1, seq - 2, seq - 2} {
		r.Add(Header{SSRC: 5, Sequence: late}, at)
	}
	if got := r.Lost(); got != 0 {
		t.Errorf("lost %d after late packets; want 0", got)
	}
	r.Add(Header{SSRC: 6, Sequence: 9}, at)
	r.Add(Header{SSRC: 6, Sequence: 19}, at)
	r.Add(Header{SSRC: 7, Sequence: 1}, at)
	if got := r.Lost(); got != 9 {
		t.Errorf("lost %d over three streams; want 9", got)
	}
}

// The example of RFC 3550 A.8: constant 160 ticks of deviation settle at 160 ticks of jitter.
func TestJitterSettles(t *testing.T) {
	var r Receiver
	at := time.Unix(0, 0)
	for i := range 400 {
		late := time.Duration(i%2) * 20 * time.Millisecond
		r.Add(Header{SSRC: 1, Sequence: uint16(i), Timestamp: uint32(i * 160)}, at.Add(time.Duration(i)*20*time.Millisecond+late))
	}
	if got := r.Jitter(); got < 19*time.Millisecond || got > 20*time.Millisecond {
		t.Errorf("jitter %v; want about 20ms", got)
	}
	if b := r.Report(); b.Lost != 0 || b.Highest != 399 || b.Fraction != 0 {
		t.Errorf("report %+v", b)
	}
}

// The packets of an event have one time stamp; an even stream with events in it has no jitter.
func TestEventsAreNoJitter(t *testing.T) {
	var r Receiver
	at := time.Unix(0, 0)
	for i := range uint32(100) {
		stamp := i * 160
		if i%20 >= 10 && i%20 < 15 {
			stamp = (i - i%20 + 10) * 160
		}
		r.Add(Header{SSRC: 1, Sequence: uint16(i), Timestamp: stamp}, at.Add(time.Duration(i)*20*time.Millisecond))
	}
	if got := r.Jitter(); got != 0 || r.Lost() != 0 {
		t.Errorf("jitter %v, lost %d; want none", got, r.Lost())
	}
}

func TestRestartNeedsTwoPackets(t *testing.T) {
	var r Receiver
	at := time.Unix(0, 0)
	for _, seq := range []uint16{10, 11, 40000, 12} {
		r.Add(Header{SSRC: 1, Sequence: seq}, at)
	}
	if got := r.Lost(); got != 0 {
		t.Errorf("one stray packet lost %d; want 0", got)
	}
	for _, seq := range []uint16{50000, 50001, 50002} {
		r.Add(Header{SSRC: 1, Sequence: seq}, at)
	}
	if got := r.Report().Highest; got != 50002 {
		t.Errorf("highest %d after a restart; want 50002", got)
	}
	r.Add(Header{SSRC: 1, Sequence: 50004}, at)
	if b := r.Report(); b.Lost != 1 || b.Fraction != 128 {
		t.Errorf("report %+v; want 1 lost and a fraction of 128", b)
	}
}

func TestG711RoundTrip(t *testing.T) {
	for i := range 256 {
		b := byte(i)
		if got := MuLaw(LinearMu(b)); got != b && b != 0x7f { // 0x7f is the second zero
			t.Errorf("mu-law %#x -> %d -> %#x", b, LinearMu(b), got)
		}
		if got := ALaw(LinearA(b)); got != b {
			t.Errorf("A-law %#x -> %d -> %#x", b, LinearA(b), got)
		}
	}
	// Values of the tables in ITU-T G.711: silence, full scale, the smallest steps.
	for _, tt := range []struct {
		linear int16
		mu, a  byte
	}{{0, 0xff, 0xd5}, {32767, 0x80, 0xaa}, {-32768, 0x00, 0x2a}, {-1, 0x7f, 0x55}, {1000, 0xce, 0xfa}, {-1000, 0x4e, 0x7a}} {
		if got := MuLaw(tt.linear); got != tt.mu {
			t.Errorf("MuLaw(%d) = %#x; want %#x", tt.linear, got, tt.mu)
		}
		if got := ALaw(tt.linear); got != tt.a {
			t.Errorf("ALaw(%d) = %#x; want %#x", tt.linear, got, tt.a)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 'x'})
	f.Add([]byte{0xb1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err != nil {
			return
		}
		if h.Size < HeaderSize || h.Size > len(b) {
			t.Fatalf("header of %d bytes in a packet of %d", h.Size, len(b))
		}
		if p, err := h.Payload(b); err == nil && h.Size+len(p) > len(b) {
			t.Fatalf("payload of %d bytes after %d in %d", len(p), h.Size, len(b))
		}
		var r Receiver
		r.Add(h, time.Unix(0, 0))
		r.Add(h, time.Unix(1, 0))
		if r.Lost() != 0 {
			t.Fatal("a duplicate was counted as loss")
		}
	})
}

func FuzzCheckRTCP(f *testing.F) {
	seeds, err := filepath.Glob("testdata/rtcp/*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		quoted := strings.TrimSuffix(strings.TrimPrefix(strings.Split(string(text), "\n")[1], "[]byte("), ")")
		seed, err := strconv.Unquote(quoted)
		if err != nil {
			f.Fatalf("%s: %v", name, err)
		}
		f.Add([]byte(seed))
	}
	f.Add(AppendCNAME(AppendRR(nil, 1, ReportBlock{}), 1, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if CheckRTCP(b) != nil {
			return
		}
		if len(b)%4 != 0 || len(b) < RTCPHeaderSize {
			t.Fatalf("accepted %d bytes", len(b))
		}
		if !IsRTCP(b) {
			t.Fatal("accepted RTCP that would be taken for RTP on a shared port")
		}
	})
}
