package sbc

import (
	"math/rand/v2"
	"testing"
)

// FuzzCall lets both sides of a call, strangers, the network and the node's own events happen in any order: the first
// octets of the input say what kind of call it is, each two that follow are one event. Whatever comes, what mess.check
// looks at holds.
func FuzzCall(f *testing.F) {
	for _, kind := range [][2]byte{{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 1}, {5, 1}, {6, 2}, {7, 3}, {0x41, 1}, {0x87, 0}, {1, 0x20}, {3, 0x20}, {2, 0x10}, {0, 2}, {1, 2}} {
		for _, story := range stories {
			f.Add(append(kind[:], story.bytes()...))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= 2+2*maxSteps {
			chaos(t, b)
		}
	})
}

// maxSteps bounds the events of one call: a finding of more would be hard to read.
const maxSteps = 40

// TestRandomCalls is FuzzCall with inputs of its own, for every run of the tests.
func TestRandomCalls(t *testing.T) {
	n := 1500
	if testing.Short() {
		n = 400
	}
	reached := map[string]int{}
	for seed := range n {
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		b := make([]byte, 2)
		b[0], b[1] = byte(random.Uint32()), byte(random.Uint32())
		if seed%2 == 0 { // the beginning of an ordinary call, so that much of what happens happens inside of one
			b = append(b, stories[random.IntN(len(stories))].bytes()...)
		}
		for n := len(b) + 2*random.IntN(maxSteps); len(b) < n; {
			if random.IntN(8) == 0 { // a piece of another story, as it comes
				piece := stories[random.IntN(len(stories))].bytes()
				b = append(b, piece[2*random.IntN(1+len(piece)/2):]...)
				continue
			}
			b = append(b, byte(random.Uint32()), byte(random.Uint32()))
		}
		b = b[:min(len(b), 2+2*maxSteps)]
		for what := range chaos(t, b) {
			reached[what]++
		}
		if t.Failed() {
			t.Fatalf("seed %d, input %#v", seed, b)
		}
	}
	// Calls that all fail at once would prove nothing.
	for _, what := range []string{"answered", "inbound", "inside", "encrypted", "cancelled", "re-INVITE", "late offer", "reliable", "forked", "failover", "media confirmed", "transferred", "two sides"} {
		if reached[what] < n/100 {
			t.Errorf("%q happened in %d of %d calls; want one in a hundred at least", what, reached[what], n)
		}
	}
}

// story is a beginning that random events seldom find.
type story []struct {
	what string
	arg  byte
}

var stories = []story{
	{},
	{{"callee answers", ok}, {"caller sends ACK", 0}},
	{{"callee answers", ringing183}, {"callee answers", ok}, {"caller sends ACK", 0}, {"caller sends re-INVITE", 0}, {"callee answers what is open", ok}, {"caller sends ACK", 0}},
	{{"callee answers reliably", 0}, {"caller sends PRACK", 0}, {"callee answers", ok}, {"caller sends ACK", 0}, {"callee sends re-INVITE", 0}, {"caller answers what is open", ok}},
	{{"callee answers", ringing180}, {"caller cancels", 0}, {"callee answers", ok}},
	{{"callee answers", unavailable}, {"callee answers", ok}, {"caller sends ACK", 0}, {"callee forks", 1}, {"caller sends BYE", 0}},
	{{"callee answers", ok}, {"caller sends ACK", 0}, {"caller moves", 0}, {"caller sends re-INVITE", 0}, {"callee answers what is open", ok}, {"the caller's connection closes", 0}, {"callee sends BYE", 0}},
	{{"callee answers", ok}, {"caller sends ACK", 0}, {"caller sends something", refer}, {"callee answers", ok}, {"callee answers what is open", ok}, {"caller answers what is open", ok}},
	{{"callee answers", ok}, {"caller sends ACK", 0}, {"callee sends something", refer}, {"callee answers", ok}, {"caller answers what is open", ok}, {"callee answers what is open", ok}},
	// The target fails in the middle of a change, and the time that one had ends in the call with the next.
	{{"callee answers reliably", 0}, {"caller sends PRACK", 0}, {"caller sends UPDATE", 0}, {"callee answers", unavailable}, {"callee answers", ok}, {"caller sends ACK", 0}, {"time passes", minutes}},
	// A session is changed by late offers from both sides, and once more while the first one waits for its ACK.
	{{"callee answers", ok}, {"caller sends ACK", 0}, {"caller sends re-INVITE", late}, {"callee answers what is open", ok}, {"callee sends re-INVITE", late}, {"caller sends ACK of its newest", 0}, {"callee sends re-INVITE", late}, {"caller answers what is open", ok}, {"callee sends ACK", 0}},
	{{"callee answers", ringing180}, {"time passes", 3}, {"callee answers", ok}, {"a stranger sends", 1}, {"caller sends ACK", 0}},
}

// bytes writes a story as fuzzing would.
func (s story) bytes() (b []byte) {
	for _, e := range s {
		b = append(b, happening(e.what), e.arg)
	}
	return b
}

// happening is the number of what can happen.
func happening(what string) byte {
	for i, h := range happenings {
		if h.what == what {
			return byte(i)
		}
	}
	panic("nothing is called " + what)
}
