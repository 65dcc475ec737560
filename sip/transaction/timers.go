package transaction

import "time"

// Timers are the durations of RFC 3261 table 4 and RFC 6026 §7. A field that is 0 takes its
// value from the ones it is derived from. On reliable flows retransmissions and the waits D, I,
// J and K do not happen.
type Timers struct {
	T1 time.Duration // round-trip estimate: 500 ms; first interval of timers A, E and G
	T2 time.Duration // longest interval between retransmissions of E and G: 4 s
	T4 time.Duration // how long a message may live in the network: 5 s

	B time.Duration // INVITE client, no response at all: 64*T1. Shorten it to give up a silent target
	D time.Duration // INVITE client, absorbing repeated failures: 64*T1, at least 32 s
	F time.Duration // non-INVITE client, no final response: 64*T1
	H time.Duration // INVITE server, waiting for ACK: 64*T1
	I time.Duration // INVITE server, absorbing repeated ACKs: T4
	J time.Duration // non-INVITE server, absorbing repeated requests: 64*T1
	K time.Duration // non-INVITE client, absorbing repeated responses: T4
	L time.Duration // INVITE server after 2xx: 64*T1
	M time.Duration // INVITE client after 2xx: 64*T1
	// Late is how long an INVITE client goes on listening after B: 0, not at all. It repeats nothing
	// then; a late provisional response brings a CANCEL, a late 2xx is its user's to end.
	Late time.Duration
	// Cancelled is how long an INVITE client waits for its final response after CANCEL: 64*T1
	// (RFC 3261 §9.1).
	Cancelled time.Duration
}

// Defaults of RFC 3261 §17.1.1.1.
const (
	DefaultT1 = 500 * time.Millisecond // estimate of a round trip: the first repeat, and 64 of it the longest wait for an answer
	DefaultT2 = 4 * time.Second        // longest pause between repeats of a request that is no INVITE
	DefaultT4 = 5 * time.Second        // how long a message may stay in the network

	minD = 32 * time.Second
)

// DefaultTimers returns the durations of the standards.
func DefaultTimers() Timers { return Timers{}.withDefaults() }

func (t Timers) withDefaults() Timers {
	or := orDefault
	or(&t.T1, DefaultT1)
	or(&t.T2, DefaultT2)
	or(&t.T4, DefaultT4)
	or(&t.B, 64*t.T1)
	or(&t.D, max(64*t.T1, minD))
	or(&t.F, 64*t.T1)
	or(&t.H, 64*t.T1)
	or(&t.I, t.T4)
	or(&t.J, 64*t.T1)
	or(&t.K, t.T4)
	or(&t.L, 64*t.T1)
	or(&t.M, 64*t.T1)
	or(&t.Cancelled, 64*t.T1)
	return t
}

// over returns t with its zero fields taken from base.
func (t Timers) over(base Timers) Timers {
	or := orDefault
	or(&t.T1, base.T1)
	or(&t.T2, base.T2)
	or(&t.T4, base.T4)
	or(&t.B, base.B)
	or(&t.D, base.D)
	or(&t.F, base.F)
	or(&t.H, base.H)
	or(&t.I, base.I)
	or(&t.J, base.J)
	or(&t.K, base.K)
	or(&t.L, base.L)
	or(&t.M, base.M)
	or(&t.Cancelled, base.Cancelled)
	or(&t.Late, base.Late)
	return t
}

func orDefault(v *time.Duration, def time.Duration) {
	if *v <= 0 {
		*v = def
	}
}
