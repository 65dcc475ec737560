package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"carillon/rtp"
)

// Errors of protecting and unprotecting. They carry no detail: an attacker must not make the node format
// text for each forged packet.
var (
	// ErrMalformed: the packet is too short or too long, or its header is broken.
	ErrMalformed = errors.New("srtp: malformed packet")
	// ErrAuth: the authentication tag or the MKI is wrong.
	ErrAuth = errors.New("srtp: authentication failed")
	// ErrReplay: the index was seen before or lies behind the window.
	ErrReplay = errors.New("srtp: replayed packet")
	// ErrClear: an SRTCP packet whose E bit says that it is not encrypted.
	ErrClear = errors.New("srtp: packet is not encrypted")
	// ErrReused: a packet to send whose index was used before. Sending it would use the key stream twice
	// and give away both payloads.
	ErrReused = errors.New("srtp: packet index used before")
	// ErrStale: a packet to send whose index lies behind the window. Whether it was used is not known.
	ErrStale = errors.New("srtp: packet index behind the window")
	// ErrExhausted: the lifetime of this master key is over, or MaxStreams are in use.
	ErrExhausted = errors.New("srtp: master key exhausted")
	// ErrBuffer: dst has not the capacity for the packet and Overhead.
	ErrBuffer = errors.New("srtp: buffer too small")
)

// Overhead is the most bytes that Protect and ProtectRTCP add.
const Overhead = 20

// maxPacket is the longest packet to protect, in bytes: what UDP carries. The counter under a packet index
// serves 1 MB; past that the key stream would be the next packet's.
const maxPacket = 1<<16 - 1

// MaxMKI is the longest master key identifier, in bytes (RFC 4568 section 6.1).
const MaxMKI = 128

const (
	encrypted    = 1 << 31 // the E bit of an SRTCP index word
	maxRTCPIndex = 1<<31 - 1
)

// Sender protects what one side sends under one master key. It is not safe for concurrent use.
type Sender struct {
	_       [0]sync.Mutex // has vet refuse copies: two would use one key stream twice
	rtp     transform
	rtcp    *later
	_       [2]uint64
	streams streams
	_       [5]uint64
}

// NewSender derives the session keys of k.
func NewSender(k Key) (*Sender, error) {
	var s *Sender
	if k.suite.Valid() && suites[k.suite].aead {
		x := new(gcmSender)
		s, x.rtp = &x.Sender, &x.gcm
	} else {
		x := new(counterSender)
		s, x.rtp = &x.Sender, &x.counterMode
	}
	s.rtcp, s.streams.lifetime = &later{key: k}, MaxLifetime
	if err := k.forRTP(s.rtp); err != nil {
		return nil, fmt.Errorf("make srtp sender: %w", err)
	}
	return s, nil
}

// What a packet needs is memory in one piece, as far as it is this package's: each further piece is another page of memory to
// be looked up, and with a thousand streams none of them is near when the next packet comes.
type (
	gcmSender struct {
		Sender
		gcm
	}
	counterSender struct {
		Sender
		counterMode
	}
	gcmReceiver struct {
		Receiver
		gcm
	}
	counterReceiver struct {
		Receiver
		counterMode
	}
)

// forRTP has a blank transform of k's suite begin with the session keys of RTP.
func (k Key) forRTP(t transform) error {
	if !k.suite.Valid() {
		return ErrKeySize
	}
	keys, err := k.sessionKeys(labelRTPCipher, labelRTPAuth, labelRTPSalt)
	if err != nil {
		return err
	}
	if c, ok := t.(*counterMode); ok { // RTCP is too rare to be worth it
		c.keyStream.until = worthwhile
	}
	return t.begin(k.suite, keys)
}

// later is the transform of RTCP, made with its first packet: many calls are over before there is one.
type later struct {
	key  Key
	made transform
}

func (l *later) get() (transform, error) {
	if l.made != nil {
		return l.made, nil
	}
	keys, err := l.key.sessionKeys(labelRTCPCipher, labelRTCPAuth, labelRTCPSalt)
	if err != nil {
		return nil, err
	}
	made := blank(l.key.suite)
	if err := made.begin(l.key.suite, keys); err != nil {
		return nil, err
	}
	l.made, l.key = made, Key{}
	return made, nil
}

