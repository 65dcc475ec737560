package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"carillon/clock"
	"carillon/lab"
	"carillon/phone"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

// callPlan is a test call to be placed.
type callPlan struct {
	// Host is the connector's host name, Target where SIP for it goes.
	Host   string
	Target netip.AddrPort
	// Connector is what the call goes through.
	Connector found
	Proto     transport.Proto
	Roots     *x509.CertPool
	// To and From are numbers; Lab is the name of To among the laboratory's numbers, empty for others.
	To, From, Lab string
	// User and Password answer a challenge.
	User, Password string
	// Secure offers RTP/SAVP.
	Secure bool
	// Press are keys to press.
	Press string
	// Talk is how long to talk.
	Talk  time.Duration
	Clock clock.Clock
}

// answered is the SIP status of a call that was.
const answered = 200

// What was heard.
const (
	audioEcho    = "echo"
	audioTone    = "tone"
	audioSound   = "sound"
	audioSilence = "silence"
)

// outcome is what came of a test call. Its JSON is stable.
type outcome struct {
	From string `json:"from"`
	To   string `json:"to"`
	Host string `json:"connector_host"`
	// Status and Phrase are the final answer; Verdict is the sentence of a refusal.
	Status  int    `json:"status"`
	Phrase  string `json:"phrase"`
	Verdict string `json:"verdict,omitempty"`
	// SetupMillis is from the INVITE to the final answer.
	SetupMillis int64 `json:"setup_ms"`
	// Transport, TLSVersion, Cipher and Peer are those of signalling.
	Transport  string `json:"transport"`
	TLSVersion string `json:"tls_version,omitempty"`
	Cipher     string `json:"cipher,omitempty"`
	Peer       string `json:"peer,omitempty"`
	// The rest is about media and empty for a call that was refused.
	Profile         string  `json:"profile,omitempty"`
	Suite           string  `json:"suite,omitempty"`
	Codec           string  `json:"codec,omitempty"`
	PacketsSent     uint64  `json:"packets_sent"`
	PacketsReceived uint64  `json:"packets_received"`
	Lost            uint64  `json:"lost"`
	AuthFailures    uint64  `json:"auth_failures"`
	JitterMillis    float64 `json:"jitter_ms"`
	FirstMillis     int64   `json:"first_packet_ms"`
	MOS             float64 `json:"mos"`
	Audio           string  `json:"audio,omitempty"`
	// Pressed are the keys that were sent, Keys those that came.
	Pressed string `json:"keys_pressed,omitempty"`
	Keys    string `json:"keys,omitempty"`
	// Ended says how the call ended when it did so before we hung up.
	Ended      string         `json:"ended,omitempty"`
	SIPCallID  string         `json:"sip_call_id,omitempty"`
	Assertions []assertResult `json:"assertions,omitempty"`
	// Held is whether the call did what it should and every assertion held.
	Held bool `json:"held"`
}

// placeCall places a test call, talks, listens and hangs up. A refusal is an outcome like any other.
func placeCall(ctx context.Context, p callPlan) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Talk+callTimeout)
	defer cancel()
	ua, err := newPhone(p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ua.Close() }()
	invite := phone.Invite{
		To: "sip:" + p.To + "@" + p.Host, Target: p.Target, From: "sip:" + p.From + "@" + p.Host,
		User: p.User, Password: p.Password, Audio: phone.Tone(probeTone),
	}
	if p.Proto == transport.TLS {
		invite.TLS = &transport.ClientTLS{ServerName: p.Host, Roots: p.Roots}
	}
	if p.Secure {
		invite.Suites = phone.DefaultSuites()
	}
	o := &outcome{From: p.From, To: p.To, Host: p.Host, Transport: strings.ToLower(p.Proto.String())}
	begin := p.Clock.Now()
	placed, err := ua.Dial(ctx, invite)
	o.SetupMillis = p.Clock.Now().Sub(begin).Milliseconds()
	var refused *phone.Failure
	switch {
	case errors.As(err, &refused):
		o.Status, o.Phrase, o.Verdict = refused.Status, refused.Phrase, verdictOf(refused)
		return o, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, trunk.Errorf(trunk.Unavailable, "%s did not answer within %s.", p.To, p.Talk+callTimeout)
	case err != nil:
		return nil, notPlaced(p, err)
	}
	o.Status, o.Phrase = answered, "OK"
	return o, o.talk(ctx, placed, p)
}

// notPlaced says why a call did not get as far as an answer. That nobody trusted has signed the node's certificate is
// what everybody meets who calls a node with an own CA from another machine.
func notPlaced(p callPlan, err error) error {
	var check *tls.CertificateVerificationError
	hint := ""
	if errors.As(err, &check) {
		err = check // what wraps it repeats the address
		if errors.As(err, new(x509.UnknownAuthorityError)) {
			hint = " Give the node's CA with --ca FILE."
		}
	}
	return trunk.Errorf(trunk.Unavailable, "The call to %s over %s failed: %v.%s", p.Target, p.Proto, err, hint)
}

