package transaction

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// harness is a layer on one end of a wire and a hand-driven peer on the other.
type harness struct {
	t     *testing.T
	clock *clocktest.Fake
	layer *Layer
	near  *siptest.End // the layer's
	far   *siptest.End // the peer's

	mu     sync.Mutex
	log    []string // what the user was told, with times
	server *Server  // the latest
	onNew  func(*Server, *sip.Message)
}

func newHarness(t *testing.T, proto transport.Proto, timers Timers) *harness {
	t.Helper()
	h := &harness{t: t, clock: clocktest.New()}
	layer, err := New(Config{Core: h, Clock: h.clock, Timers: timers})
	if err != nil {
		t.Fatal(err)
	}
	h.layer = layer
	h.near, h.far = siptest.Wire(proto, h.clock)
	h.near.Attach(layer)
	return h
}

func (h *harness) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, h.clock.Now().Sub(clocktest.Epoch).String()+" "+fmt.Sprintf(format, args...))
}

func (h *harness) Request(tx *Server, req *sip.Message) {
	h.note("new %s", req.MethodToken())
	h.mu.Lock()
	h.server = tx
	h.mu.Unlock()
	tx.Bind("tag-"+string(req.MethodToken()), h.event)
	if h.onNew != nil {
		h.onNew(tx, req)
	}
}

func (h *harness) Ack(_ transport.Flow, m *sip.Message) { h.note("core ACK") }

func (h *harness) Stray(_ transport.Flow, m *sip.Message) { h.note("stray %d", m.Status()) }

func (h *harness) event(e Event) {
	switch {
	case e.Kind == Response:
		h.note("%d", e.Message.Status())
	case e.Err != nil:
		h.note("%v: %v", e.Kind, e.Err)
	default:
		h.note("%v", e.Kind)
	}
}

// send has the peer send bytes to the layer.
func (h *harness) send(b []byte) {
	h.t.Helper()
	if err := h.far.Flow().Send(b); err != nil {
		h.t.Fatal(err)
	}
}

// start has the layer send a request.
func (h *harness) start(method string, timers *Timers) *Client {
	h.t.Helper()
	branch := h.layer.NewBranch()
	b := siptest.Request{Method: method, Branch: branch, Transport: h.near.Proto().String(),
		Headers: []string{"Route: <sip:192.0.2.2;lr>", "Proxy-Authorization: Digest username=\"u\""}}.Bytes()
	c, err := h.layer.Start(Outgoing{Flow: h.near.Flow(), Bytes: b, Method: sip.ParseMethod([]byte(method)), Branch: branch,
		OnEvent: h.event, Timers: timers})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// answer has the peer answer the first message the layer sent.
func (h *harness) answer(code int) {
	h.t.Helper()
	h.send(siptest.Response(h.t, siptest.Parse(h.t, h.near.Sent()[0].Data), code, "far"))
}

// reply has the layer's user answer req.
func (h *harness) reply(req siptest.Request, code int) error {
	h.t.Helper()
	return h.server.Respond(siptest.Response(h.t, req.Message(h.t), code, "near"))
}

func (h *harness) wantSent(want ...string) {
	h.t.Helper()
	if got := h.near.Log(); !slices.Equal(got, want) {
		h.t.Errorf("sent\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (h *harness) wantTold(want ...string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.log, want) {
		h.t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(h.log, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// wantEmpty checks that nothing is left of any transaction.
func (h *harness) wantEmpty() {
	h.t.Helper()
	if s, c := h.layer.stats.ServerNow.Load(), h.layer.stats.ClientNow.Load(); s != 0 || c != 0 {
		h.t.Errorf("%d server and %d client transactions left", s, c)
	}
	for _, tab := range []interface{ left() (int, int) }{h.layer.servers, h.layer.clients} {
		if byKey, waits := tab.left(); byKey != 0 || waits != 0 {
			h.t.Errorf("%d transactions and %d waits left in a table", byKey, waits)
		}
	}
	if n := len(h.layer.flows.first); n != 0 {
		h.t.Errorf("%d flows left in the index", n)
	}
}

func (t *table[T]) left() (byKey, waits int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		byKey += len(s.byKey)
		for tick, list := range s.waits {
			for _, v := range list {
				if v.place().due == tick {
					waits++
				}
			}
		}
		s.mu.Unlock()
	}
	return byKey, waits
}

// times writes one line for each time.
func times(what string, at ...time.Duration) (lines []string) {
	for _, d := range at {
		lines = append(lines, d.String()+" "+what)
	}
	return lines
}

const ms = time.Millisecond