// header is what the transforms need of an RTP header.
type header struct {
	size     int // with contributing sources and extension, bytes
	ssrc     uint32
	sequence uint16
}

// readHeader refuses what rtp.Parse refuses. That one fills in ten fields, which takes as long as a tenth of
// protecting the packet.
func readHeader(b []byte) (header, bool) {
	if len(b) < rtp.HeaderSize || b[0]>>6 != 2 {
		return header{}, false
	}
	size := rtp.HeaderSize + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 { // an extension
		if len(b) < size+4 {
			return header{}, false
		}
		size += 4 + 4*int(binary.BigEndian.Uint16(b[size+2:]))
	}
	return header{size, binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])}, len(b) >= size
}

// into copies packet to dst, which may be the same memory, leaving room for Overhead.
func into(dst, packet []byte) ([]byte, error) {
	if cap(dst) < len(packet)+Overhead {
		return nil, ErrBuffer
	}
	out := dst[:len(packet)]
	if len(packet) > 0 && &out[0] != &packet[0] {
		copy(out, packet)
	}
	return out, nil
}

// Protect returns the SRTP packet of an RTP packet, in the memory of dst. dst may be packet[:0] to work in
// place. Errors are ErrMalformed, ErrReused, ErrStale, ErrExhausted and ErrBuffer.
func (s *Sender) Protect(dst, packet []byte) ([]byte, error) {
	h, ok := readHeader(packet)
	if !ok || len(packet) > maxPacket {
		return nil, ErrMalformed
	}
	out, err := into(dst, packet)
	if err != nil {
		return nil, err
	}
	st := s.streams.candidate(h.ssrc)
	if st == nil {
		return nil, ErrExhausted
	}
	index := st.guess(h.sequence)
	if index >= st.rtp.end {
		return nil, ErrExhausted
	}
	if st.rtp.behind(index) {
		return nil, ErrStale
	}
	if !st.rtp.fresh(index) {
		return nil, ErrReused
	}
	st.rtp.mark(index, s.streams.lifetime)
	s.streams.commit(st)
	return s.rtp.seal(out, h.size, h.ssrc, index), nil
}

// ProtectRTCP returns the SRTCP packet of a compound RTCP packet, always encrypted, in the memory of dst.
// Errors are ErrMalformed, ErrExhausted and ErrBuffer.
func (s *Sender) ProtectRTCP(dst, packet []byte) ([]byte, error) {
	if len(packet) < rtp.RTCPHeaderSize || len(packet) > maxPacket {
		return nil, ErrMalformed
	}
	out, err := into(dst, packet)
	if err != nil {
		return nil, err
	}
	ssrc := binary.BigEndian.Uint32(packet[4:])
	st := s.streams.candidate(ssrc)
	t, err := s.rtcp.get()
	if err != nil {
		return nil, err
	}
	if st == nil || st.rtcp.top+1 >= st.rtcp.end {
		return nil, ErrExhausted
	}
	st.rtcp.top++
	s.streams.commit(st)
	return t.sealRTCP(out, ssrc, uint32(st.rtcp.top)|encrypted), nil
}

// Index returns the highest packet index (ROC and sequence number) protected for ssrc.
func (s *Sender) Index(ssrc uint32) (uint64, bool) { return s.streams.index(ssrc) }

// Receiver unprotects what one side receives under one master key. It is not safe for concurrent use.
type Receiver struct {
	rtp           transform
	tag, rtcpTag  uint8
	identified    bool // by an MKI
	behind        bool // the MKI stands before an authentication tag, not at the end
	spent         atomic.Bool
	lastSSRC      uint32
	lastIndex     uint64
	streams       streams
	mki           []byte
	lastRTCPIndex uint32
	rtcp          *later
}

// NewReceiver derives the session keys of k. mki is the identifier that each packet carries, empty for none.
func NewReceiver(k Key, mki []byte) (*Receiver, error) {
	if len(mki) > MaxMKI {
		return nil, fmt.Errorf("make srtp receiver: mki of %d bytes", len(mki))
	}
	var r *Receiver
	if k.suite.Valid() && suites[k.suite].aead {
		x := new(gcmReceiver)
		r, x.rtp = &x.Receiver, &x.gcm
	} else {
		x := new(counterReceiver)
		r, x.rtp = &x.Receiver, &x.counterMode
	}
	if err := k.forRTP(r.rtp); err != nil {
		return nil, fmt.Errorf("make srtp receiver: %w", err)
	}
	row := &suites[k.suite]
	r.rtcp, r.streams.lifetime = &later{key: k}, MaxLifetime
	r.mki, r.identified, r.behind, r.tag, r.rtcpTag = bytes.Clone(mki), len(mki) > 0, !row.aead, row.tag, row.rtcp
	return r, nil
}

