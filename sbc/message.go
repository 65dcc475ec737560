package sbc

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transport"
	"carillon/trunk"
)

// userAgent is how the node names itself: no version, which would only help scanners.
const userAgent = "Carillon"

// hops is the Max-Forwards of a call from nowhere else (RFC 3261 section 8.1.1.6).
const hops = 70

// callerLeg makes the leg of the INVITE that begins a call. It fails when the INVITE can make no dialog, for want of a
// Contact for instance.
func callerLeg(c *activeCall, a *arrival) (*leg, error) {
	l := &leg{call: c, tag: c.s.random.token(8), side: call.Customer, flow: a.flow, invite: a.tx, req: a.req.Clone(), open: true}
	l.mustTLS = a.facts.TLS
	l.sips = a.facts.TLS && dialogSIPS(a.req)
	l.policy = call.Leg{
		SecureSignalling: a.facts.TLS, Signalling: a.facts.Source,
	}
	if a.owner.Direction == call.Inbound {
		l.side, l.policy.SRTP = call.Carrier, a.owner.Carrier.SRTP
	} else {
		if a.connector.RequireEncryption && a.facts.TLS {
			l.policy.SRTP = call.SRTPRequire
		}
		// Without credentials a datagram's source is only claimed: media waits for the ACK, which proves it.
		l.policy.HoldUntilConfirmed = a.user == "" && !a.flow.Proto().Reliable()
		l.policy.Trusted = listed(a.connector.Termination)
	}
	l.party = l.side
	var err error
	l.session.asked(l.req, c.s.limits.Session)
	l.reliable.wanted = hasOption(l.req, sip.HdrRequire, "100rel")
	l.reliable.known = l.reliable.wanted || hasOption(l.req, sip.HdrSupported, "100rel")
	l.dialog, err = dialog.NewUAS(l.req, l.tag, a.facts.TLS)
	return l, err
}

// contact returns our Contact on a leg: the node's own name, and the port of the leg's transport.
func (l *leg) contact() string {
	return "<" + l.call.s.ownURI(l.flow, l.sips) + ">"
}

// ownURI is where requests of the dialogs on a flow reach this node.
func (s *Server) ownURI(f transport.Flow, sips bool) string {
	host, port := s.hostPort(f)
	if sips {
		return "sips:" + host + ":" + strconv.Itoa(int(port))
	}
	uri := "sip:" + host + ":" + strconv.Itoa(int(port))
	switch f.Proto() {
	case transport.TCP:
		uri += ";transport=tcp"
	case transport.TLS:
		uri += ";transport=tls"
	}
	return uri
}

