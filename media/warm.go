package media

import "unsafe"

const (
	// maxTogether is how many packets are prepared for together: so many that the processor waits for all of them at once, and so
	// few that what the first one needs, some 40 lines, is still in the nearest cache when the last one's has come.
	maxTogether = 16
	// cacheLine is what a processor fetches at once, in octets.
	cacheLine = 64
)

// warm fetches what the next packets will need, one of each leg; nil stands for a packet of no leg. Between two packets of a
// stream come those of a thousand others, and what the stream needs has left the processor's nearer caches. The packet path
// would find that out line after line, as one leads to the next; here the processor waits for those of many packets at the
// same time. Nothing is decided here and nothing changed: without it packets take the same way, more slowly.
func (w *worker) warm(legs []*leg) {
	var paths, fars [maxTogether]*path
	legs = legs[:min(len(legs), maxTogether)]
	sum := byte(0)
	for i, lg := range legs {
		if lg != nil {
			paths[i] = lg.path.Load()
			far := lg.far
			fars[i] = far.path.Load()
			sum += touch(unsafe.Pointer(&lg.hearing), unsafe.Sizeof(lg.hearing))
			sum += byte(lg.count.received.Load()) + byte(far.count.sent.Load())
		}
	}
	for i, p := range paths[:len(legs)] {
		if p != nil {
			sum += byte(p.rate) + byte(legs[i].latches[0].index)
		}
		if p := fars[i]; p != nil {
			far := legs[i].far
			sum += byte(p.rate) + byte(far.latches[0].index) + byte(far.pair.rtp.local.Port())
		}
	}
	w.warmed = sum + warmKeys(paths[:len(legs)], fars[:len(legs)])
}

// warmKeys fetches what protection needs, and where packets go: the receivers of the paths on which they come, the senders
// and latches of those on which they leave.
func warmKeys(paths, fars []*path) (sum byte) {
	for i, p := range paths {
		if p != nil {
			sum += byte(p.rtp.index)
			if p.receiver != nil {
				sum += p.receiver.Near()
			}
		}
		if p := fars[i]; p != nil {
			sum += byte(p.rtp.index)
			if p.sender != nil {
				sum += p.sender.Near()
			}
		}
	}
	for i, p := range paths {
		if p != nil && p.receiver != nil {
			sum += p.receiver.Warm()
		}
		if p := fars[i]; p != nil && p.sender != nil {
			sum += p.sender.Warm()
		}
	}
	return sum
}

// touch reads one octet of each line, and nothing where there is nothing. The sum has no meaning; it keeps the compiler from
// leaving the reads out.
func touch(p unsafe.Pointer, size uintptr) (sum byte) {
	if p == nil {
		return 0
	}
	for at := uintptr(0); at < size; at += cacheLine {
		sum += *(*byte)(unsafe.Add(p, at))
	}
	return sum
}
