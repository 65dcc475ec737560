package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"carillon/rtp"
)

// A key serves as many packets of a stream as its description says, those that were lost among them. The first one past
// that which is authentic ends it, for every stream and for RTCP, and nothing else does.
func TestLifetime(t *testing.T) {
	for _, suite := range Suites() {
		for _, first := range []uint16{0, 1000, 65530} {
			send, receive := pair(t, key(t, suite), []byte(nil))
			receive.LiveFor(100)
			open := func(b []byte) error {
				_, err := receive.Unprotect(make([]byte, 0, 512), b)
				return err
			}
			other := mustProtect(t, send, 2, 7)
			report, err := send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1))
			if err != nil {
				t.Fatal(err)
			}
			for n := range uint16(101) {
				b := mustProtect(t, send, 1, first+n)
				switch {
				case n%3 == 1 && n < 98: // lost
				case n < 100:
					if err := open(b); err != nil {
						t.Fatalf("%v from %d: packet %d of the lifetime: %v", suite, first, n+1, err)
					}
				default:
					forged := packet(1, first+n, strings.Repeat("f", 60))
					if err := open(forged); !errors.Is(err, ErrAuth) || receive.Spent() {
						t.Errorf("%v from %d: a forgery past the lifetime: %v, spent %v; want %v", suite, first, err, receive.Spent(), ErrAuth)
					}
					if err := open(b); !errors.Is(err, ErrExhausted) || !receive.Spent() {
						t.Errorf("%v from %d: past the lifetime: %v, spent %v; want %v", suite, first, err, receive.Spent(), ErrExhausted)
					}
				}
			}
			for what, err := range map[string]error{
				"the same again": open(mustProtect(t, send, 1, first+200)), "one within that was lost": open(mustProtect(t, send, 2, 8)),
				"another stream": open(other), "a forgery": open(packet(1, first+250, strings.Repeat("f", 60))),
			} {
				if !errors.Is(err, ErrExhausted) {
					t.Errorf("%v from %d: %s after the end: %v; want %v", suite, first, what, err, ErrExhausted)
				}
			}
			if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), report); !errors.Is(err, ErrExhausted) {
				t.Errorf("%v: RTCP after the end: %v; want %v", suite, err, ErrExhausted)
			}
			if _, err := receive.UnprotectNear(make([]byte, 0, 512), mustProtect(t, send, 1, first+300), 1<<16); !errors.Is(err, ErrExhausted) {
				t.Errorf("%v: near another index after the end: %v; want %v", suite, err, ErrExhausted)
			}
		}
	}
}

// RTCP is counted for itself, by its index.
func TestLifetimeOfRTCP(t *testing.T) {
	for _, suite := range Suites() {
		k := key(t, suite)
		by := newBook(t, k)
		send, receive := pair(t, k, nil)
		receive.LiveFor(10)
		open := func(index uint32) error {
			_, err := receive.UnprotectRTCP(make([]byte, 0, 512), by.rtcp(t, rtp.AppendRR(nil, 1), index))
			return err
		}
		for _, index := range []uint32{50, 51, 59} {
			if err := open(index); err != nil {
				t.Errorf("%v: report %d: %v", suite, index, err)
			}
		}
		forged := by.rtcp(t, rtp.AppendRR(nil, 1), 60)
		forged[len(forged)-1] ^= 1
		if suites[suite].aead {
			forged[10] ^= 1
			forged[len(forged)-1] ^= 1
		}
		if _, err := receive.UnprotectRTCP(make([]byte, 0, 512), forged); !errors.Is(err, ErrAuth) || receive.Spent() {
			t.Errorf("%v: a forgery past the lifetime: %v, spent %v; want %v", suite, err, receive.Spent(), ErrAuth)
		}
		if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, 9)); err != nil {
			t.Errorf("%v: RTP before the end: %v", suite, err)
		}
		if err := open(60); !errors.Is(err, ErrExhausted) || !receive.Spent() {
			t.Errorf("%v: past the lifetime: %v, spent %v; want %v", suite, err, receive.Spent(), ErrExhausted)
		}
		if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, 10)); !errors.Is(err, ErrExhausted) {
			t.Errorf("%v: RTP after the end: %v; want %v", suite, err, ErrExhausted)
		}
	}
}

// What a description says cannot make a key live longer than RFC 3711 section 9.2 lets it, and 0 says nothing.
func TestLifetimeIsBounded(t *testing.T) {
	for _, said := range []uint64{0, 1 << 48, 1<<64 - 1} {
		send, receive := pair(t, key(t, AES_CM_128_HMAC_SHA1_80), nil)
		receive.LiveFor(said)
		mustProtect(t, send, 1, 1)
		send.streams.find(1).rtp.top = maxIndex - 2
		receive.SetROC(1, 1<<32-1)
		for _, seq := range []uint16{65534, 65535} {
			if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, seq)); err != nil {
				t.Errorf("lifetime %d: one of the last indices of all: %v", said, err)
			}
		}
		if _, err := receive.Unprotect(make([]byte, 0, 512), packet(1, 0, strings.Repeat("x", 40))); !errors.Is(err, ErrExhausted) {
			t.Errorf("lifetime %d: index 2^48: %v; want %v", said, err, ErrExhausted)
		}
	}
	send, receive := pair(t, key(t, AES_CM_128_HMAC_SHA1_80), nil)
	receive.LiveFor(1)
	for n, want := range []error{nil, ErrExhausted} {
		if _, err := receive.Unprotect(make([]byte, 0, 512), mustProtect(t, send, 1, uint16(n))); !errors.Is(err, want) {
			t.Errorf("packet %d of a key for one: %v; want %v", n+1, err, want)
		}
	}
}