// LiveFor says how many packets the peer's key serves, SRTP and SRTCP each (RFC 4568 section 6.1); 0 says nothing. It is
// called before the first packet. As RFC 3711 section 9.2 counts, each stream counts for itself, what was lost on the way
// was sent all the same, and the first stream to come to the end ends the key for all of them.
func (r *Receiver) LiveFor(packets uint64) {
	if packets > 0 {
		r.streams.lifetime = min(packets, MaxLifetime)
	}
}

// Spent reports whether a packet past the lifetime was found authentic: the peer goes on under a key that it should have
// changed, and nothing under it is taken any more. It is safe for concurrent use.
func (r *Receiver) Spent() bool { return r.spent.Load() }

// Follow has the receiver go on where another one of the same key is: with its rollover counters, its windows and what is
// left of its lifetime. The other one must not be at a packet meanwhile.
func (r *Receiver) Follow(other *Receiver) {
	r.spent.Store(other.Spent())
	r.streams.follow(&other.streams)
}

// past judges an RTP packet whose index is past the lifetime. Only an authentic one shows that the peer goes on under the
// key; a forgery that runs ahead must not end it. From then on no packet costs any cryptography.
func (r *Receiver) past(dst, packet []byte, h header, index uint64) error {
	if r.Spent() || index > maxIndex {
		return ErrExhausted
	}
	out, err := r.copyIn(dst, packet)
	if err != nil {
		return err
	}
	if out, err = r.cutMKI(out, r.tag); err != nil {
		return err
	}
	if _, ok := r.rtp.open(out, h.size, h.ssrc, index); !ok {
		return ErrAuth
	}
	return r.spend()
}

// spend ends the life of the key for every stream, known or to come.
func (r *Receiver) spend() error {
	r.spent.Store(true)
	r.streams.lifetime = 0
	for _, s := range r.streams.all {
		s.rtp.end, s.rtcp.end = 0, 0
	}
	return ErrExhausted
}

// cutMKI removes the MKI, which is not authenticated itself (RFC 3711 section 3.1): before the tag in
// counter mode, at the end with GCM (RFC 7714 section 8.2).
func (r *Receiver) cutMKI(packet []byte, tag uint8) ([]byte, error) {
	if !r.identified {
		return packet, nil
	}
	if !r.behind {
		tag = 0
	}
	at := len(packet) - int(tag) - len(r.mki)
	if at < 0 {
		return nil, ErrMalformed
	}
	if !bytes.Equal(packet[at:at+len(r.mki)], r.mki) {
		return nil, ErrAuth
	}
	return packet[:at+copy(packet[at:], packet[at+len(r.mki):])], nil
}

// Unprotect returns the RTP packet of an SRTP packet, in the memory of dst. dst may be packet[:0]. A packet
// that is refused changes no state, but may leave dst changed. Errors are ErrMalformed, ErrAuth, ErrReplay, ErrExhausted and ErrBuffer.
func (r *Receiver) Unprotect(dst, packet []byte) ([]byte, error) {
	h, ok := readHeader(packet)
	if !ok {
		return nil, ErrMalformed
	}
	st := r.streams.candidate(h.ssrc)
	if st == nil {
		return nil, ErrExhausted
	}
	return r.unprotect(dst, packet, h, st, st.guess(h.sequence))
}

// UnprotectNear is Unprotect for a packet whose rollover counter does not follow from what was received: of the
// indices that its sequence number allows it is tried with the one nearest to near. A packet that is authentic under
// it sets the counter of its stream. It can only go forward: an index that is not ahead of all seen is ErrReplay.
func (r *Receiver) UnprotectNear(dst, packet []byte, near uint64) ([]byte, error) {
	h, ok := readHeader(packet)
	if !ok {
		return nil, ErrMalformed
	}
	st := r.streams.candidate(h.ssrc)
	if st == nil {
		return nil, ErrExhausted
	}
	at := stream{rtp: window{started: true, top: near}}
	index := at.guess(h.sequence)
	if st.rtp.started && index <= st.rtp.top {
		return nil, ErrReplay
	}
	return r.unprotect(dst, packet, h, st, index)
}

