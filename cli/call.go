package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"carillon/lab"
	"carillon/phone"
	"carillon/sip/transport"
)

type callCommand struct {
	nodeFlags
	To        string        `required:"" placeholder:"NUMBER|NAME" help:"Number to call, or the name of a laboratory number such as echo."`
	From      string        `placeholder:"NUMBER" help:"Caller id; else the connector's default number, else a number of its account."`
	Connector string        `placeholder:"VCID" help:"Connector to call through; the account's first if left out."`
	User      string        `help:"User name for the connector's challenge."`
	Password  string        `help:"Password for the connector's challenge; - reads it from standard input."`
	Transport string        `placeholder:"udp|tcp|tls" default:"tls" enum:"udp,tcp,tls" help:"Transport of SIP: udp, tcp or tls."`
	SRTP      string        `name:"srtp" placeholder:"auto|off|sdes" default:"auto" enum:"auto,off,sdes" help:"Encryption of the audio: off, sdes, or auto, which is sdes over TLS and off without."`
	Press     string        `placeholder:"KEYS" help:"Keys to press (digits, *, # and A to D), as telephone events; a laboratory number echo sends them back."`
	Duration  time.Duration `default:"3s" help:"How long to talk."`
	Assert    []string      `sep:"none" placeholder:"transport=tls" help:"What must hold, else the exit status is 1; may be repeated: status, transport, tls, cipher, srtp (a suite, any or off), codec, audio (echo, tone, sound or silence), keys (those that came) with =; mos, packets, lost, setup with = < <= > >=."`
	SIP       string        `name:"sip" placeholder:"HOST:PORT" help:"Where to send SIP; else what the ready file says, else what DNS says of the connector's host name."`
	CA        string        `name:"ca" placeholder:"FILE" help:"Certificates to trust, in PEM; else those of the ready file, beside the system's."`
	Prepare   bool          `help:"First put what a new connector lacks for a test call: a termination that lets this machine call US numbers, and a number of the pool."`
}

// callTimeout bounds a test call beyond its duration: a lab number may ring for ever.
const callTimeout = 20 * time.Second

// Bounds of --duration: below one there is too little audio to judge.
const (
	minTalk = time.Second
	maxTalk = time.Hour
)

func (c *callCommand) run(ctx context.Context, s *session) error {
	if c.Duration < minTalk || c.Duration > maxTalk {
		return usage("--duration is %s to %s.", minTalk, maxTalk)
	}
	if phone.CheckKeys(c.Press) != nil {
		return usage("--press %q: keys are digits, *, # and A to D.", c.Press)
	}
	var checks []assertion
	for _, text := range c.Assert {
		a, err := parseAssertion(text)
		if err != nil {
			return err
		}
		checks = append(checks, a)
	}
	p, node, err := c.plan(ctx, s)
	if err != nil {
		return err
	}
	o, err := placeCall(ctx, p)
	if err != nil {
		return err
	}
	if err := node.diagnose(ctx, o, p); err != nil {
		return err
	}
	o.judge(checks, p)
	if c.JSON {
		err = printJSON(s.Out, o)
	} else {
		err = o.print(s)
	}
	if err == nil && !o.Held {
		err = errNotHeld
	}
	return err
}

// plan finds out everything a call needs, and from which node.
func (c *callCommand) plan(ctx context.Context, s *session) (callPlan, *client, error) {
	password, err := readPassword(c.Password, s)
	if err != nil {
		return callPlan{}, nil, err
	}
	p := callPlan{
		To: c.To, Press: c.Press, User: c.User, Password: password, Talk: c.Duration, Clock: s.clock,
		Proto:  map[string]transport.Proto{"udp": transport.UDP, "tcp": transport.TCP, "tls": transport.TLS}[c.Transport],
		Secure: c.SRTP == "sdes" || c.SRTP == "auto" && c.Transport == "tls",
	}
	if n, ok := lab.Find(c.To); ok {
		p.To, p.Lab = string(n.E164), n.Name
	} else if !strings.HasPrefix(c.To, "+") && strings.Trim(c.To, "0123456789") != "" {
		return p, nil, usage("%q is neither a number nor one of the laboratory: %s.", c.To, strings.Join(labNames(), ", "))
	}
	node, err := c.connect(s)
	if err != nil {
		return p, nil, err
	}
	via, err := node.findConnector(ctx, c.Connector)
	if err != nil {
		return p, node, err
	}
	p.Host, p.Connector = via.host, via
	if p.Target, err = c.target(ctx, node, p); err != nil {
		return p, node, err
	}
	ca := c.CA
	if ca == "" {
		ca = node.node.CAFile
	}
	if p.Roots, err = rootsOf(ca); err != nil {
		return p, node, err
	}
	if c.Prepare {
		if err := node.prepare(ctx, via, p.Target); err != nil {
			return p, node, err
		}
	}
	p.From = c.From
	if p.From == "" {
		p.From, err = node.callerID(ctx, via)
	}
	return p, node, err
}

