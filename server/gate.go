package server

import (
	"sync"

	"carillon/sbc"
	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// gate hands what the transport reads to the transactions. Sockets are bound before signalling is built, because the
// ports they got are part of what it is built from; until then readers wait at the gate.
type gate struct {
	once   sync.Once
	opened chan struct{}
	layer  *transaction.Layer
	sbc    *sbc.Server
}

var _ transport.Handler = (*gate)(nil)

func newGate() *gate { return &gate{opened: make(chan struct{})} }

// open lets messages through.
func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

// Receive implements transport.Handler.
func (g *gate) Receive(f transport.Flow, m *sip.Message) {
	if <-g.opened; g.layer != nil {
		g.layer.Receive(f, m)
	}
}

// Malformed implements transport.Handler.
func (g *gate) Malformed(f transport.Flow, m *sip.Message, err *sip.ParseError) {
	if <-g.opened; g.sbc != nil {
		g.sbc.Malformed(f, m, err)
	}
}

// Closed implements transport.Handler.
func (g *gate) Closed(f transport.Flow, err error) {
	if <-g.opened; g.layer != nil {
		g.layer.Closed(f, err)
	}
}
