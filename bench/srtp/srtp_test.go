package srtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pionrtp "github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"

	"carillon/rtp"
	"carillon/srtp"
)

// chunk is how many packets one side takes before the other has its turn. They fit a first-level cache.
const chunk = 64

// side is one direction of a leg, sender and receiver.
type side struct {
	protect   func(packet []byte) ([]byte, error)
	unprotect func(packet []byte) ([]byte, error)
}

func ours(k srtp.Key) (side, error) {
	send, err := srtp.NewSender(k)
	if err != nil {
		return side{}, err
	}
	receive, err := srtp.NewReceiver(k, nil)
	if err != nil {
		return side{}, err
	}
	return side{
		func(packet []byte) ([]byte, error) { return send.Protect(packet[:0], packet) },
		func(packet []byte) ([]byte, error) { return receive.Unprotect(packet[:0], packet) },
	}, nil
}

// profiles are the suites that pion has; it has none with 192 bits.
var profiles = map[srtp.Suite]pion.ProtectionProfile{
	srtp.AEAD_AES_128_GCM:        pion.ProtectionProfileAeadAes128Gcm,
	srtp.AEAD_AES_256_GCM:        pion.ProtectionProfileAeadAes256Gcm,
	srtp.AES_CM_128_HMAC_SHA1_80: pion.ProtectionProfileAes128CmHmacSha1_80,
	srtp.AES_CM_128_HMAC_SHA1_32: pion.ProtectionProfileAes128CmHmacSha1_32,
	srtp.AES_256_CM_HMAC_SHA1_80: pion.ProtectionProfileAes256CmHmacSha1_80,
	srtp.AES_256_CM_HMAC_SHA1_32: pion.ProtectionProfileAes256CmHmacSha1_32,
}

// theirs gives pion a header to parse into: without one it allocates for each packet.
func theirs(k srtp.Key) (side, error) {
	secret, n := k.Secret(), k.Suite().KeySize()
	context := func() (*pion.Context, error) {
		return pion.CreateContext(secret[:n], secret[n:], profiles[k.Suite()], pion.SRTPReplayProtection(64))
	}
	send, err := context()
	if err != nil {
		return side{}, err
	}
	receive, err := context()
	if err != nil {
		return side{}, err
	}
	var out, in pionrtp.Header
	return side{
		func(packet []byte) ([]byte, error) { return send.EncryptRTP(packet, packet, &out) },
		func(packet []byte) ([]byte, error) { return receive.DecryptRTP(packet, packet, &in) },
	}, nil
}

// lane runs one side over chunks of packets,
// in place, as the media plane does.
type lane struct {
	side
	packets        [chunk][]byte // 0 bytes long and with capacity for the tag
	up, down, both []float64     // ns a packet, one for each chunk: protect, unprotect, round trip
}

func newLane(s side) *lane {
	l := &lane{side: s}
	for i := range l.packets {
		l.packets[i] = make([]byte, 0, 256)
	}
	return l
}

// run takes the packets over, protects and unprotects them; keep sees them in between.
func (l *lane) run(packets [][]byte, keep func(i int, sealed []byte)) error {
	for i, p := range packets {
		l.packets[i] = append(l.packets[i][:0], p...)
	}
	var err error
	begin := time.Now()
	for i, p := range l.packets {
		if l.packets[i], err = l.protect(p); err != nil {
			return fmt.Errorf("protect: %w", err)
		}
	}
	up := time.Since(begin)
	if keep != nil {
		for i, p := range l.packets {
			keep(i, p)
		}
	}
	begin = time.Now()
	for i, p := range l.packets {
		if l.packets[i], err = l.unprotect(p); err != nil {
			return fmt.Errorf("unprotect: %w", err)
		}
	}
	down := time.Since(begin)
	l.up = append(l.up, float64(up)/chunk)
	l.down = append(l.down, float64(down)/chunk)
	l.both = append(l.both, float64(up+down)/chunk)
	return nil
}

