package srtp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	pion "github.com/pion/srtp/v3"

	"carillon/rtp"
)

// random is a fixed source, so that a failure repeats.
func random() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{1}) }

func key(t testing.TB, s Suite) Key {
	t.Helper()
	k, err := NewKey(s, random())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pair(t testing.TB, k Key, mki []byte) (*Sender, *Receiver) {
	t.Helper()
	s, err := NewSender(k)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReceiver(k, mki)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

func packet(ssrc uint32, seq uint16, payload string) []byte {
	b := make([]byte, rtp.HeaderSize, 512)
	rtp.Header{Sequence: seq, SSRC: ssrc, Timestamp: uint32(seq) * 160}.Put(b)
	return append(b, payload...)
}

var pionProfiles = map[Suite]pion.ProtectionProfile{
	AEAD_AES_128_GCM:        pion.ProtectionProfileAeadAes128Gcm,
	AEAD_AES_256_GCM:        pion.ProtectionProfileAeadAes256Gcm,
	AES_CM_128_HMAC_SHA1_80: pion.ProtectionProfileAes128CmHmacSha1_80,
	AES_CM_128_HMAC_SHA1_32: pion.ProtectionProfileAes128CmHmacSha1_32,
	AES_256_CM_HMAC_SHA1_80: pion.ProtectionProfileAes256CmHmacSha1_80,
	AES_256_CM_HMAC_SHA1_32: pion.ProtectionProfileAes256CmHmacSha1_32,
}

func pionContext(t testing.TB, k Key, mki []byte) *pion.Context {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(k.Inline())
	if err != nil {
		t.Fatal(err)
	}
	n := k.Suite().KeySize()
	c, err := pion.CreateContext(raw[:n], raw[n:], pionProfiles[k.Suite()], pion.MasterKeyIndicator(mki))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An independent implementation must read what we write and the other way round, over a rollover of the
// sequence number, with and without header extension, contributing source and MKI.
func TestAgainstPion(t *testing.T) {
	for suite := range pionProfiles {
		for _, mki := range [][]byte{nil, {1, 2, 3, 4}} {
			k := key(t, suite)
			send, receive := pair(t, k, mki)
			theirSend, theirReceive := pionContext(t, k, mki), pionContext(t, k, nil)
			seq := uint16(65000)
			for i := range 1200 {
				plain := packet(7, seq, "payload of a packet")
				if i%3 == 1 {
					plain[0] |= 0x10
					plain = append(plain[:12], append([]byte{0xbe, 0xde, 0, 1, 0x10, 9, 0, 0}, plain[12:]...)...)
				}
				ours, err := send.Protect(make([]byte, 0, 512), plain)
				if err != nil {
					t.Fatalf("%v seq %d: protect: %v", suite, seq, err)
				}
				if got, err := theirReceive.DecryptRTP(nil, ours, nil); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%v seq %d: pion reads %x, %v; want %x", suite, seq, got, err, plain)
				}
				theirs, err := theirSend.EncryptRTP(nil, plain, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := receive.Unprotect(make([]byte, 0, 512), theirs); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%v mki %x seq %d: we read %x, %v; want %x", suite, mki, seq, got, err, plain)
				}
				seq++
			}
			if ssrc, index := receive.Last(); ssrc != 7 || index != 1<<16|uint64(seq-1) {
				t.Errorf("%v: last %d, %#x; want 7, %#x", suite, ssrc, index, 1<<16|uint64(seq-1))
			}
			againstPionRTCP(t, suite, mki)
		}
	}
}

func againstPionRTCP(t *testing.T, suite Suite, mki []byte) {
	t.Helper()
	k := key(t, suite)
	send, receive := pair(t, k, mki)
	theirSend, theirReceive := pionContext(t, k, mki), pionContext(t, k, nil)
	for range 5 {
		plain := rtp.AppendCNAME(rtp.AppendRR(nil, 9, rtp.ReportBlock{SSRC: 7}), 9, "name")
		ours, err := send.ProtectRTCP(make([]byte, 0, 512), plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := theirReceive.DecryptRTCP(nil, ours, nil); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%v: pion reads RTCP %x, %v; want %x", suite, got, err, plain)
		}
		theirs, err := theirSend.EncryptRTCP(nil, plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := receive.UnprotectRTCP(make([]byte, 0, 512), theirs)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%v mki %x: we read RTCP %x, %v; want %x", suite, mki, got, err, plain)
		}
		if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), theirs); !errors.Is(err, ErrReplay) {
			t.Fatalf("%v: the same RTCP again: %v; want %v", suite, err, ErrReplay)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, suite := range Suites() {
		send, receive := pair(t, key(t, suite), nil)
		protect := func(ssrc uint32, seq uint16) []byte {
			out, err := send.Protect(make([]byte, 0, 512), packet(ssrc, seq, "hello"))
			if err != nil {
				t.Fatalf("%v: protect %d: %v", suite, seq, err)
			}
			return out
		}
		unprotect := func(b []byte) error {
			_, err := receive.Unprotect(make([]byte, 0, 512), b)
			return err
		}
		first := protect(1, 100)
		for i := range first {
			bad := bytes.Clone(first)
			bad[i] ^= 0x04
			if err := unprotect(bad); !errors.Is(err, ErrAuth) && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v: byte %d changed: %v", suite, i, err)
			}
			if err := unprotect(first[:i]); err == nil {
				t.Errorf("%v: accepted %d of %d bytes", suite, i, len(first))
			}
		}
		if err := unprotect(first); err != nil {
			t.Fatalf("%v: the good packet after forgeries: %v", suite, err)
		}
		if err := unprotect(first); !errors.Is(err, ErrReplay) {
			t.Errorf("%v: replay: %v; want %v", suite, err, ErrReplay)
		}
		late := protect(1, 101)
		if err := unprotect(protect(1, 101+WindowSize)); err != nil {
			t.Errorf("%v: ahead: %v", suite, err)
		}
		if err := unprotect(late); !errors.Is(err, ErrReplay) {
			t.Errorf("%v: behind the window: %v; want %v", suite, err, ErrReplay)
		}
		if _, err := send.Protect(make([]byte, 0, 512), packet(1, 101+WindowSize, "other")); !errors.Is(err, ErrReused) {
			t.Errorf("%v: index used twice: %v; want %v", suite, err, ErrReused)
		}
		if _, err := send.Protect(make([]byte, 0, 512), packet(1, 101, "other")); !errors.Is(err, ErrStale) {
			t.Errorf("%v: index from long ago: %v; want %v", suite, err, ErrStale)
		}
		if _, err := send.Protect(make([]byte, 0, 20), packet(1, 999, "hello")); !errors.Is(err, ErrBuffer) {
			t.Errorf("%v: small buffer: %v; want %v", suite, err, ErrBuffer)
		}
		clear := rtp.AppendRR(make([]byte, 0, 100), 1)
		clear = append(clear, make([]byte, 4+16+16)...)
		if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), clear); !errors.Is(err, ErrClear) {
			t.Errorf("%v: E bit unset: %v; want %v", suite, err, ErrClear)
		}
	}
}

