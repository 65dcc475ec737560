package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carillon/config"
	"carillon/lab"
	"carillon/phone"
	"carillon/server"
	"carillon/sip/transport"
)

type demoCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
	Log  bool `name:"log" help:"Write the node's log to standard error."`
}

// demoTime bounds the whole demonstration.
const demoTime = time.Minute

// demoTalk is how long its calls talk: long enough for a clear second of audio after the first packet.
const demoTalk = 1200 * time.Millisecond

// Numbers of the demonstration: kept for fiction, like all of a trial node's pool.
const (
	demoNumber = "+12065550100"
	demoCaller = "+12125550142"
)

// Credentials of the demonstration's customer. They are no secret: the node is gone when the demonstration ends.
const (
	demoUser     = "front-desk"
	demoPassword = "correct-horse-battery"
)

// demo is the state of a demonstration: what a step finds out and a later one needs.
type demo struct {
	s     *session
	dir   string
	conf  config.Config
	log   *slog.Logger
	node  *server.Node
	api   *client
	via   found
	phone *phone.Phone // takes inbound calls
	taken chan *phone.Incoming
	call  chan *phone.Call
	plan  callPlan
	// suites are those negotiated with the customer, by direction.
	suites map[string]string
}

// demoStep is one row of the table.
type demoStep struct {
	title string
	// do returns what it found, in a sentence; an error is what did not hold.
	do func(context.Context) (string, error)
}

func (d *demo) steps() []demoStep {
	return []demoStep{
		{"A node starts", d.startNode},
		{"CreateVoiceConnector with RequireEncryption", d.create},
		{"Its host name resolves, for TLS only", d.resolve},
		{"Termination, credentials, origination, a number", d.configure},
		{"A call over TLS with SRTP reaches the echo line", d.encryptedCall},
		{"The same call without TLS is refused", d.plainSignalling},
		{"The same call without SRTP is refused", d.plainMedia},
		{"An inbound call arrives over TLS with SRTP", d.inboundCall},
		{"The call records prove it", d.records},
	}
}

// demoResult is what came of a step.
type demoResult struct {
	Title  string `json:"step"`
	Held   bool   `json:"held"`
	Detail string `json:"detail"`
	// Micros is how long it took, in microseconds.
	Micros int64 `json:"took_us"`
}

func (c *demoCommand) run(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "carillon-demo-")
	if err != nil {
		return err
	}
	d := &demo{s: s, dir: dir, log: slog.New(slog.DiscardHandler), suites: map[string]string{}, taken: make(chan *phone.Incoming, 1), call: make(chan *phone.Call, 1)}
	if c.Log {
		d.log = slog.New(slog.NewTextHandler(s.Err, nil))
	}
	defer d.close()
	begin := s.clock.Now()
	steps := d.steps()
	results := d.tell(ctx, steps)
	took := s.clock.Now().Sub(begin)
	held := len(results) == len(steps)
	for _, r := range results {
		held = held && r.Held
	}
	if c.JSON {
		err = printJSON(s.Out, map[string]any{"steps": results, "held": held, "took_us": took.Microseconds()})
	} else {
		err = printDemo(s, results, held, took)
	}
	if err == nil && !held {
		err = errNotHeld
	}
	return err
}

// tell runs the steps in order. Each stands on those before it, so the first that fails is the last.
func (d *demo) tell(ctx context.Context, steps []demoStep) []demoResult {
	var results []demoResult
	for i, step := range steps {
		d.progress(fmt.Sprintf("[%d/%d] %s …", i+1, len(steps), step.title))
		begin := d.s.clock.Now()
		detail, err := step.do(ctx)
		r := demoResult{Title: step.title, Held: err == nil, Detail: detail, Micros: d.s.clock.Now().Sub(begin).Microseconds()}
		if err != nil {
			r.Detail = sentence(err)
		}
		results = append(results, r)
		if err != nil {
			break
		}
	}
	d.progress("")
	return results
}

