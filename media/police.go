package media

const (
	// DefaultPacketRate is how many RTP or UDPTL packets of a side are relayed in a second: three times what a voice codec
	// with packets of 10 ms sends. What comes above it is dropped and counted in carillon_media_dropped_total as policed.
	DefaultPacketRate = 300
	// MaxRTCPRate is the same for RTCP, of which a side sends one in 5 s (RFC 3550 section 6.2), and some more where it
	// gives feedback.
	MaxRTCPRate = 50
	// MaxStrangerRate is how many packets a second that come from elsewhere than the peer are examined on a protected
	// leg. One of them may be the peer's, from a new address; those above it are policed without any cryptography.
	MaxStrangerRate = 100
)

// budget lets so many pass in each second.
type budget struct {
	second int64
	used   uint32
}

func (b *budget) take(second int64, most uint32) bool {
	if b.second != second {
		b.second, b.used = second, 0
	}
	b.used++
	return b.used <= most
}

// police drops a packet that is one too many.
func (lg *leg) police(w *worker) {
	lg.count.policed.Add(1)
	w.stats.policed.Add(1)
}