func (s *Server) hostPort(f transport.Flow) (string, uint16) {
	port := s.cfg.Ports(f.Proto())
	if port == 0 {
		port = f.Local().Port()
	}
	host := s.cfg.Name
	if s.nameIs4 && f.Remote().Addr().Is6() { // who reached us over IPv6 may have nothing else
		if local := f.Local().Addr(); s.cfg.Name6 != "" {
			host = s.cfg.Name6
		} else if local.Is6() && !local.IsUnspecified() {
			host = local.WithZone("").String()
		}
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host, port
}

// via returns the value of our Via on a flow.
func (s *Server) via(f transport.Flow, branch string) string {
	host, port := s.hostPort(f)
	return "SIP/2.0/" + f.Proto().String() + " " + host + ":" + strconv.Itoa(int(port)) + ";branch=" + branch + ";rport"
}

// targetURI is the Request-URI for a target.
func targetURI(t routing.Target) string {
	uri := toURI(t)
	if t.Port != 0 {
		uri += ":" + strconv.Itoa(int(t.Port))
	}
	if t.Transport != trunk.UDP && t.Transport != trunk.AnyTransport && !t.SIPS {
		uri += ";transport=" + string(t.Transport)
	}
	return uri
}

// inviteRequest writes the head of the INVITE for a target. Nothing of the caller's leg is in it: tags, Call-ID, Via,
// Contact and hosts are ours, and of the other headers only those of passed.
func (c *activeCall) inviteRequest(a *attempt, branch string, credentials *authorization) *sip.Builder {
	l := a.leg
	b := c.s.builders.get()
	b.Request("INVITE", []byte(a.uri))
	b.Header("Via", c.s.via(l.flow, branch))
	b.HeaderUint("Max-Forwards", uint64(c.forwards()))
	identity := "<sip:" + escapeUser(c.plan.From) + "@" + c.s.cfg.Domain + ">"
	if c.plan.Name != "" {
		identity = quoted(c.plan.Name) + " " + identity
	}
	from := identity
	if c.plan.Private || c.plan.From == "" {
		from = `"Anonymous" <sip:anonymous@anonymous.invalid>` // RFC 3323 section 4.1.1.3
	}
	b.Header("From", from+";tag="+l.tag)
	b.Header("To", "<"+toURI(a.target)+">")
	b.Header("Call-ID", l.record.SIPCallID)
	b.Header("CSeq", strconv.Itoa(int(l.seq))+" INVITE")
	b.Header("Contact", l.contact())
	b.Header("User-Agent", userAgent)
	b.Header("Allow", c.allow(l))
	if c.offer == nil && !c.caller.reliable.known {
		// A reliable answer would bring an offer that this caller has no PRACK to answer in.
		b.Header("Supported", "timer")
	} else {
		b.Header("Supported", c.options(l))
	}
	l.session.writeRequest(b, c.s.limits.Session, false)
	// A carrier is trusted with the number that the caller hides, a customer is not (RFC 3325 section 5).
	if _, ok := trunk.ParseNumber(c.plan.From); ok && (!c.plan.Private || a.target.Carrier != nil) {
		b.Header("P-Asserted-Identity", identity)
	}
	credentials.write(b)
	if a.target.Connector != nil {
		b.Header("X-VoiceConnector-ID", a.target.Connector.ID)
	}
	c.passHeaders(b, c.caller.req)
	c.passDiversions(b, c.caller.req, a.target.Carrier != nil)
	if c.caller.stayed {
		c.passReferrer(b, c.caller.req)
	}
	c.location.write(b)
	return b
}

// toURI is the target without transport, as a To header has it.
func toURI(t routing.Target) string {
	host, scheme := t.Host, "sip:"
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.SIPS {
		scheme = "sips:"
	}
	return scheme + t.User + "@" + host
}

// escapeUser writes the user part of a URI (RFC 3261 section 25.1): what is not a plain character there is escaped, so
// that a caller id cannot add a host or parameters.
func escapeUser(user string) string {
	const plain = "-_.!~*'()&=+$,"
	var b strings.Builder
	for i := range len(user) {
		c := user[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// forwards is one hop less than the caller had left.
func (c *activeCall) forwards() int {
	n, ok := c.caller.req.MaxForwards()
	if !ok {
		return hops
	}
	return min(max(n-1, 0), hops)
}

// establishing writes what our provisional and final answers need to make a dialog (RFC 3261 section 12.1.1).
func (c *activeCall) establishing(b *sip.Builder) {
	b.Copy(c.caller.req, sip.HdrRecordRoute)
	b.Header("Contact", c.caller.contact())
	b.Header("Allow", c.allow(c.caller))
	b.Header("Supported", c.options(c.caller))
}

// passHeaders copies the headers that may cross from one leg to the other: they say something about the call and nothing
// about the other side's network. Custom headers cross up to a size; those that only the node may set do not.
func (c *activeCall) passHeaders(b *sip.Builder, m *sip.Message) {
	room, custom := c.s.limits.HeaderBytes, c.plan.Connector.Settings.CustomHeaders()
	for f := range m.Fields() {
		if !crosses(f, custom) {
			continue
		}
		if room -= len(f.Name) + len(f.Value) + 4; room < 0 {
			return
		}
		b.CopyField(f)
	}
}

func crosses(f sip.Field, custom []string) bool {
	if bytes.IndexByte(f.Value, 0) >= 0 {
		return false // a quoted NUL may be read and is never written: it would cost the whole message
	}
	switch f.ID {
	case sip.HdrPrivacy, sip.HdrUserToUser, sip.HdrSubject, sip.HdrPriority:
		return true
	case sip.HdrOther:
		name := strings.ToLower(string(f.Name))
		if name == "x-voiceconnector-id" || strings.HasPrefix(name, "x-amzn") {
			return false
		}
		return slices.ContainsFunc(custom, func(pattern string) bool {
			beginning, open := strings.CutSuffix(strings.ToLower(pattern), "*")
			return name == beginning || open && strings.HasPrefix(name, beginning)
		})
	}
	return false
}

func withoutBody(b *sip.Builder) *sip.Builder {
	b.Body("", nil)
	return b
}

func withBody(b *sip.Builder, sdp []byte) *sip.Builder {
	if sdp == nil {
		return withoutBody(b)
	}
	b.Body("application/sdp", sdp)
	return b
}