// A packet past the lifetime costs no memory, and once the key is used up no cryptography.
func TestSpentKeyCostsNothing(t *testing.T) {
	send, receive := pair(t, key(t, AES_CM_128_HMAC_SHA1_80), nil)
	receive.LiveFor(1)
	buf := make([]byte, 0, 512)
	for n := range uint16(2) {
		_, _ = receive.Unprotect(buf, mustProtect(t, send, 1, n))
	}
	late := mustProtect(t, send, 1, 2)
	report, err := send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1))
	if err != nil {
		t.Fatal(err)
	}
	receive.rtp, receive.rtcp = nil, &later{} // whoever asks them for anything panics or fails
	if n := testing.AllocsPerRun(100, func() { _, err = receive.Unprotect(buf, late) }); n != 0 || !errors.Is(err, ErrExhausted) {
		t.Errorf("%v allocations, %v; want none and %v", n, err, ErrExhausted)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = receive.UnprotectRTCP(buf, report) }); n != 0 || !errors.Is(err, ErrExhausted) {
		t.Errorf("RTCP: %v allocations, %v; want none and %v", n, err, ErrExhausted)
	}
}

// A receiver that follows another one goes on with what that has seen and with what is left of the key, and neither notices
// what the other one sees from then on.
func TestFollow(t *testing.T) {
	for _, suite := range Suites() {
		k := key(t, suite)
		send, first := pair(t, k, nil)
		_, next := pair(t, k, nil)
		first.LiveFor(70000)
		var sent [][]byte
		for _, seq := range []uint16{60000, 10000, 10001, 10002} { // the counter is 1 from the second on
			sent = append(sent, mustProtect(t, send, 1, seq))
		}
		report, err := send.ProtectRTCP(make([]byte, 0, 512), rtp.AppendRR(nil, 1))
		if err != nil {
			t.Fatal(err)
		}
		open := func(r *Receiver, b []byte) error {
			_, err := r.Unprotect(make([]byte, 0, 512), b)
			return err
		}
		for _, b := range sent[:2] {
			if err := open(first, b); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := first.UnprotectRTCP(make([]byte, 0, 512), report); err != nil {
			t.Fatal(err)
		}
		next.Follow(first)
		for i, want := range []error{ErrReplay, ErrReplay, nil, nil} {
			if err := open(next, sent[i]); !errors.Is(err, want) {
				t.Errorf("%v: packet %d: %v; want %v", suite, i, err, want)
			}
		}
		if _, err := next.UnprotectRTCP(make([]byte, 0, 512), report); !errors.Is(err, ErrReplay) {
			t.Errorf("%v: a report that was seen: %v; want %v", suite, err, ErrReplay)
		}
		if err := open(first, sent[2]); err != nil {
			t.Errorf("%v: what its follower has seen: %v", suite, err)
		}
		for _, seq := range []uint16{40000, 64464} { // 60000 + 70000 are 130000, of which 65536 in the first round
			_ = open(next, mustProtect(t, send, 1, seq))
		}
		_, last := pair(t, k, nil)
		last.Follow(next)
		if !last.Spent() {
			t.Errorf("%v: whoever follows one whose key is used up has a fresh one", suite)
		}
		if err := open(last, mustProtect(t, send, 9, 1)); !errors.Is(err, ErrExhausted) {
			t.Errorf("%v: another stream: %v; want %v", suite, err, ErrExhausted)
		}
		if err := open(last, mustProtect(t, send, 1, 64465)); !next.Spent() || !errors.Is(err, ErrExhausted) || first.Spent() {
			t.Errorf("%v: past the lifetime: %v, spent %v, and %v before; want %v, true and false", suite, err, next.Spent(), first.Spent(), ErrExhausted)
		}
	}
}

// A forgery that came before, and one that comes after, take nothing from a receiver that follows another one.
func TestFollowAfterForgery(t *testing.T) {
	for _, suite := range Suites() {
		k := key(t, suite)
		send, first := pair(t, k, nil)
		_, next := pair(t, k, nil)
		b := mustProtect(t, send, 1, 5)
		forged := bytes.Clone(b)
		binary.BigEndian.PutUint32(forged[8:], 2)
		open := func(r *Receiver, b []byte) error {
			_, err := r.Unprotect(make([]byte, 0, 512), b)
			return err
		}
		if err := open(first, b); err != nil {
			t.Fatal(err)
		}
		before := open(next, forged)
		next.Follow(first)
		if after := open(next, forged); !errors.Is(before, ErrAuth) || !errors.Is(after, ErrAuth) {
			t.Errorf("%v: a forgery: %v before and %v after; want %v", suite, before, after, ErrAuth)
		}
		if index, ok := next.Index(1); !ok || index != 5 {
			t.Errorf("%v: the stream that it follows is at %d, %v; want 5", suite, index, ok)
		}
	}
}