// voice returns packets of 160 bytes of payload, 20 ms of G.711, with random bytes.
func voice() [][]byte {
	random := rand.NewChaCha8([32]byte{1})
	packets := make([][]byte, chunk)
	for i := range packets {
		packets[i] = make([]byte, rtp.HeaderSize+160)
		_, _ = random.Read(packets[i]) // it cannot fail
		rtp.Header{SSRC: 7}.Put(packets[i])
	}
	return packets
}

// number gives the packets the next sequence numbers.
func number(packets [][]byte, seq *uint16) {
	for _, p := range packets {
		*seq++
		binary.BigEndian.PutUint16(p[2:], *seq)
	}
}

func lanes(tb testing.TB, suite srtp.Suite) (mine, other *lane) {
	tb.Helper()
	k, err := srtp.NewKey(suite, rand.NewChaCha8([32]byte{2}))
	if err != nil {
		tb.Fatal(err)
	}
	a, err := ours(k)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := theirs(k)
	if err != nil {
		tb.Fatal(err)
	}
	return newLane(a), newLane(b)
}

// Both must do the same work, or the figures say nothing.
func TestSameResult(t *testing.T) {
	for suite := range profiles {
		mine, other := lanes(t, suite)
		packets, seq := voice(), uint16(65000)
		for range 20 {
			number(packets, &seq)
			var sealed [2][chunk][]byte
			for n, l := range []*lane{mine, other} {
				keep := func(i int, packet []byte) { sealed[n][i] = bytes.Clone(packet) }
				if err := l.run(packets, keep); err != nil {
					t.Fatalf("%v: %v", suite, err)
				}
			}
			for i, p := range packets {
				if !bytes.Equal(sealed[0][i], sealed[1][i]) {
					t.Fatalf("%v: %x; pion makes %x", suite, sealed[0][i], sealed[1][i])
				}
				if !bytes.Equal(mine.packets[i], p) || !bytes.Equal(other.packets[i], p) {
					t.Fatalf("%v: %x and %x; want %x", suite, mine.packets[i], other.packets[i], p)
				}
			}
		}
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// BenchmarkBeside reports medians in ns a packet for both, how many times faster Carillon is, and
// allocations a packet for a round trip.
func BenchmarkBeside(b *testing.B) {
	for _, suite := range srtp.Suites() {
		if _, ok := profiles[suite]; ok {
			b.Run(suite.String(), func(b *testing.B) { beside(b, suite) })
		}
	}
}

func beside(b *testing.B, suite srtp.Suite) {
	mine, other := lanes(b, suite)
	packets, seq := voice(), uint16(0)
	allocations := func(l *lane) float64 {
		l.up, l.down, l.both = make([]float64, 0, 64), make([]float64, 0, 64), make([]float64, 0, 64)
		at := seq
		return testing.AllocsPerRun(50, func() {
			number(packets, &at)
			if err := l.run(packets, nil); err != nil {
				b.Fatal(err)
			}
		}) / chunk
	}
	ourAllocs, theirAllocs := allocations(mine), allocations(other)
	seq += 51 * chunk
	order := [2]*lane{mine, other}
	for b.Loop() {
		number(packets, &seq)
		order[0], order[1] = order[1], order[0]
		for _, l := range order {
			if err := l.run(packets, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // an operation is two chunks: no figure of interest
	report := func(what string, a, p []float64) {
		b.ReportMetric(median(a), what+"-ns")
		b.ReportMetric(median(p), what+"-pion-ns")
		b.ReportMetric(median(p)/median(a), what+"-times")
	}
	report("protect", mine.up, other.up)
	report("unprotect", mine.down, other.down)
	report("round", mine.both, other.both)
	b.ReportMetric(ourAllocs, "allocs")
	b.ReportMetric(theirAllocs, "pion-allocs")
}
