package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"carillon/bench/party"
)

// node is Carillon as an operator runs it. The caller's side is the customer's, over TLS and encrypted where the variant's
// is, and the callee's side is the carrier's.
type node struct {
	party.Node
	place  place
	xdp    bool // media by AF_XDP
	callee *callee
	caller *caller
}

func (n *node) name() string {
	if n.xdp {
		return "Carillon, AF_XDP"
	}
	return "Carillon"
}

// newNode returns a node at a place.
func newNode(at place, binary string, xdp bool) *node {
	n := &node{Node: party.Node{Binary: binary, Hosts: at.Hosts}, place: at, xdp: xdp}
	if xdp {
		n.Options = []string{"--media-xdp", at.device}
	}
	return n
}

func (n *node) start(v variant) (err error) {
	secure := v.suites[0] != ""
	if n.Under, err = n.place.under(); err != nil {
		return err
	}
	if n.callee, err = newCallee(n.Hosts.Callee, v.suites[1] != ""); err != nil {
		return err
	}
	n.Trust = n.callee.trust
	if err := n.Start(secure, n.callee.address); err != nil {
		return err
	}
	n.caller, err = newCaller(&n.Node, secure)
	return err
}

func (n *node) processes() []int { return n.Processes() }

func (n *node) stop() {
	if n.caller != nil {
		n.caller.wire.Close()
		n.caller = nil
	}
	n.Stop()
	if n.callee != nil {
		n.callee.close()
		n.callee = nil
	}
}

func (n *node) call(l *load, number int) (fars [2]far, err error) {
	at, key := l.end(number, 0)
	n.callee.expect(number, func(offer string) (answer string, err error) {
		at, key := l.end(number, 1)
		f, tag, err := read(offer, key.suite)
		fars[1] = f
		return key.describe(at, tag), err
	})
	answer, err := n.caller.dial(number, key.describe(at, 1))
	if err != nil {
		return fars, err
	}
	if err := n.callee.forget(number); err != nil {
		return fars, err
	}
	fars[0], _, err = read(answer, key.suite)
	return fars, err
}

// answerTime is how long the caller waits for an answer. Nothing is repeated: one call is set up at a time, and neither
// the loopback interface nor a pair of veth loses anything.
const answerTime = 5 * time.Second

// caller sets up calls, one after the other.
type caller struct {
	wire    *party.Wire
	domain  string
	run     string
	answers chan party.Message
	said    sync.Map // what was described, by Call-ID
}

func newCaller(n *party.Node, secure bool) (c *caller, err error) {
	c = &caller{domain: n.Realm(), run: strconv.FormatInt(time.Now().UnixNano(), 36), answers: make(chan party.Message, 64)}
	if secure {
		c.wire, err = party.OverTLS(n.Hosts.Caller, n.Address(true), n.Realm(), c.take)
	} else {
		c.wire, err = party.OverUDP(n.Hosts.Caller, n.Address(false), c.take)
	}
	return c, err
}

// take hands an answer to the call that waits, and answers what the node asks: the refresh of a session with what was
// described before.
func (c *caller) take(m party.Message) {
	if m.Status() != 0 {
		c.answers <- m
		return
	}
	body := ""
	if m.Method() == "INVITE" {
		said, _ := c.said.Load(m.Header("Call-ID"))
		body, _ = said.(string)
	}
	if m.Method() != "ACK" {
		_ = c.wire.Write(party.Respond(m, 200, "OK", c.wire.Local, body))
	}
}

// dial sets the n-th call up and returns the answer's description.
func (c *caller) dial(n int, description string) (string, error) {
	id := fmt.Sprintf("%s-%d", c.run, n)
	uri := fmt.Sprintf("sip:+1555%07d@%s", n, c.domain)
	c.said.Store(id, description)
	send := func(method, target, to string, seq int, extra, body string) error {
		return c.wire.Write(fmt.Appendf(nil, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK-%s-%d-%s;rport\r\nMax-Forwards: 70\r\n"+
			"From: <sip:%s@%s>;tag=f%d\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:caller@%s;transport=%s>\r\n%s"+
			"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n%sContent-Length: %d\r\n\r\n%s", method, target, c.wire.Proto, c.wire.Local, id,
			seq, method, party.CallerNumber, c.domain, n, to, id, seq, method, c.wire.Local, strings.ToLower(c.wire.Proto), extra,
			contentType(body), len(body), body))
	}
	if err := send("INVITE", uri, "<"+uri+">", 1, "", description); err != nil {
		return "", err
	}
	late := time.After(answerTime)
	for seq := 1; ; {
		var m party.Message
		select {
		case m = <-c.answers:
		case <-late:
			return "", fmt.Errorf("call %d is not answered", n)
		}
		if m.Header("Call-ID") != id || m.Method() != "INVITE" || m.Status() < 200 || m.Header("CSeq") != fmt.Sprintf("%d INVITE", seq) {
			continue
		}
		if m.Status() < 300 {
			var routes strings.Builder
			for _, route := range m.All("Record-Route") {
				fmt.Fprintf(&routes, "Route: %s\r\n", route)
			}
			return m.Body(), send("ACK", m.Target(), m.Header("To"), seq, routes.String(), "")
		}
		if err := send("ACK", uri, m.Header("To"), seq, "", ""); err != nil {
			return "", err
		}
		authorization := party.Authorize(m, "INVITE", uri, party.CallerUser, party.CallerPassword)
		if seq > 1 || authorization == "" {
			return "", fmt.Errorf("call %d is refused: %s", n, m)
		}
		seq++
		if err := send("INVITE", uri, "<"+uri+">", seq, authorization, description); err != nil {
			return "", err
		}
	}
}

func contentType(body string) string {
	if body == "" {
		return ""
	}
	return "Content-Type: application/sdp\r\n"
}
