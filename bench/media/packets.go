package main

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// firstSequence is the sequence number of frame 0. Calls may join until it rolls over after 21 minutes: who joins later
// cannot know the rollover counter.
const firstSequence = 1000

// packets makes the packets that all calls of a side send.
type packets struct {
	side    int
	protect *srtp.Context // nil for RTP
	plain   [headerSize + payloadSize]byte
	now     []byte // of the frame
}

func newPackets(k key, side int) (p *packets, err error) {
	p = &packets{side: side}
	p.protect, err = k.context()
	return p, err
}

// write writes the packet of a frame in the clear.
func write(b []byte, frame uint64, side int) {
	b[0], b[1] = 0x80, 0
	binary.BigEndian.PutUint16(b[2:], uint16(firstSequence+frame))
	binary.BigEndian.PutUint32(b[4:], uint32(frame*payloadSize))
	binary.BigEndian.PutUint32(b[8:], uint32(0xca11_0000+side))
	for i := range b[headerSize:] {
		b[headerSize+i] = byte(uint64(i+side) * (frame | 1))
	}
}

// make makes the packet of a frame.
func (p *packets) make(frame uint64) (err error) {
	write(p.plain[:], frame, p.side)
	if p.protect == nil {
		p.now = p.plain[:]
		return nil
	}
	p.now, err = p.protect.EncryptRTP(p.now[:0], p.plain[:], nil)
	return err
}

// frameOf returns the frame of a sequence number, which is not far from one that is known.
func frameOf(sequence uint16, near uint64) uint64 {
	return near + uint64(int64(int16(sequence-uint16(firstSequence+near))))
}

// checker authenticates what comes to a leg.
type checker struct {
	unprotect *srtp.Context
	size      int
	plain     []byte
	header    rtp.Header
}

// Sizes of tags.
var overheads = map[string]int{"": 0, cm80: 10, cm32: 4, gcm: 16, gcm2: 16}

func newChecker(k key) (c *checker, err error) {
	c = &checker{size: headerSize + payloadSize + overheads[k.suite]}
	c.unprotect, err = k.context()
	return c, err
}

// check reports what is wrong with a packet that side sent as a frame.
func (c *checker) check(b []byte, frame uint64, side int) (err error) {
	if c.unprotect != nil {
		c.header = rtp.Header{}
		if _, err := c.header.Unmarshal(b); err != nil {
			return err
		}
		if c.plain, err = c.unprotect.DecryptRTP(c.plain[:0], b, &c.header); err != nil {
			return err
		}
		b = c.plain
	}
	var want [headerSize + payloadSize]byte
	write(want[:], frame, side)
	// A relay may choose the marker bit at a beginning.
	if len(b) != len(want) || !bytes.Equal(b[2:], want[2:]) {
		return fmt.Errorf("frame %d arrived as %x", frame, b)
	}
	return nil
}
