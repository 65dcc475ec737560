package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"carillon/bench/party"
)

// optionsRequest is the n-th OPTIONS to the system's own name.
func optionsRequest(w *party.Wire, domain string, n int) []byte {
	return fmt.Appendf(nil, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK-o-%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:ping@%s>;tag=p%d\r\nTo: <sip:%s>\r\nCall-ID: o-%d-%d@bench\r\nCSeq: 1 OPTIONS\r\nContact: <sip:ping@%s>\r\n"+
		"Accept: application/sdp\r\nUser-Agent: bench, which pads this request to the length of others\r\nContent-Length: 0\r\n\r\n",
		domain, w.Proto, w.Local, n, domain, n, domain, n, time.Now().UnixNano(), w.Local)
}

// optionsResult is what became of OPTIONS at one rate.
type optionsResult struct {
	sent, answered int
	each           time.Duration // processor time
}

// askOptions sends OPTIONS at a rate for a while, from one socket over UDP, and counts those answered with 200.
func askOptions(s system, rate float64, length time.Duration) (optionsResult, error) {
	var answered atomic.Int64
	w, err := party.OverUDP(party.CallerHost, s.Address(false), func(m party.Message) {
		if m.Status() == 200 {
			answered.Add(1)
		}
	})
	if err != nil {
		return optionsResult{}, err
	}
	defer w.Close()
	before, err := party.UsageOf(s.Processes())
	if err != nil {
		return optionsResult{}, err
	}
	n, begun := int(rate*length.Seconds()), time.Now()
	for i := range n {
		// Several at a time: a timer for each would be what is measured.
		if due := begun.Add(time.Duration(float64(i) / rate * float64(time.Second))); i%8 == 0 {
			time.Sleep(time.Until(due))
		}
		_ = w.Write(optionsRequest(w, s.Realm(), i))
	}
	for end := time.Now().Add(time.Second); answered.Load() < int64(n) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	after, err := party.UsageOf(s.Processes())
	r := optionsResult{sent: n, answered: int(answered.Load())}
	r.each = (after.Processor - before.Processor) / time.Duration(max(r.answered, 1))
	return r, err
}