// A forged SSRC must not take one of the places that authentic streams have.
func TestForgeriesTakeNoPlace(t *testing.T) {
	send, receive := pair(t, key(t, AEAD_AES_128_GCM), nil)
	for i := range uint32(1000) {
		if _, err := receive.Unprotect(make([]byte, 0, 512), packet(i, 1, strings.Repeat("x", 40))); !errors.Is(err, ErrAuth) {
			t.Fatalf("forgery %d: %v", i, err)
		}
	}
	for i := range uint32(MaxStreams) {
		good, err := send.Protect(make([]byte, 0, 512), packet(i, 1, "x"))
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		if _, err := receive.Unprotect(make([]byte, 0, 512), good); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	if _, err := send.Protect(make([]byte, 0, 512), packet(1<<20, 1, "x")); !errors.Is(err, ErrExhausted) {
		t.Errorf("one stream too many: %v; want %v", err, ErrExhausted)
	}
}

// The window against a set that forgets nothing.
func TestWindowAgainstModel(t *testing.T) {
	r := rand.New(random())
	for range 200 {
		var w window
		seen, top := map[uint64]bool{}, uint64(0)
		at := r.Uint64N(1000)
		for range 2000 {
			switch r.IntN(20) {
			case 0:
				at += r.Uint64N(600)
			default:
				at++
			}
			index := at - min(at, r.Uint64N(300))
			want := !seen[index] && (len(seen) == 0 || index > top || top-index < WindowSize)
			if got := w.fresh(index); got != want {
				t.Fatalf("fresh(%d) with top %d = %v; want %v", index, top, got, want)
			}
			if want {
				w.mark(index, MaxLifetime)
				seen[index], top = true, max(top, index)
			}
		}
	}
}

func TestSetROC(t *testing.T) {
	k := key(t, AES_CM_128_HMAC_SHA1_80)
	theirs := pionContext(t, k, nil)
	theirs.SetROC(3, 9)
	b, err := theirs.EncryptRTP(nil, packet(3, 50, "late"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, r := pair(t, k, nil)
	r.SetROC(3, 9)
	if _, err := r.Unprotect(make([]byte, 0, 512), b); err != nil {
		t.Fatalf("with the ROC set: %v", err)
	}
	if index, ok := r.Index(3); !ok || index != 9<<16|50 {
		t.Errorf("index %#x, %v; want %#x", index, ok, 9<<16|50)
	}
}

// Keys that are drawn at once share no byte of what was drawn: two lines with one key would have one key stream.
func TestKeysDrawnAtOnce(t *testing.T) {
	keys, err := NewKeys(Suites(), random())
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for i, k := range keys {
		if k.Suite() != Suites()[i] {
			t.Errorf("key %d is one of %v; want %v", i, k.Suite(), Suites()[i])
		}
		all = k.AppendSecret(all)
	}
	want := make([]byte, len(all))
	if random().Read(want); len(all) == 0 || !bytes.Equal(all, want) {
		t.Error("the keys are not what was drawn, one behind the other")
	}
	if _, err := NewKeys(Suites(), bytes.NewReader(want[1:])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("keys of a source that ends: %v; want %v", err, io.ErrUnexpectedEOF)
	}
	if _, err := NewKeys([]Suite{AEAD_AES_128_GCM, 0}, random()); !errors.Is(err, ErrKeySize) {
		t.Errorf("a key of no suite: %v; want %v", err, ErrKeySize)
	}
}

func TestKeyNeverPrints(t *testing.T) {
	k, err := ParseKey(AES_CM_128_HMAC_SHA1_80, bytes.Repeat([]byte{0xab}, 30))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		fmt.Fprintf(&out, verb+" ", k)
		fmt.Fprintf(&out, verb+" ", &k)
		fmt.Fprintf(&out, verb+" ", struct{ K Key }{k})
	}
	text, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", k, "in", struct{ K Key }{k})
	for _, leak := range []string{"abab", "ABAB", "171 171", "0xab", k.Inline()[:8], hex.EncodeToString([]byte{0xab, 0xab})} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output holds %q: %s", leak, out.String())
		}
	}
	if _, err := ParseKey(AEAD_AES_128_GCM, make([]byte, 30)); !errors.Is(err, ErrKeySize) {
		t.Errorf("key of a wrong size: %v", err)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, suite := range Suites() {
		send, receive := pair(t, key(t, suite), nil)
		buf, seq := packet(1, 0, strings.Repeat("x", 160)), uint16(0)
		if n := testing.AllocsPerRun(500, func() { roundTrip(t, send, receive, buf, &seq) }); n != 0 {
			t.Errorf("%v: %v allocations a packet; want 0", suite, n)
		}
		forged := packet(2, 1, strings.Repeat("x", 160))
		if n := testing.AllocsPerRun(500, func() {
			if _, err := receive.Unprotect(forged[:0], forged); err == nil {
				t.Fatal("forgery accepted")
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations a forgery; want 0", suite, n)
		}
	}
}

func roundTrip(t testing.TB, send *Sender, receive *Receiver, buf []byte, seq *uint16) {
	*seq++
	binary.BigEndian.PutUint16(buf[2:], *seq)
	b, err := send.Protect(buf[:0], buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = receive.Unprotect(b[:0], b); err != nil {
		t.Fatal(err)
	}
}

func FuzzUnprotect(f *testing.F) {
	for _, suite := range []Suite{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80} {
		send, _ := pair(f, key(f, suite), nil)
		b, err := send.Protect(make([]byte, 0, 512), packet(1, 1, "x"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		if b, err = send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1)); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, suite := range []Suite{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, AES_192_CM_HMAC_SHA1_32} {
			for _, mki := range [][]byte{nil, {1}} {
				_, r := pair(t, key(t, suite), mki)
				for _, open := range []func(dst, packet []byte) ([]byte, error){r.Unprotect, r.UnprotectRTCP} {
					out, err := open(make([]byte, 0, len(b)+1), b)
					if err == nil && len(out) >= len(b) {
						t.Fatalf("%v: %d bytes became %d", suite, len(b), len(out))
					}
				}
			}
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, suite := range Suites() {
		b.Run(suite.String(), func(b *testing.B) {
			send, receive := pair(b, key(b, suite), nil)
			buf, seq := packet(1, 0, strings.Repeat("x", 160)), uint16(0)
			b.ReportAllocs()
			for b.Loop() {
				roundTrip(b, send, receive, buf, &seq)
			}
		})
	}
}

func BenchmarkRoundTripPion(b *testing.B) {
	for _, suite := range Suites() {
		if _, ok := pionProfiles[suite]; !ok {
			continue
		}
		b.Run(suite.String(), func(b *testing.B) {
			send, receive := pionContext(b, key(b, suite), nil), pionContext(b, key(b, suite), nil)
			buf, seq := packet(1, 0, strings.Repeat("x", 160)), uint16(0)
			b.ReportAllocs()
			for b.Loop() {
				seq++
				binary.BigEndian.PutUint16(buf[2:], seq)
				out, err := send.EncryptRTP(buf, buf, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := receive.DecryptRTP(out, out, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Senders and receivers that share a scratch take turns without harm, and packets are those of one that has its own.
func TestShare(t *testing.T) {
	x := NewScratch()
	for _, suite := range Suites() {
		k := key(t, suite)
		var err error
		var senders [3]*Sender
		var receivers [2]*Receiver
		for i := range senders {
			senders[i], err = NewSender(k)
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range receivers {
			if receivers[i], err = NewReceiver(k, nil); err != nil {
				t.Fatal(err)
			}
			receivers[i].Share(x)
			senders[i].Share(x)
		}
		senders[1].Share(nil)
		for seq := range uint16(2 * worthwhile) { // past the fast way's beginning
			plain := make([]byte, rtp.HeaderSize+160, 256)
			rtp.Header{SSRC: 7, Sequence: seq}.Put(plain)
			var got [3][]byte
			for i, s := range senders {
				if got[i], err = s.Protect(make([]byte, 0, 256), plain); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got[0], got[2]) || !bytes.Equal(got[1], got[2]) {
				t.Fatalf("%v: packet %d differs by whose scratch it is made with", suite, seq)
			}
			for i, r := range receivers {
				if out, err := r.Unprotect(got[i][:0], got[i]); err != nil || !bytes.Equal(out, plain) {
					t.Fatalf("%v: packet %d: %v", suite, seq, err)
				}
			}
		}
	}
}
