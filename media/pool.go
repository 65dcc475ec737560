package media

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"
)

// sweepShare is the part of the drain time between two looks at the pairs that drain: often enough that those of a busy
// node become idle a few at a time, and not so many at once that most are closed again.
const sweepShare = 64

// reuse fills out with idle pairs of l taken at random while more than spare are idle, and returns how many there were.
func (p *ports) reuse(a *addrPorts, l *loop, spare int, out []*pair) (had int, err error) {
	for range pickTries {
		var b [4 * maxAtOnce]byte
		if _, err := io.ReadFull(p.rand, b[:4*len(out)]); err != nil {
			return had, fmt.Errorf("choose media ports: %w", err)
		}
		picked := p.pick(a, l, spare, b[:], out)
		good := p.silent(out[:picked])
		p.reused.Add(uint64(good))
		for _, pr := range out[:good] {
			p.bring(pr, l)
		}
		had, out = had+good, out[good:]
		if p.again(out[:picked-good]); len(out) == 0 || picked == 0 {
			break
		}
	}
	return had, nil
}

// again has pairs drain once more that somebody has sent to.
func (p *ports) again(pairs []*pair) {
	if len(pairs) == 0 {
		return
	}
	p.strayed.Add(uint64(len(pairs)))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, pr := range pairs {
		p.drain(pr, p.cfg.Clock.Now())
		pairs[i] = nil
	}
}

// pick takes idle pairs of l, as random says, and returns how many. With nothing to spare it takes another loop's when l has none.
func (p *ports) pick(a *addrPorts, l *loop, spare int, random []byte, out []*pair) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0
	}
	from := l
	if spare == 0 && len(a.idle[l]) == 0 {
		for other, idle := range a.idle {
			if len(idle) > 0 {
				from = other
			}
		}
	}
	idle := a.idle[from]
	n := 0
	for ; n < len(out) && len(idle) > spare; n++ {
		i, last := int(binary.BigEndian.Uint32(random[4*n:])%uint32(len(idle))), len(idle)-1
		out[n] = idle[i]
		idle[i], idle[last] = idle[last], nil
		idle = idle[:last]
		p.turn(out[n], pairUsed)
	}
	if n > 0 {
		a.idle[from] = idle
	}
	return n
}

// silent puts the pairs first that nobody has sent to of late and returns how many they are. What waits in the sockets of the
// others is thrown away: it was for another call.
func (p *ports) silent(pairs []*pair) (good int) {
	since := p.cfg.Clock.Now().Sub(p.relay.epoch) - p.cfg.DrainTime
	nothing := p.relay.nothing(pairs)
	for i, pr := range pairs {
		if (nothing || p.relay.empty(pr)) && pr.quietSince(since) {
			pairs[i], pairs[good] = pairs[good], pr
			good++
		}
	}
	return good
}

// bring moves a pair to l if it belongs to another loop.
func (p *ports) bring(pr *pair, l *loop) *pair {
	if pr.loop != l {
		p.relay.move(pr, l)
		p.mu.Lock()
		pr.loop = l
		p.mu.Unlock()
	}
	return pr
}

// hurry takes a pair that still drains, for want of any other: one that has been quiet for MinDrainTime, or else one
// whose call ended a whole drain time ago.
func (p *ports) hurry(a *addrPorts, l *loop) *pair {
	pr := p.pickDraining(a)
	if pr == nil {
		return nil
	}
	p.relay.empty(pr)
	p.hurried.Add(1)
	return p.bring(pr, l)
}

func (p *ports) pickDraining(a *addrPorts) *pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	now := p.cfg.Clock.Now()
	least := min(MinDrainTime, p.cfg.DrainTime)
	quiet := now.Sub(p.relay.epoch) - least
	for i, pr := range a.draining[:min(pickTries, len(a.draining))] {
		if now.Sub(pr.ended) >= least && pr.quietSince(quiet) || now.Sub(pr.ended) >= p.cfg.DrainTime {
			a.draining = slices.Delete(a.draining, i, i+1)
			p.turn(pr, pairUsed)
			return pr
		}
	}
	return nil
}

// sweepDrained is the timer's: it makes pairs idle whose drain time is over, and closes those that are not worth keeping.
func (p *ports) sweepDrained() {
	p.mu.Lock()
	now, next := p.cfg.Clock.Now(), time.Duration(0)
	var surplus []*pair
	for _, a := range p.on {
		surplus = p.settle(a, now, surplus)
		if len(a.draining) > 0 {
			left := a.draining[0].queued.Add(p.cfg.DrainTime).Sub(now)
			if next == 0 || left < next {
				next = left
			}
		}
	}
	p.sweep = nil
	if next > 0 && !p.closed {
		p.sweep = p.cfg.Clock.AfterFunc(max(next, p.cfg.DrainTime/sweepShare), p.sweepDrained)
	}
	p.mu.Unlock()
	for _, pr := range surplus {
		p.relay.remove(pr, func() { p.forget(pr) })
	}
}

// settle makes the pairs of an address idle that have drained, and adds those to close to surplus. It is called with
// the lock held.
func (p *ports) settle(a *addrPorts, now time.Time, surplus []*pair) []*pair {
	quiet := now.Sub(p.relay.epoch) - p.cfg.DrainTime
	for n := len(a.draining); n > 0 && now.Sub(a.draining[0].queued) >= p.cfg.DrainTime; n-- {
		pr := a.draining[0]
		a.draining[0] = nil
		a.draining = a.draining[1:]
		switch {
		case !pr.quietSince(quiet):
			p.strayed.Add(1)
			pr.queued = now
			a.draining = append(a.draining, pr)
		case pr.uses >= maxUses || p.count[pairIdle] >= MaxIdlePairs:
			p.turn(pr, pairClosing)
			surplus = append(surplus, pr)
		default:
			p.turn(pr, pairIdle)
			a.idle[pr.loop] = append(a.idle[pr.loop], pr)
		}
	}
	return surplus
}
