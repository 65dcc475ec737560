//go:build amd64 || arm64

package srtp

import (
	"crypto/aes"
	"testing"
	"unsafe"

	"carillon/cacheline"
)

// What every packet reads and writes of a key is on as few lines of memory as it fits on, and the memory of the ciphers has the form
// that Warm knows: should it change, what is asked for ahead is no longer what packets need.
func TestKeysLieOnLines(t *testing.T) {
	begins := func(what string, at unsafe.Pointer) {
		t.Helper()
		if off := uintptr(at) % cacheline.Size; off != 0 {
			t.Errorf("%s begins %d octets behind a line of memory", what, off)
		}
	}
	for _, suite := range Suites() {
		for range 20 {
			k := key(t, suite)
			send, receive := pair(t, k, nil)
			begins("a sender", unsafe.Pointer(send))
			begins("a receiver", unsafe.Pointer(receive))
			if at := unsafe.Offsetof(send.streams) + unsafe.Offsetof(send.streams.first); at != cacheline.Size {
				t.Errorf("a sender's first stream is %d octets behind its beginning; want the second line", at)
			}
			if at := unsafe.Offsetof(receive.streams) + unsafe.Offsetof(receive.streams.first); at != cacheline.Size {
				t.Errorf("a receiver's first stream is %d octets behind its beginning; want the second line", at)
			}
			if tr := transformAt(send.rtp); tr != unsafe.Add(unsafe.Pointer(send), unsafe.Sizeof(*send)) {
				t.Error("a sender's transform is not behind it")
			}
			if tr := transformAt(receive.rtp); tr != unsafe.Add(unsafe.Pointer(receive), unsafe.Sizeof(*receive)) {
				t.Error("a receiver's transform is not behind it")
			}
			for _, tr := range []transform{send.rtp, receive.rtp} {
				switch tr := tr.(type) {
				case *gcm:
					begins("GCM", unsafe.Pointer(tr))
					begins("GCM's memory", tr.memory.at)
					if end := unsafe.Offsetof(tr.iv) + unsafe.Sizeof(tr.iv); end > cacheline.Size {
						t.Errorf("GCM has %d octets of every packet; want a line", end)
					}
				case *counterMode:
					begins("counter mode", unsafe.Pointer(tr))
					begins("what every packet reads of a key stream", unsafe.Pointer(&tr.keyStream.until))
					begins("what the lowest bits of a sequence number add", unsafe.Pointer(&tr.keyStream.low))
					tr.keyStream.accelerate(NewScratch())
					begins("the fast key stream's memory", tr.keyStream.memory.at)
					if end := unsafe.Offsetof(tr.keyStream) + unsafe.Offsetof(tr.keyStream.low); end > 2*cacheline.Size {
						t.Errorf("counter mode has %d octets of every packet; want two lines", end)
					}
				}
			}
		}
	}
	var s stream
	if end := unsafe.Offsetof(s.ssrc) + unsafe.Sizeof(s.ssrc); end > cacheline.Size {
		t.Errorf("a stream has %d octets of every packet; want a line", end)
	}
}

// The form of GCM's memory, and that nothing is asked for where it is another one. Were it another one in a later Go, packets would
// be as right, and later.
func TestMemoryOfGCM(t *testing.T) {
	for _, suite := range Suites() {
		k := key(t, suite)
		send, _ := pair(t, k, nil)
		var m memory
		switch tr := send.rtp.(type) {
		case *gcm:
			m = tr.memory
		case *counterMode:
			if tr.keyStream.memory.at != nil {
				t.Errorf("%s: memory of a GCM before there is one", suite)
			}
			tr.keyStream.accelerate(NewScratch())
			if m = tr.keyStream.memory; m != memoryOf(tr.keyStream.gcm) {
				t.Errorf("%s: what is asked for is not GCM's memory", suite)
			}
		}
		if m.at == nil {
			t.Fatalf("%s: GCM's memory is not known", suite)
		}
		// It begins with the number of rounds (FIPS 197 section 5), and with the expanded key.
		if rounds, want := *(*int)(m.at), k.suite.KeySize()/4+6; rounds != want {
			t.Errorf("%s: GCM's memory begins with %d; want %d rounds", suite, rounds, want)
		}
		if end := unsafe.Sizeof(0) + (10+1)*aes.BlockSize; (end+cacheline.Size-1)/cacheline.Size != keyLines {
			t.Errorf("an expanded key of 128 bits ends behind %d octets", end)
		}
		if first, last := uintptr(tableAt)/cacheline.Size, uintptr(gcmSize-1)/cacheline.Size; last-first+1 != tableLines {
			t.Errorf("what GCM multiplies with is on lines %d to %d", first, last)
		}
	}
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []any{nil, 7, (*[gcmSize]byte)(nil), new([100]byte), func() {}, block} {
		m := memoryOf(other)
		if m.at != nil {
			t.Errorf("%T is taken for GCM's memory", other)
		}
		m.fetch()
	}
}

func transformAt(t transform) unsafe.Pointer {
	switch t := t.(type) {
	case *gcm:
		return unsafe.Pointer(t)
	case *counterMode:
		return unsafe.Pointer(t)
	}
	return nil
}