// talk listens as long as planned, notes what there was to note, and hangs up.
func (o *outcome) talk(ctx context.Context, placed *phone.Call, p callPlan) error {
	if p.Press != "" {
		if err := placed.Press(p.Press); err != nil {
			return trunk.Errorf(trunk.Invalid, "The keys were not sent: %v.", err)
		}
		o.Pressed = p.Press
	}
	over := make(chan struct{})
	timer := p.Clock.AfterFunc(p.Talk, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
	case <-placed.Done():
		o.Ended = string(placed.Ended())
	case <-ctx.Done():
	}
	o.Audio = audioOf(placed)
	o.Keys = placed.Pressed()
	st := placed.Stats()
	o.SIPCallID, o.Profile, o.Suite, o.Codec = placed.ID(), st.Profile, st.Suite, st.Codec
	if st.TLS != nil {
		o.TLSVersion, o.Cipher, o.Peer = st.TLS.VersionName(), st.TLS.Cipher, st.TLS.Check.String()
	}
	o.PacketsSent, o.PacketsReceived, o.Lost, o.AuthFailures = st.PacketsSent, st.PacketsReceived, st.Lost, st.AuthFailures
	o.JitterMillis = math.Round(float64(st.Jitter.Microseconds())/100) / 10
	o.FirstMillis = st.FirstPacket.Milliseconds()
	if st.PacketsReceived > 0 { // an estimate of silence would be a good one
		o.MOS = math.Round(st.Quality().MOS()*100) / 100
	}
	if o.Ended != "" {
		return nil
	}
	if err := placed.Hangup(ctx); err != nil {
		return trunk.Errorf(trunk.Unavailable, "Hanging up failed: %v.", err)
	}
	return nil
}

// audioOf says what was heard in the last second.
func audioOf(c *phone.Call) string {
	if c.Heard(probeTone) >= clearTone {
		return audioEcho
	}
	if c.Heard(lab.ToneHz) >= clearTone {
		return audioTone
	}
	const quiet = 32 // of 32768: the noise of G.711's smallest steps
	for _, sample := range c.Recent() {
		if sample > quiet || sample < -quiet {
			return audioSound
		}
	}
	return audioSilence
}

// verdictOf is the sentence that a refusal gives: the text of its Warning, or of its Reason.
func verdictOf(f *phone.Failure) string {
	if f.Local != "" {
		return f.Local
	}
	if text := quotedText(f.Warning); text != "" {
		return text
	}
	return quotedText(f.Reason)
}

// quotedText returns the content of the first quoted-string of a header value (RFC 3261 §25.1), "" without a whole one.
func quotedText(value string) string {
	_, rest, ok := strings.Cut(value, `"`)
	if !ok {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return b.String()
		case '\\':
			if i++; i < len(rest) {
				b.WriteByte(rest[i])
			}
		default:
			b.WriteByte(rest[i])
		}
	}
	return ""
}

// sourceFor returns the address from which the system reaches a target.
func sourceFor(target netip.AddrPort) (netip.Addr, error) {
	// Connecting a UDP socket sends nothing; it only asks the routing table.
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target))
	if err != nil {
		return netip.Addr{}, trunk.Errorf(trunk.Unavailable, "There is no way to %s: %v.", target, err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// resolveHost finds where SIP for a connector goes, as a phone does (RFC 3263).
func resolveHost(ctx context.Context, p callPlan) (netip.AddrPort, error) {
	r, err := resolve.New(resolve.Config{Clock: p.Clock, Rand: rand.Reader})
	if err != nil {
		return netip.AddrPort{}, err
	}
	q := resolve.Query{Host: p.Host, Transport: resolveProto(p.Proto), Secure: p.Proto == transport.TLS}
	targets, err := r.Resolve(ctx, q)
	if err != nil || len(targets) == 0 {
		return netip.AddrPort{}, trunk.Errorf(trunk.Unavailable, "The connector's host name %s does not resolve (%v); give --sip HOST:PORT.", p.Host, err)
	}
	return targets[0].Addr, nil
}

func resolveProto(p transport.Proto) resolve.Proto {
	switch p {
	case transport.TCP:
		return resolve.TCP
	case transport.TLS:
		return resolve.TLS
	default:
		return resolve.UDP
	}
}

// expected is what a call to a laboratory number should come to, where that is known.
func (p callPlan) expected() (string, bool) {
	switch p.Lab {
	case "echo":
		return "audio=" + audioEcho, true
	case "tone":
		return "audio=" + audioTone, true
	}
	return "", false
}

// judge decides what held. Without an assertion on its status a call must be answered, and a laboratory number must be
// heard doing what it does.
func (o *outcome) judge(checks []assertion, p callPlan) {
	asserted := map[string]bool{}
	for _, a := range checks {
		asserted[a.name] = true
	}
	if !asserted["status"] {
		checks = append([]assertion{{name: "status", op: "=", value: "200"}}, checks...)
	}
	if text, ok := p.expected(); ok && !asserted["audio"] && !asserted["status"] {
		a, err := parseAssertion(text)
		if err != nil {
			panic(fmt.Sprintf("cli: %v", err))
		}
		checks = append(checks, a)
	}
	o.Held = true
	for _, a := range checks {
		r := a.check(o)
		o.Assertions = append(o.Assertions, r)
		o.Held = o.Held && r.Held
	}
}
