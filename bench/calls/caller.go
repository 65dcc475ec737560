package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carillon/bench/party"
)

// The callers' repetition over UDP (RFC 3261 timers A and E), and when a call is given up.
const (
	firstRepeat = 500 * time.Millisecond
	patience    = 8 * time.Second
)

// plan says what calls are made.
type plan struct {
	domain, user, password string
	from                   string
	crypto                 string // of SRTP; empty for RTP
	rate                   float64
	calls                  int
	hold                   time.Duration
	stay                   bool // calls are not hung up until release
}

// result is what became of them.
type result struct {
	placed, completed int
	repeated          int
	failures          map[string]int
	ringing           []time.Duration // from the first INVITE to 180
	wall              time.Duration
}

func (r *result) failed() (n int) {
	for _, k := range r.failures {
		n += k
	}
	return n
}

// quantile returns the q-th part of the times to 180.
func (r *result) quantile(q float64) time.Duration {
	if len(r.ringing) == 0 {
		return 0
	}
	slices.Sort(r.ringing)
	return r.ringing[min(len(r.ringing)-1, int(q*float64(len(r.ringing))))]
}

// caller places calls over one wire.
type caller struct {
	plan
	wire *party.Wire
	at   net.IP
	run  string // distinguishes the Call-IDs of runs

	mu     sync.Mutex
	open   map[string]*leg
	result result
	left   sync.WaitGroup // calls that have not ended
	held   atomic.Int64   // calls that are up
	let    chan struct{}  // closed by release
}

// leg is one call as the caller sees it; the caller's lock guards it.
type leg struct {
	n             int
	id, uri, auth string
	cseq          int
	method        string // of the request that waits for its answer, empty for none
	request       []byte
	began, sent   time.Time
	again         time.Duration // until it is repeated
	rang          bool
	toTag, target string
	routes        string
}

func newCaller(p plan, at net.IP) *caller {
	return &caller{
		plan: p, at: at, run: strconv.FormatInt(time.Now().UnixNano(), 36), open: map[string]*leg{},
		result: result{failures: map[string]int{}}, let: make(chan struct{}),
	}
}

// place places all calls at the rate, whatever becomes of them, and returns when the last is on its way.
func (c *caller) place() {
	ended := make(chan struct{})
	defer close(ended)
	c.left.Add(c.calls)
	go c.repeatUntil(ended)
	begun := time.Now()
	for n := range c.calls {
		time.Sleep(time.Until(begun.Add(time.Duration(float64(n) / c.rate * float64(time.Second)))))
		c.dial(n)
	}
	if !c.stay {
		c.left.Wait()
		c.result.wall = time.Since(begun)
	}
}

