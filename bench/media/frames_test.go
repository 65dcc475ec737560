package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"testing"
	"time"
)

// The header of a frame is that of a datagram that tcpdump calls correct, byte for byte.
func TestHead(t *testing.T) {
	from, to := addr(t, "10.77.0.20:40000"), addr(t, "10.77.0.10:20002")
	packet := []byte("an odd packet")
	lg := &leg{head: head(from, to, len(packet))}
	lg.sum = words(lg.head[26:])
	frame := append(bytes.Clone(lg.head[:]), packet...)
	binary.BigEndian.PutUint16(frame[frameHead-2:], lg.checksum(words(packet), len(packet)))
	const want = "02000a4d000a02000a4d00140800" + "45000029000040004011260d" + "0a4d00140a4d000a" + "9c404e220015"
	if got := hex.EncodeToString(frame[:frameHead-2]); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	pseudo := append(bytes.Clone(frame[26:34]), 0, 17, 0, byte(8+len(packet)))
	if sum := onesComplement(frame[14:34]); sum != 0xffff {
		t.Errorf("the sum of the IP header with its checksum is %x", sum)
	}
	if sum := onesComplement(append(pseudo, frame[34:]...)); sum != 0xffff {
		t.Errorf("the sum of the datagram with its checksum is %x", sum)
	}
}

// A checksum that comes out as 0 is sent as its other form: 0 would say that there is none (RFC 768).
func TestNoChecksumOfZero(t *testing.T) {
	lg := &leg{}
	if got := lg.checksum(0xffff-17-8, 0); got != 0xffff {
		t.Errorf("%x", got)
	}
}

// onesComplement adds up as RFC 1071 says, an octet at a time.
func onesComplement(b []byte) uint16 {
	sum := 0
	for i, octet := range b {
		if i%2 == 0 {
			sum += int(octet) << 8
		} else {
			sum += int(octet)
		}
		if sum > 0xffff {
			sum = sum - 0xffff
		}
	}
	return uint16(sum)
}

// More packets go than the rings have room for, and once more with the next socket of the same device.
func TestFramesAreManyAndAgain(t *testing.T) {
	if testPlace().device == "" {
		inHosts(t, "^TestFramesAreManyAndAgain$", "TestFramesAreManyAndAgain")
		return
	}
	for range 2 {
		f, err := newFrames(loadDevice)
		if err != nil {
			t.Fatal(err)
		}
		lg := &leg{head: head(addr(t, "10.77.0.20:40000"), addr(t, "10.77.0.10:20002"), 1)}
		for range 2 * ringSize / frameBatch {
			legs := make([]*leg, frameBatch)
			for i := range legs {
				legs[i] = lg
			}
			if err := f.send(legs, []byte{1}, 0x100); err != nil {
				t.Fatal(err)
			}
		}
		for end := time.Now().Add(5 * time.Second); atomic.LoadUint32(f.completed) != 2*ringSize && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if *f.consumed != 2*ringSize || *f.completed != 2*ringSize {
			t.Errorf("%d taken, %d sent", *f.consumed, *f.completed)
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}
}
