package transaction

import (
	"strconv"
	"testing"
	"time"

	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// FuzzMachines lets the octets of its input choose what peer, user and time do next, in any
// order. Nothing may panic, no transaction may give two final answers, and time clears all.
func FuzzMachines(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add([]byte{0x80, 0, 9, 5, 0x20, 11, 10, 4})
	f.Add([]byte{3, 0x43, 9, 9, 0x89, 6, 7, 8, 0xc9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 200 {
			return
		}
		x := &machineFuzz{harness: newHarness(t, []transport.Proto{transport.UDP, transport.TLS}[len(ops)%2], Timers{})}
		x.onNew = func(tx *Server, req *sip.Message) {
			x.servers, x.requests = append(x.servers, tx), append(x.requests, req.Clone())
		}
		for _, op := range ops {
			x.do(op&15, int(op>>4))
		}
		for _, tx := range x.servers {
			tx.Drop()
		}
		for _, c := range x.clients {
			c.Cancel("")
		}
		x.clock.Advance(time.Hour)
		for _, c := range x.clients {
			if c.state == stateProceeding {
				c.Abandon() // it rings, and nobody hangs up
			}
		}
		x.wantEmpty()
	})
}

type machineFuzz struct {
	*harness
	servers  []*Server
	requests []*sip.Message
	clients  []*Client
}

// do does operation op to the nth of what there is.
func (x *machineFuzz) do(op byte, n int) {
	methods := []string{"INVITE", "BYE", "ACK", "CANCEL"}
	switch {
	case op < 4:
		x.send(siptest.Request{Method: methods[op], Branch: "z9hG4bK" + strconv.Itoa(n), Transport: x.far.Proto().String()}.Bytes())
	case op >= 4 && op < 9 && len(x.servers) > 0:
		x.actAsUser(op, n%len(x.servers))
	case op == 9:
		x.clients = append(x.clients, x.start(methods[n%2], nil))
	case op >= 10 && op < 13 && len(x.clients) > 0:
		x.actAsPeer(op, n%len(x.clients))
	case op == 13:
		x.clock.Advance(time.Duration(n) * time.Second)
	case op == 14:
		x.near.LoseFirst(n)
	case op == 15:
		x.layer.Closed(x.near.Flow(), nil)
	}
}

func (x *machineFuzz) actAsUser(op byte, i int) {
	tx, req := x.servers[i], x.requests[i]
	code := map[byte]int{4: 180, 5: 200, 6: 486}[op]
	switch {
	case op == 7:
		tx.Acked()
	case op == 8:
		tx.MoveTo(x.near.Flow())
	case tx.Respond(siptest.Response(x.t, req, code, "near")) == nil && code >= 200:
		if code == 486 && tx.Respond(siptest.Response(x.t, req, 200, "near")) == nil {
			x.t.Error("two final answers")
		}
	}
}

func (x *machineFuzz) actAsPeer(op byte, i int) {
	c := x.clients[i]
	code := map[byte]int{10: 180, 11: 200, 12: 486}[op]
	req := siptest.Request{Method: c.Method().String(), Branch: c.Branch(), Transport: x.far.Proto().String()}
	x.send(siptest.Response(x.t, req.Message(x.t), code, "far"))
}
