package sbc

import (
	"sync/atomic"

	"carillon/call"
)

// Stats counts what the plane did. All fields only grow.
type Stats struct {
	Calls         atomic.Uint64 // calls let in
	Answered      atomic.Uint64 // of these, answered
	Options       atomic.Uint64 // OPTIONS answered with 200
	Other         atomic.Uint64 // requests of methods that are not served
	Malformed     atomic.Uint64 // messages that broke the protocol
	Silent        atomic.Uint64 // answers not sent, because they would have been larger than the request
	Strays        atomic.Uint64 // responses and ACKs that belong to nothing
	SendErrors    atomic.Uint64 // stateless answers that could not be sent
	PlainDrops    atomic.Uint64 // in-dialog requests dropped because they came in the clear to an encrypted leg
	Overflows     atomic.Uint64 // events refused because a call's mailbox was full, and messages above repeatRate
	Unrecorded    atomic.Uint64 // refusals that were not recorded because of maxRefusalRecords or maxChallenged
	Panics        atomic.Uint64 // faults of this program, each of which ended a call or left a message without an answer
	RecordFails   atomic.Uint64 // records that could not be written
	Probes        atomic.Uint64 // OPTIONS sent to carriers' targets
	ProbeFails    atomic.Uint64 // of these, not answered
	Widened       atomic.Uint64 // requests sent over TCP because they were too long for UDP
	NoTCP         atomic.Uint64 // peers found to take no TCP, who get such requests over UDP
	Regained      atomic.Uint64 // callers that were answered over another connection, because theirs was gone
	Transfers     atomic.Uint64 // calls begun because a customer transferred one
	TransferFails atomic.Uint64 // transfers after which the call went on as it was, or ended
	ReferRefusals atomic.Uint64 // REFERs that the connector's setting, or a rule for numbers, does not let a call's side send
	Transferred   atomic.Uint64 // parties that went over from one call into another

	refusals [256]atomic.Uint64
	endings  [256]atomic.Uint64
}

func (s *Stats) refused(r call.Reason) { s.refusals[r].Add(1) }
func (s *Stats) ended(r call.Reason)   { s.endings[r].Add(1) }

// Refused returns how many requests were refused for a reason.
func (s *Stats) Refused(r call.Reason) uint64 { return s.refusals[r].Load() }

// Ended returns how many calls ended with a reason.
func (s *Stats) Ended(r call.Reason) uint64 { return s.endings[r].Load() }

// Stats returns the counters, which go on counting.
func (s *Server) Stats() *Stats { return &s.stats }

// Active returns the number of calls up.
func (s *Server) Active() int { return s.actives.now() }