func (c *caller) dial(n int) {
	number := fmt.Sprintf("+1555%07d", n)
	l := &leg{n: n, id: fmt.Sprintf("%s-%d", c.run, n), uri: "sip:" + number + "@" + c.domain, began: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.placed++
	c.open[l.id] = l
	l.target = l.uri
	c.send(l, "INVITE", "", party.Description(c.at, c.port(n), c.crypto))
}

// port is where a call's audio would be.
func (c *caller) port(n int) int { return 20000 + 2*(n%20000) }

// send sends a request of the call and, unless it is ACK, waits for its answer.
func (c *caller) send(l *leg, method, extra, body string) {
	if method != "ACK" {
		l.cseq++
	}
	to := "<" + l.uri + ">"
	if l.toTag != "" {
		to += ";tag=" + l.toTag
	}
	content := ""
	if body != "" {
		content = "Content-Type: application/sdp\r\n"
	}
	b := fmt.Appendf(nil, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK-%s-%d-%s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%s@%s>;tag=f%d\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:caller@%s;transport=%s>\r\n%s%s"+
		"User-Agent: bench\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n%sContent-Length: %d\r\n\r\n%s",
		method, l.target, c.wire.Proto, c.wire.Local, l.id, l.cseq, method, c.from, c.domain, l.n, to, l.id, l.cseq, method,
		c.wire.Local, strings.ToLower(c.wire.Proto), l.routes, extra, content, len(body), body)
	_ = c.wire.Write(b) // what is lost is repeated, or counted as unanswered
	if method != "ACK" {
		l.method, l.request, l.sent, l.again = method, b, time.Now(), firstRepeat
	}
}

// take handles an answer.
func (c *caller) take(m party.Message) {
	status := m.Status()
	if status < 180 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.open[m.Header("Call-ID")]
	if l == nil {
		return
	}
	seq, method, _ := strings.Cut(m.Header("CSeq"), " ")
	if method == "INVITE" && status >= 200 && status < 300 && l.toTag != "" {
		c.send(l, "ACK", "", "") // our ACK was lost
		return
	}
	if method != l.method || seq != strconv.Itoa(l.cseq) {
		return
	}
	switch {
	case method == "BYE":
		c.end(l, status == 200, "BYE "+strconv.Itoa(status))
	case status == 180:
		if !l.rang {
			l.rang = true
			c.result.ringing = append(c.result.ringing, time.Since(l.began))
		}
		l.again = patience // a provisional answer ends the repeating of INVITE
	case status < 200:
		l.again = patience
	case status < 300:
		c.answered(l, m)
	default:
		c.refused(l, m, status)
	}
}

func (c *caller) answered(l *leg, m party.Message) {
	_, l.toTag, _ = strings.Cut(m.Header("To"), "tag=")
	l.method = ""
	if target := m.Target(); target != "" {
		l.target = target
	}
	for _, route := range m.All("Record-Route") {
		l.routes = "Route: " + route + "\r\n" + l.routes
	}
	c.send(l, "ACK", "", "")
	if port := m.MediaPort(); port == 0 || port == calleePort(l.n) || (c.crypto != "") != strings.Contains(m.Body(), "RTP/SAVP") {
		c.end(l, false, "media not anchored as asked")
		return
	}
	c.held.Add(1)
	go func() {
		if c.stay {
			<-c.let
		} else {
			time.Sleep(c.hold)
		}
		c.held.Add(-1)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.send(l, "BYE", "", "")
	}()
}

func (c *caller) refused(l *leg, m party.Message, status int) {
	to := l.toTag
	_, l.toTag, _ = strings.Cut(m.Header("To"), "tag=")
	c.send(l, "ACK", "", "")
	l.toTag = to
	if status != 401 && status != 407 || l.auth != "" {
		c.end(l, false, strconv.Itoa(status))
		return
	}
	if l.auth = party.Authorize(m, "INVITE", l.uri, c.user, c.password); l.auth == "" {
		c.end(l, false, "a challenge without MD5")
		return
	}
	c.send(l, "INVITE", l.auth, party.Description(c.at, c.port(l.n), c.crypto))
}

// end counts a call out.
func (c *caller) end(l *leg, well bool, why string) {
	delete(c.open, l.id)
	if well {
		c.result.completed++
	} else {
		c.result.failures[why]++
	}
	c.left.Done()
}

// repeatUntil repeats over UDP what is not answered, and gives up what never is.
func (c *caller) repeatUntil(ended <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			c.repeat(now)
		}
	}
}

func (c *caller) repeat(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.open {
		if l.method == "" {
			continue
		}
		switch waited := now.Sub(l.sent); {
		case waited >= patience:
			c.end(l, false, l.method+" not answered")
		case c.wire.Proto == "UDP" && waited >= l.again:
			l.again = 2*l.again + firstRepeat
			c.result.repeated++
			_ = c.wire.Write(l.request)
		}
	}
}

// release hangs up calls that stayed, and waits for their end.
func (c *caller) release() {
	ended := make(chan struct{})
	defer close(ended)
	go c.repeatUntil(ended)
	close(c.let)
	c.left.Wait()
}