func labNames() []string {
	var names []string
	for _, n := range lab.Numbers() {
		names = append(names, n.Name)
	}
	return names
}

// target is where SIP goes: the flag, the ready file, DNS.
func (c *callCommand) target(ctx context.Context, node *client, p callPlan) (netip.AddrPort, error) {
	text := c.SIP
	if text == "" {
		sip := node.node.SIP
		text = map[transport.Proto]string{transport.UDP: sip.UDP, transport.TCP: sip.TCP, transport.TLS: sip.TLS}[p.Proto]
		known := sip.UDP + sip.TCP + sip.TLS
		if text == "" && known != "" {
			return netip.AddrPort{}, usage("The node does not listen for SIP over %s.", strings.ToUpper(c.Transport))
		}
	}
	if text == "" {
		return resolveHost(ctx, p)
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, usage("--sip %q is not an IP address and a port.", text)
	}
	return addr, nil
}

// probeTone is what a test call says, in Hz. It is not the laboratory's own, so that an echo can be told from that, and
// has whole periods in a packet, so that one that is lost or late does not shift its phase.
const probeTone = 450.0

// clearTone is the share of the energy that a tone must have to be taken as heard; speech and noise have a tenth.
const clearTone = 0.5

// print writes an outcome for a person.
func (o *outcome) print(s *session) error {
	w := s.Out
	row := func(name, format string, args ...any) {
		if text := strings.TrimSpace(fmt.Sprintf(format, args...)); text != "" {
			fmt.Fprintf(w, "%-11s %s\n", name, text)
		}
	}
	row("call", "%s -> %s through %s", o.From, o.To, o.Host)
	row("status", "%d %s, after %s", o.Status, o.Phrase, time.Duration(o.SetupMillis)*time.Millisecond)
	row("why", "%s", o.Verdict)
	signalling := strings.ToUpper(o.Transport)
	if o.TLSVersion != "" {
		signalling = o.TLSVersion + " " + o.Cipher + ", peer " + strings.ReplaceAll(o.Peer, "_", " ")
	}
	row("signalling", "%s", signalling)
	if o.Profile != "" {
		row("media", "%s %s %s", o.Profile, o.Suite, o.Codec)
		row("packets", "%d sent, %d received, %d lost, jitter %.1f ms", o.PacketsSent, o.PacketsReceived, o.Lost, o.JitterMillis)
		row("audio", "%s", map[string]string{
			audioEcho: "our own tone came back", audioTone: "the laboratory's tone", audioSound: "sound", audioSilence: "silence",
		}[o.Audio])
		if o.Pressed+o.Keys != "" {
			row("keys", "%s pressed, %s came", dash(o.Pressed), dash(o.Keys))
		}
		row("mos", "%.1f", o.MOS)
	}
	for _, a := range o.Assertions {
		verdict := "held"
		if !a.Held {
			verdict = "NOT HELD"
		}
		row(verdict, "%s (%s)", a.Text, a.Got)
	}
	return nil
}

// newPhone makes the customer's phone of a test call.
func newPhone(p callPlan) (*phone.Phone, error) {
	local, err := sourceFor(p.Target)
	if err != nil {
		return nil, err
	}
	return phone.New(phone.Config{Proto: p.Proto, Bind: netip.AddrPortFrom(local, 0), Roots: p.Roots, Clock: p.Clock, User: p.From})
}
