package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"carillon/rtp"
)

// FuzzStreams has a network do what it may to the packets of two streams: lose, hold back, repeat, change and cut them, and
// make some up. Whatever is taken was sent, is taken once, and says what was said; RTCP likewise.
func FuzzStreams(f *testing.F) {
	f.Add(byte(2), byte(0), []byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add(byte(0), byte(3), []byte{0x00, 0xff, 0x10, 0x08, 0x01, 0x09, 0x02, 0x0a, 0x03, 0x0b, 0x04, 0x05, 0x0d, 0x06})
	f.Add(byte(5), byte(1), bytes.Repeat([]byte{0x00, 0xf0, 0x08, 0xf8, 0x05}, 20))
	f.Fuzz(func(t *testing.T, suite, mki byte, ops []byte) {
		k := key(t, Suite(1+suite%byte(suiteEnd-1)))
		send, receive := pair(t, k, bytes.Repeat([]byte{7}, int(mki%5)))
		n := &fuzzedNetwork{t: t, send: send, receive: receive, mki: receive.mki, seqs: map[uint32]uint16{1: 65500, 2: 5}}
		for _, op := range ops[:min(len(ops), 400)] {
			n.do(op)
		}
	})
}

// fuzzedNetwork is a sender, a receiver and what lies between them.
type fuzzedNetwork struct {
	t       *testing.T
	send    *Sender
	receive *Receiver
	mki     []byte
	seqs    map[uint32]uint16
	said    uint32
	sent    []flying
}

// flying is a packet on its way, and how often it arrived.
type flying struct {
	b, plain []byte
	rtcp     bool
	taken    int
}

func (n *fuzzedNetwork) do(op byte) {
	ssrc, much := uint32(1+op>>3&1), int(op>>4)
	switch op & 7 {
	case 0, 1: // the next packet, after some that were never sent
		n.seqs[ssrc] += uint16(1 + much*much*20)
		n.said++
		plain := packet(ssrc, n.seqs[ssrc], "says "+string(binary.BigEndian.AppendUint32(nil, n.said)))
		b, err := n.send.Protect(make([]byte, 0, 512), plain)
		if err != nil {
			n.t.Fatal(err)
		}
		n.sent = append(n.sent, flying{b: n.identified(b, int(n.receive.tag)), plain: plain})
	case 2: // a report
		n.said++
		plain := rtp.AppendCNAME(rtp.AppendRR(nil, ssrc), ssrc, string(rune('a'+n.said%26)))
		b, err := n.send.ProtectRTCP(make([]byte, 0, 512), plain)
		if err != nil {
			n.t.Fatal(err)
		}
		n.sent = append(n.sent, flying{b: n.identified(b, int(n.receive.rtcpTag)), plain: plain, rtcp: true})
	default:
		if len(n.sent) > 0 {
			n.deliver(op&7, &n.sent[max(0, len(n.sent)-1-much)], much)
		}
	}
}

// identified puts the master key identifier where it belongs (RFC 3711 section 3.1, RFC 7714 section 8.2).
func (n *fuzzedNetwork) identified(b []byte, tag int) []byte {
	if !n.receive.behind {
		tag = 0
	}
	at := len(b) - tag
	return append(append(bytes.Clone(b[:at]), n.mki...), b[at:]...)
}

// deliver brings a packet: whole for 3 and 4, changed for 5, cut for 6, as the other protocol for 7.
func (n *fuzzedNetwork) deliver(how byte, p *flying, much int) {
	b, whole := bytes.Clone(p.b), how < 5
	open := n.receive.Unprotect
	switch how {
	case 5:
		b[(much*7+int(n.said))%len(b)] ^= 1 << (much % 8)
	case 6:
		b = b[:len(b)-1-much%len(b)]
	}
	if p.rtcp != (how == 7) {
		open = n.receive.UnprotectRTCP
	}
	out, err := open(make([]byte, 0, 512), b)
	switch {
	case err == nil && !whole:
		n.t.Fatalf("%x was made of %x and taken", b, p.b)
	case err == nil && (p.taken > 0 || !bytes.Equal(out, p.plain)):
		n.t.Fatalf("taken %d times before, as %x; want %x", p.taken, out, p.plain)
	case err == nil:
		p.taken++
	case whole && p.taken > 0 && !errors.Is(err, ErrReplay) && !errors.Is(err, ErrAuth):
		n.t.Fatalf("the same packet again: %v", err)
	}
}
