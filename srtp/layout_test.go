//go:build amd64 || arm64

package srtp

import (
	"crypto/aes"
	"testing"
	"unsafe"
)

// What every packet reads and writes of a key is on as few lines of memory as it fits on, and the memory of the ciphers has the form
// that Warm reads: should crypto/aes change it, what it reads ahead is no longer what packets need.
func TestKeysLieOnLines(t *testing.T) {
	begins := func(what string, at unsafe.Pointer) {
		t.Helper()
		if off := uintptr(at) % cacheLine; off != 0 {
			t.Errorf("%s begins %d octets behind a line of memory", what, off)
		}
	}
	for _, suite := range Suites() {
		for range 20 {
			k := key(t, suite)
			send, receive := pair(t, k, nil)
			begins("a sender", unsafe.Pointer(send))
			begins("a receiver", unsafe.Pointer(receive))
			begins("a sender's first stream", unsafe.Pointer(&send.streams.first))
			begins("a receiver's first stream", unsafe.Pointer(&receive.streams.first))
			for _, tr := range []transform{send.rtp, receive.rtp} {
				switch tr := tr.(type) {
				case *gcm:
					begins("GCM", unsafe.Pointer(tr))
					begins("GCM's memory", tr.memory.at)
					if end := unsafe.Offsetof(tr.iv) + unsafe.Sizeof(tr.iv); end > cacheLine {
						t.Errorf("GCM has %d octets of every packet; want a line", end)
					}
				case *counterMode:
					begins("counter mode", unsafe.Pointer(tr))
					begins("what the lowest bits of a sequence number add", unsafe.Pointer(&tr.keyStream.low))
					tr.keyStream.accelerate(NewScratch())
					begins("the fast key stream's memory", tr.keyStream.memory.at)
					if end := unsafe.Offsetof(tr.keyStream) + unsafe.Offsetof(tr.keyStream.low); end > 2*cacheLine {
						t.Errorf("counter mode has %d octets of every packet; want two lines", end)
					}
				}
			}
		}
	}
	var s stream
	if end := unsafe.Offsetof(s.ssrc) + unsafe.Sizeof(s.ssrc); end > cacheLine {
		t.Errorf("a stream has %d octets of every packet; want a line", end)
	}
}

// The form of a cipher's memory, and that nothing is read where it is another one.
func TestMemoryOfCiphers(t *testing.T) {
	for _, suite := range Suites() {
		k := key(t, suite)
		send, _ := pair(t, k, nil)
		var m memory
		want := uintptr(k.suite.KeySize()/4 + 6) // rounds, FIPS 197 section 5
		switch tr := send.rtp.(type) {
		case *gcm:
			m = tr.memory
		case *counterMode:
			if m = tr.keyStream.memory; m.at == nil || m.rounds() != want {
				t.Errorf("%s: the block cipher's memory is not known", suite)
			}
			tr.keyStream.accelerate(NewScratch())
			if m = tr.keyStream.memory; m != memoryOf(tr.keyStream.gcm, gcmSize) {
				t.Errorf("%s: what is read ahead is not GCM's memory", suite)
			}
		}
		if m.at == nil || m.rounds() != want {
			t.Errorf("%s: GCM's memory is not known", suite)
		}
	}
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	many := new([gcmSize]byte)
	many[0] = maxRounds + 1
	for _, other := range []any{nil, 7, (*[gcmSize]byte)(nil), new([100]byte), func() {}, block, many} {
		if m := memoryOf(other, gcmSize); m.at != nil || m.touch(true) != 0 {
			t.Errorf("%T is taken for a cipher's memory", other)
		}
	}
}