// progress shows what is being done: one line that changes on a terminal, a line for each step elsewhere.
func (d *demo) progress(text string) {
	switch {
	case isTerminal(d.s.Err):
		fmt.Fprintf(d.s.Err, "\r\x1b[K%s", text)
	case text != "":
		fmt.Fprintln(d.s.Err, text)
	}
}

// close stops what the steps started.
func (d *demo) close() {
	if d.phone != nil {
		_ = d.phone.Close()
	}
	if d.node != nil {
		if err := d.node.Close(); err != nil {
			d.log.Error("close node", "error", err)
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.log.Error("remove temporary folder", "error", err)
	}
}

// startNode starts a node on free ports, and the customer's phone, whose certificate the node is told to trust.
func (d *demo) startNode(ctx context.Context) (string, error) {
	authority, err := newAuthority(d.s.clock.Now())
	if err != nil {
		return "", err
	}
	trust := filepath.Join(d.dir, "customer-ca.pem")
	if err := os.WriteFile(trust, authority.pem(), 0o600); err != nil {
		return "", err
	}
	certificate, err := authority.issue(loopback())
	if err != nil {
		return "", err
	}
	d.phone, err = phone.New(phone.Config{Proto: transport.TLS, Certificate: certificate, User: demoUser, Clock: d.s.clock, Logger: d.log})
	if err != nil {
		return "", err
	}
	d.phone.Handle(d.answer)
	d.conf = config.Default(true)
	const free = config.Listen("127.0.0.1:0")
	d.conf.API, d.conf.SIPUDP, d.conf.SIPTCP, d.conf.SIPTLS, d.conf.DNS, d.conf.Metrics = free, free, free, free, free, config.Off
	d.conf.Data, d.conf.TLSTrust = filepath.Join(d.dir, "data"), trust
	if err := d.conf.Check(); err != nil {
		return "", err
	}
	if d.node, err = server.Start(ctx, d.conf, server.Options{Logger: d.log, Clock: d.s.clock}); err != nil {
		return "", err
	}
	ready := d.node.Ready()
	d.api = newClient(ready, d.s.clock)
	return fmt.Sprintf("API %s, SIP over TLS %s", ready.API, ready.SIP.TLS), nil
}

// answer takes the inbound call and plays the customer's tone.
func (d *demo) answer(in *phone.Incoming) {
	// Another call than the one that is waited for is none of the story.
	select {
	case d.taken <- in:
	default:
		_ = in.Reject(486, "")
		return
	}
	c, err := in.Answer(phone.Answer{Audio: phone.Tone(probeTone), Secure: true})
	if err != nil {
		d.log.Error("answer inbound call", "error", err)
		return
	}
	d.call <- c
}

// printDemo writes the table.
func printDemo(s *session, results []demoResult, held bool, took time.Duration) error {
	const width = 52
	var b strings.Builder
	b.WriteString("\n")
	good, bad, dim, plain := "", "", "", ""
	if isTerminal(s.Out) {
		good, bad, dim, plain = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
	}
	for _, r := range results {
		mark, color := "held", good
		if !r.Held {
			mark, color = "FAILED", bad
		}
		fmt.Fprintf(&b, "  %s%-6s%s  %-*s %9.1f ms\n", color, mark, plain, width, r.Title, float64(r.Micros)/1000)
		for _, line := range wrap(r.Detail, width+15) {
			fmt.Fprintf(&b, "          %s%s%s\n", dim, line, plain)
		}
	}
	verdict := fmt.Sprintf("All of it held, in %s.", took.Round(10*time.Millisecond))
	if !held {
		verdict = "Not all of it held."
	}
	fmt.Fprintf(&b, "\n%s\n", verdict)
	_, err := s.Out.Write([]byte(b.String()))
	return err
}

// wrap breaks text into lines of at most width characters where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// labNumber returns a number of the laboratory by its name.
func labNumber(name string) string {
	n, _ := lab.Find(name)
	return string(n.E164)
}
