// Package transaction runs the four state machines of SIP transactions (RFC 3261 §17, RFC 6026).
//
// A [Layer] sits between transport flows and a transaction user, its [Core]. It absorbs
// retransmissions, sends its own over unreliable flows, matches responses, ACK and CANCEL to
// their transactions and tells the user what happened as [Event] values. One transaction's sends
// and events keep their order and are made without any lock held; all time comes from a clock
// that tests can move.
//
// Everything is bounded: the number of transactions on either side, and what one transaction
// keeps, which for a finished one is its response alone.
package transaction