func (r *Receiver) unprotect(dst, packet []byte, h header, st *stream, index uint64) ([]byte, error) {
	if index >= st.rtp.end {
		return nil, r.past(dst, packet, h, index)
	}
	// Before the tag is checked: a flood of copies costs no cryptography.
	if !st.rtp.fresh(index) {
		return nil, ErrReplay
	}
	out, err := r.copyIn(dst, packet)
	if err != nil {
		return nil, err
	}
	if out, err = r.cutMKI(out, r.tag); err != nil {
		return nil, err
	}
	n, ok := r.rtp.open(out, h.size, h.ssrc, index)
	if !ok {
		return nil, ErrAuth
	}
	st.rtp.mark(index, r.streams.lifetime)
	r.streams.commit(st)
	r.lastSSRC, r.lastIndex = h.ssrc, index
	return out[:n], nil
}

func (r *Receiver) copyIn(dst, packet []byte) ([]byte, error) {
	if cap(dst) < len(packet) {
		return nil, ErrBuffer
	}
	out := dst[:len(packet)]
	if &out[0] != &packet[0] {
		copy(out, packet)
	}
	return out, nil
}

// UnprotectRTCP returns the RTCP packet of an SRTCP packet, in the memory of dst. Errors are those of
// Unprotect and ErrClear.
func (r *Receiver) UnprotectRTCP(dst, packet []byte) ([]byte, error) {
	if len(packet) < rtp.RTCPHeaderSize+4 || packet[0]>>6 != 2 {
		return nil, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[4:])
	st := r.streams.candidate(ssrc)
	if st == nil {
		return nil, ErrExhausted
	}
	out, err := r.copyIn(dst, packet)
	if err != nil {
		return nil, err
	}
	if out, err = r.cutMKI(out, r.rtcpTag); err != nil {
		return nil, err
	}
	at := len(out) - 4
	if r.behind {
		at -= int(r.rtcpTag)
	}
	if at < rtp.RTCPHeaderSize {
		return nil, ErrMalformed
	}
	word := binary.BigEndian.Uint32(out[at:])
	if word&encrypted == 0 {
		// An authenticated packet may still be in the clear (RFC 3711 section 3.4); nobody who was
		// promised encryption wants it relayed.
		return nil, ErrClear
	}
	index := word &^ encrypted
	past := uint64(index) >= st.rtcp.end
	switch {
	case past && r.Spent():
		return nil, ErrExhausted
	case !st.rtcp.fresh(uint64(index)):
		return nil, ErrReplay
	}
	t, err := r.rtcp.get()
	if err != nil {
		return nil, err
	}
	n, ok := t.openRTCP(out, ssrc, word)
	if !ok {
		return nil, ErrAuth
	}
	if past {
		return nil, r.spend()
	}
	st.rtcp.mark(uint64(index), r.streams.lifetime)
	r.streams.commit(st)
	r.lastRTCPIndex = index
	return out[:n], nil
}

// Last returns stream and index of the last authentic RTP packet.
func (r *Receiver) Last() (ssrc uint32, index uint64) { return r.lastSSRC, r.lastIndex }

// LastRTCP returns the index of the last authentic RTCP packet.
func (r *Receiver) LastRTCP() uint32 { return r.lastRTCPIndex }

// Index returns the highest packet index (ROC and sequence number) found authentic for ssrc.
func (r *Receiver) Index(ssrc uint32) (uint64, bool) { return r.streams.index(ssrc) }

// SetROC tells that the first packet of ssrc will have this rollover counter and not 0, for a stream joined
// late. It has no effect on a stream already known.
func (r *Receiver) SetROC(ssrc, roc uint32) {
	if r.streams.find(ssrc) != nil {
		return
	}
	if s := r.streams.candidate(ssrc); s != nil {
		s.rtp.top = uint64(roc) << 16
		r.streams.commit(s)
	}
}

func (t *streams) index(ssrc uint32) (uint64, bool) {
	if s := t.find(ssrc); s != nil && s.rtp.started {
		return s.rtp.top, true
	}
	return 0, false
}
