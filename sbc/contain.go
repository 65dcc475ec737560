package sbc

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transaction"
)

// A fault in this program that one peer's message brings out must not be the end of everybody's calls. A panic ends the call
// that is worked on, or leaves the message that is judged without an answer, and is logged and counted. What is shared is
// guarded by locks that are given back on the way out, and what is a call's own nobody else looks at. Beneath, in
// transactions and transport, there is no such boundary: the process ends.

// guard runs a part of a call's work. One that panics ends the call.
func (c *activeCall) guard(e event, work func()) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		c.s.panicked(c.log, v)
		if e.kind == evRequest && e.tx != nil {
			c.s.answerStateless(e.tx, e.msg, 500) // refused where it has its answer already
		}
		defer func() {
			if v := recover(); v != nil {
				c.s.panicked(c.log, v) // it stays as it is until somebody hangs up
			}
		}()
		c.end(call.Refuse(call.ReasonInternal, ""), "node")
	}()
	work()
}

// survive is deferred around what judges a message. Only a request has a transaction.
func (s *Server) survive(tx *transaction.Server, m *sip.Message) {
	v := recover()
	if v == nil {
		return
	}
	s.panicked(s.log.With("method", string(m.MethodToken())), v)
	if tx != nil {
		tx.Drop()
	}
}

// panicked logs and counts a panic. The stack has addresses and no text of any message.
func (s *Server) panicked(l *slog.Logger, v any) {
	s.stats.Panics.Add(1)
	l.Error("panic", "what", fmt.Sprint(v), "stack", string(debug.Stack()))
}
