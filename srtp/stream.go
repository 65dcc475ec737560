package srtp

// WindowSize is how far behind the highest index a packet may arrive, in packets. RFC 3711 section 3.3.2
// asks for at least 64.
const WindowSize = 192

// MaxStreams is how many SSRCs one master key serves. Forgetting a stream would forget its replay window or,
// for a sender, which indices its key stream was already used for; so a further one is refused instead.
// Media servers that begin a stream for each announcement need hundreds in a long call.
const MaxStreams = 1024

// MaxLifetime is how many packets of a stream a master key protects at most, whatever its description says (RFC 3711 section
// 9.2). Of RTCP they are 2^31.
const MaxLifetime = 1 << 48

// maxIndex is the last packet index of a master key.
const maxIndex = MaxLifetime - 1

// window remembers which indices were seen (a ring of bits, as in RFC 6479). The zero value has seen none.
type window struct {
	top     uint64
	end     uint64 // the first index that the key does not serve any more
	bits    [WindowSize/64 + 1]uint64
	started bool
}

// live says where all indices end that a key with such a lifetime serves: one that is used up serves none.
func (w *window) live(lifetime, end uint64) {
	w.end = end
	if lifetime == 0 {
		w.end = 0
	}
}

// behind reports whether index is too old to tell.
func (w *window) behind(index uint64) bool {
	return w.started && index < w.top && w.top-index >= WindowSize
}

// fresh reports whether index is neither seen nor too old.
func (w *window) fresh(index uint64) bool {
	if !w.started || index > w.top {
		return true
	}
	if w.behind(index) {
		return false
	}
	return w.bits[index/64%uint64(len(w.bits))]>>(index%64)&1 == 0
}

// mark remembers index, which must be fresh. From the first one on the key serves as many as its lifetime says.
func (w *window) mark(index, lifetime uint64) {
	size := uint64(len(w.bits))
	if !w.started {
		w.started, w.top = true, index
		w.end = min(w.end, index+lifetime)
	}
	if index > w.top {
		for i, n := w.top/64+1, min(index/64-w.top/64, size); n > 0; i, n = i+1, n-1 {
			w.bits[i%size] = 0
		}
		w.top = index
	}
	w.bits[index/64%size] |= 1 << (index % 64)
}

// stream is the state of one SSRC. What a packet of RTP needs comes first: 64 octets, a line of memory.
type stream struct {
	rtp  window
	ssrc uint32
	rtcp window
}

// guess returns the index of a packet from its sequence number: the one nearest to the highest seen, and of
// two as near the one with the same rollover counter (RFC 3711 section 3.3.1). Before the first rollover there
// is nothing below 0, so what would be is taken as ahead.
func (s *stream) guess(seq uint16) uint64 {
	const half = 1 << 15
	index := s.rtp.top&^0xffff | uint64(seq)
	if !s.rtp.started {
		return index
	}
	top := int(uint16(s.rtp.top))
	switch ahead := int(seq) - top; {
	case ahead < -half:
		return index + 1<<16
	case ahead > half && index >= 1<<16:
		return index - 1<<16
	}
	return index
}

// streams finds the state of an SSRC. A call has one or two; the last one used is tried first. It has to stay where it is.
type streams struct {
	last *stream // nil for none
	// lifetime is how many packets of a stream the key serves; 0 once it is used up.
	lifetime uint64
	spare    *stream
	first    stream // memory of the one that most keys have
	one      [1]*stream
	all      []*stream
}

func (t *streams) find(ssrc uint32) *stream {
	if t.last != nil && t.last.ssrc == ssrc {
		return t.last
	}
	for _, s := range t.all {
		if s.ssrc == ssrc {
			t.last = s
			return s
		}
	}
	return nil
}

// candidate returns the state of ssrc, or a blank one that counts only once commit is called: an SSRC is not
// authentic before its packet is. Nil means that MaxStreams are in use.
func (t *streams) candidate(ssrc uint32) *stream {
	if s := t.find(ssrc); s != nil {
		return s
	}
	if len(t.all) >= MaxStreams {
		return nil
	}
	if t.spare == nil {
		t.spare = t.blank()
	}
	t.spare.ssrc = ssrc
	t.spare.rtp.live(t.lifetime, maxIndex+1)
	t.spare.rtcp.live(t.lifetime, maxRTCPIndex+1)
	return t.spare
}

func (t *streams) blank() *stream {
	if len(t.all) == 0 {
		return &t.first
	}
	return new(stream)
}

func (t *streams) commit(s *stream) {
	if s == t.spare {
		t.spare = nil
		t.add(s)
	}
}

func (t *streams) add(s *stream) {
	if t.all == nil {
		t.all = t.one[:0]
	}
	t.all, t.last = append(t.all, s), s
}

// follow begins with copies of what another key's streams are at.
func (t *streams) follow(other *streams) {
	*t = streams{lifetime: other.lifetime}
	for _, s := range other.all {
		next := t.blank()
		*next = *s
		t.add(next)
	}
}
