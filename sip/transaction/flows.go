package transaction

import (
	"sync"

	"carillon/sip/transport"
)

// flowIndex finds the client transactions that wait for an answer on a connection, so that the
// loss of one costs what hangs on it and not a look at every transaction. UDP flows are not in it.
type flowIndex struct {
	mu    sync.Mutex
	first map[transport.Flow]*Client
}

func (x *flowIndex) add(c *Client) {
	if !c.flow.Proto().Reliable() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.next = x.first[c.flow]; c.next != nil {
		c.next.prev = c
	}
	x.first[c.flow] = c
}

func (x *flowIndex) remove(c *Client) {
	if !c.flow.Proto().Reliable() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case x.first[c.flow] != c:
		return // removed before
	case c.next != nil:
		x.first[c.flow] = c.next
	default:
		delete(x.first, c.flow)
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// on returns the transactions of a flow, the latest first.
func (x *flowIndex) on(f transport.Flow) (clients []*Client) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := x.first[f]; c != nil; c = c.next {
		clients = append(clients, c)
	}
	return clients
}
