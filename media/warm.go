package media

import (
	"unsafe"

	"carillon/cacheline"
)

const (
	// maxTogether is how many packets are prepared for together, those of a turn, most times: what leads to what is found step by step,
	// and at each step the processor fetches for all of them side by side. That is more than the nearest cache has room for; the next one
	// has.
	maxTogether = 64
	// keysAhead is how many packets before its turn a packet's ciphers are fetched: so many that they come in time, and so few
	// that the nearest cache still has them then.
	keysAhead = 5
)

// warm has the processor fetch what the next packets will need, one of each leg; nil stands for a packet of no leg. Ciphers are
// fetched for the first keysAhead alone; the others are warmKeys's. Nothing is decided here and nothing changed: without
// it packets take the same way, more slowly.
func warm(legs []*leg) {
	for _, lg := range legs {
		if lg != nil {
			cacheline.Fetch(unsafe.Pointer(&lg.path), legLines)
		}
	}
	for _, lg := range legs {
		if lg != nil {
			cacheline.Fetch(unsafe.Pointer(lg.path.Load()), 1)
			cacheline.Fetch(unsafe.Pointer(&lg.far.path), 1)
			cacheline.Fetch(unsafe.Pointer(&lg.far.count), 1)
		}
	}
	for _, lg := range legs {
		if lg == nil {
			continue
		}
		if p := lg.path.Load(); p != nil {
			cacheline.Fetch(unsafe.Pointer(p.rtp), 1)
			if p.receiver != nil {
				p.receiver.Near()
			}
		}
		if p := lg.far.path.Load(); p != nil {
			cacheline.Fetch(unsafe.Pointer(p), 1)
			cacheline.Fetch(unsafe.Pointer(lg.far.pair), 1)
		}
	}
	for _, lg := range legs {
		if lg == nil {
			continue
		}
		if p := lg.far.path.Load(); p != nil {
			cacheline.Fetch(unsafe.Pointer(p.rtp), 1)
			if p.sender != nil {
				p.sender.Near()
			}
		}
	}
	for i := range min(keysAhead, len(legs)) {
		legs[i].warmKeys()
	}
}

// legLines are those that a leg's packets read from its path on.
const legLines = 6

// warmKeys has the processor fetch what the ciphers of a leg's next packet need: the receiver of the path on which it comes, the
// sender of the one on which it leaves.
func (lg *leg) warmKeys() {
	if lg == nil {
		return
	}
	if p := lg.path.Load(); p != nil && p.receiver != nil {
		p.receiver.Warm()
	}
	if p := lg.far.path.Load(); p != nil && p.sender != nil {
		p.sender.Warm()
	}
}
