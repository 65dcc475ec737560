package sbc

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/digest"
	"carillon/sip/transport"
	"carillon/trunk"
)

// refusal is a way to be refused.
type refusal struct {
	reason call.Reason
	// world and before prepare it.
	world  func(*world)
	before func(*rig)
	// dial makes the INVITE; nil is the customer's ordinary call.
	dial func(p *peer) *agent
	sdp  string

	status string
	phrase string // part of the status line
	warn   string // how Warning begins; "" for none
	cause  string // how Reason begins; "" for none
	retry  bool   // Retry-After
	late   bool   // it is known only once the call has begun: 100 comes first, and whoever asks has been let in
	nobody bool   // it belongs to no connector, so there is no record
}

func refusals() []refusal {
	to := func(number string) func(*peer) *agent {
		return func(p *peer) *agent { return p.dial("sip:"+number+"@"+host, ownNumber, sdpPlain) }
	}
	return []refusal{
		{reason: call.ReasonTerminationDisabled, world: func(w *world) { w.connector.Termination.Disabled = true },
			status: "403", warn: "399", cause: "Q.850;cause=21"},
		{reason: call.ReasonCountryNotAllowed, dial: to("+4930123456"), status: "403", warn: "399", cause: "Q.850;cause=21"},
		{reason: call.ReasonCountryNotAllowed, dial: to("+19005550100"), status: "403", warn: "399", cause: "Q.850;cause=21"},
		{reason: call.ReasonSignallingNotEncrypted, world: (*world).encrypted, status: "403", warn: "399", cause: "Q.850;cause=21"},
		{reason: call.ReasonKeyInCleartext, sdp: sdpSecure, status: "488", warn: "399", cause: "Q.850;cause=65", late: true},
		{reason: call.ReasonNoCommonSuite, sdp: "no suite", status: "488", warn: "306", cause: "Q.850;cause=65", late: true},
		{reason: call.ReasonNoCommonCodec, sdp: "no codec", status: "488", warn: "305", cause: "Q.850;cause=65", late: true},
		{reason: call.ReasonBadDescription, sdp: sdpBad, status: "400", warn: "399", cause: "Q.850;cause=111", late: true},
		{reason: call.ReasonCallerIDNotOwned, dial: func(p *peer) *agent { return p.dial("sip:"+farNumber+"@"+host, "+12065559999", sdpPlain) },
			status: "403", phrase: "Caller Id +12065559999 is not valid", warn: "399", cause: "Q.850;cause=21"},
		{reason: call.ReasonNumberMalformed, dial: to("12125550123"), status: "484", warn: "399", cause: "Q.850;cause=28"},
		{reason: call.ReasonCPSExceeded, world: func(w *world) { w.connector.Termination.CpsLimit = 1 },
			before: func(r *rig) { r.sbc.rates.take(connectorID, 1, time.Now()) }, status: "503", warn: "399", cause: "Q.850;cause=42"},
		{reason: call.ReasonConcurrencyExceeded, world: func(w *world) {
			w.more = []trunk.Entity{&trunk.Quota{Account: account, Name: trunk.QuotaActiveCalls, Value: 0}}
		}, status: "503", warn: "399", cause: "Q.850;cause=42"},
		{reason: call.ReasonCPSExceeded, world: quota(account, trunk.QuotaAccountCPS, 0), status: "503", warn: "399", cause: "Q.850;cause=42"},
		{reason: call.ReasonConcurrencyExceeded, world: quota(account, trunk.QuotaConnectorCalls, 0), status: "503", warn: "399", cause: "Q.850;cause=42"},
		{reason: call.ReasonConcurrencyExceeded, world: quota(otherAccount, trunk.QuotaConnectorCalls, 0), dial: to(otherNumber),
			status: "503", warn: "399", cause: "Q.850;cause=42"},
		{reason: call.ReasonNoRoute, world: func(w *world) { w.carriers = nil }, status: "404", warn: "399", cause: "Q.850;cause=3"},
		{reason: call.ReasonNoRoute, world: func(w *world) { w.other.Origination = nil }, dial: to(otherNumber),
			status: "404", warn: "399", cause: "Q.850;cause=3"},
		{reason: call.ReasonRequestNotSupported, dial: func(p *peer) *agent {
			a := p.outboundCall(sdpPlain)
			a.req.Headers = append(a.req.Headers, "Require: precondition")
			return a
		}, status: "420", warn: "399", cause: "Q.850;cause=127"},
		{reason: call.ReasonDraining, before: func(r *rig) { r.sbc.draining.Store(true) },
			status: "503", warn: "399", cause: "Q.850;cause=41", retry: true},
		{reason: call.ReasonStoreStale, before: func(r *rig) { r.sbc.cfg.Stale = func() bool { return true } },
			status: "503", warn: "399", cause: "Q.850;cause=41", retry: true},
		{reason: call.ReasonNodeFull, before: func(r *rig) { r.media.full = true }, status: "503", warn: "399", cause: "Q.850;cause=34", retry: true, late: true},
		{reason: call.ReasonCredentialsWrong, world: func(w *world) { w.withCredentials("alice", "secret") }, dial: func(p *peer) *agent {
			a := p.outboundCall(sdpPlain)
			challenge, err := p.r.sbc.cfg.Digest.Challenges(p.addr.Addr(), host, []digest.Algorithm{digest.MD5}, false)
			if err != nil {
				p.r.t.Fatal(err)
			}
			wrong := digest.NewClient(digest.ClientConfig{Username: "alice", Password: "guess", Rand: rand.Reader})
			proof, err := wrong.Answer([][]byte{[]byte(challenge[0])}, "INVITE", a.req.URI, false)
			if err != nil {
				p.r.t.Fatal(err)
			}
			a.req.Headers = append(a.req.Headers, "Proxy-Authorization: "+proof)
			return a
		}, status: "407"},
	}
}

func (f refusal) call(r *rig, p *peer) *agent {
	if f.before != nil {
		f.before(r)
	}
	var a *agent
	switch {
	case f.dial != nil:
		a = f.dial(p)
	case f.sdp != "":
		a = p.outboundCall(f.sdp)
	default:
		a = p.outboundCall(sdpPlain)
	}
	a.start()
	if f.late {
		a.want("100")
	}
	return a
}

// saysWhy checks the headers that name the rule.
func (f refusal) saysWhy(t *testing.T, m *sip.Message) {
	t.Helper()
	if got := string(m.Lookup("Warning")); (got != "") != (f.warn != "") || !strings.HasPrefix(got, f.warn) || f.warn != "" && !strings.Contains(got, nodeName) {
		t.Errorf("Warning is %q, want %s", got, f.warn)
	}
	if got := string(m.Lookup("Reason")); (got != "") != (f.cause != "") || !strings.HasPrefix(got, f.cause) {
		t.Errorf("Reason is %q, want %s", got, f.cause)
	}
}

func (f refusal) check(t *testing.T, m *sip.Message) {
	t.Helper()
	if !strings.Contains(string(m.Bytes()[:80]), f.phrase) {
		t.Errorf("status line %q lacks %q", m.Bytes()[:80], f.phrase)
	}
	if got := m.Lookup("Retry-After"); (got != nil) != f.retry {
		t.Errorf("Retry-After is %q", got)
	}
	if got := m.Count(sip.HdrProxyAuthenticate); (got > 0) != (f.status == "407") {
		t.Errorf("%d challenges in a %s", got, f.status)
	}
}

// A sender that has shown who it is learns which rule fired, reliably, and finds it in the records.
func TestRefusalsOfProvenSenders(t *testing.T) {
	for _, f := range refusals() {
		t.Run(f.reason.String(), func(t *testing.T) {
			scenario(t, f.world, func(r *rig) {
				a := f.call(r, r.customer(transport.TCP))
				m := a.refused(f.status)
				f.check(t, m)
				f.saysWhy(t, m)
				a.quiet()
				got := r.record()
				if got.Reason != f.reason.String() || fmt.Sprint(got.Status) != f.status || got.Sentence == "" || got.Fix == "" ||
					strings.Contains(got.Sentence+got.Fix, "%") || got.ConnectorID != connectorID || !got.Answered.IsZero() || got.End.IsZero() ||
					got.Customer.Transport != "tcp" || got.Customer.SIPCallID != a.req.CallID {
					t.Errorf("record %+v", got)
				}
				if !f.late && r.sbc.Stats().Refused(f.reason) != 1 || f.late && r.sbc.Stats().Ended(f.reason) != 1 {
					t.Error("it was not counted once")
				}
			})
		})
	}
}

// A datagram from a listed address may be forged: one answer, never repeated, and no longer than what came.
func TestRefusalsOfListedDatagrams(t *testing.T) {
	for _, f := range refusals() {
		if f.late {
			continue // let in, and so answered as a call
		}
		for _, long := range []bool{false, true} {
			t.Run(fmt.Sprint(f.reason, " long ", long), func(t *testing.T) {
				scenario(t, f.world, func(r *rig) {
					f := f
					phone := r.customer(transport.UDP)
					if long {
						dial := f.dial
						if dial == nil {
							dial = func(p *peer) *agent { return p.outboundCall(sdpPlain) }
						}
						f.dial = func(p *peer) *agent {
							a := dial(p)
							a.req.Headers = append(a.req.Headers, "X-Long: "+strings.Repeat("x", 1000))
							return a
						}
					}
					a := f.call(r, phone)
					m := a.want(f.status)
					f.check(t, m)
					if long {
						f.saysWhy(t, m)
					}
					if size := len(a.req.Bytes()); len(m.Bytes()) > size && f.status != "407" {
						t.Errorf("%d octets were answered with %d", size, len(m.Bytes()))
					}
					if n := r.layer.Stats().ServerNow.Load(); n != 0 {
						t.Errorf("%d transactions are held for it", n)
					}
					time.Sleep(40 * time.Second)
					a.quiet()
					r.record()
				})
			})
		}
	}
}

// A stranger learns a status and nothing else, at no cost; whoever may have forged its address gets silence instead of
// more than it sent.
func TestRefusalsOfStrangers(t *testing.T) {
	for name, st := range map[string]struct {
		reason call.Reason
		uri    string
		status string
		change func(*world)
	}{
		"no such connector":         {call.ReasonConnectorUnknown, "sip:+1@nobody.example.com", "404", nil},
		"not in the list":           {call.ReasonSourceNotAllowed, "sip:" + farNumber + "@" + host, "403", nil},
		"no list and no user":       {call.ReasonSourceNotAllowed, "sip:" + farNumber + "@" + host, "403", func(w *world) { w.connector.Termination.CidrAllowedList = nil }},
		"no termination":            {call.ReasonTerminationDisabled, "sip:" + farNumber + "@" + host, "403", func(w *world) { w.connector.Termination = nil }},
		"in the clear, with a user": {call.ReasonSignallingNotEncrypted, "sip:" + farNumber + "@" + host, "403", func(w *world) { w.encrypted(); onlyCredentials(w) }},
		"unknown user":              {call.ReasonCredentialsRequired, "sip:" + farNumber + "@" + host, "407", onlyCredentials},
	} {
		for _, proto := range []transport.Proto{transport.UDP, transport.TCP} {
			t.Run(name+" over "+proto.String(), func(t *testing.T) {
				scenario(t, st.change, func(r *rig) {
					p := r.phone(proto, strangerIP)
					a := p.dial(st.uri, ownNumber, strings.Repeat("v=0 long enough for a challenge ", 30)).start()
					m := a.want(st.status)
					for _, header := range []string{"Warning", "Reason", "Retry-After", "Server", "Contact", "Allow"} {
						if got := m.Lookup(header); got != nil {
							t.Errorf("%s is %q", header, got)
						}
					}
					if len(m.Bytes()) > len(a.req.Bytes()) {
						t.Errorf("%d octets were answered with %d", len(a.req.Bytes()), len(m.Bytes()))
					}
					if n := r.layer.Stats().ServerNow.Load(); n != 0 {
						t.Errorf("%d transactions are held", n)
					}
					a.ackFailure(m)
					time.Sleep(time.Minute)
					a.quiet()
					r.noRecord()
					if r.sbc.Stats().Refused(st.reason) != 1 {
						t.Error("it was not counted once")
					}
				})
			})
		}
		t.Run(name+" in few words", func(t *testing.T) {
			scenario(t, st.change, func(r *rig) {
				p := r.phone(transport.UDP, strangerIP)
				short := "INVITE " + st.uri + " SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bKx;rport\r\nf: <sip:a@b>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\nCSeq: 1 INVITE\r\nm: <sip:a@b>\r\nl: 0\r\n\r\n"
				p.send([]byte(short))
				synctest.Wait()
				got := len(p.everything())
				if silent := r.sbc.Stats().Silent.Load() == 1; got > len(short) || silent != (got == 0) {
					t.Errorf("%d octets were answered with %d", len(short), got)
				}
				p.clear()
			})
		})
	}
}

func onlyCredentials(w *world) {
	w.connector.Termination.CidrAllowedList = nil
	w.withCredentials("alice", "secret")
}

// A carrier that dials a number nobody has.
func TestNumberUnknown(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		for _, number := range []string{"+12065550999", "0123", "%0d%0aX-Evil:1"} {
			a := r.phone(transport.TCP, carrierIP).dial("sip:"+number+"@"+nodeIP, farNumber, sdpPlain).start()
			m := a.refused("404")
			if got := string(m.Lookup("Reason")); !strings.HasPrefix(got, "Q.850;cause=1;") || m.Lookup("X-Evil") != nil {
				t.Errorf("answer %s", m.Bytes())
			}
		}
		r.noRecord()
	})
}

// Requests that break the protocol, whoever sends them (RFC 3261 section 8.2).
func TestProtocolFaults(t *testing.T) {
	for name, st := range map[string]struct {
		change func(*agent)
		edit   func(string) string
		status string
		header string
		value  string
		says   string // what the verdict says, where the sender's connector has one
	}{
		"tel URI": {func(a *agent) { a.req.URI = "tel:" + farNumber; a.req.To = "<tel:" + farNumber + ">" }, nil, "416", "", "", ""},
		"no hops left": {nil, func(s string) string { return strings.Replace(s, "Max-Forwards: 70", "Max-Forwards: 0", 1) }, "483", "", "",
			"goes round in a circle"},
		"Require": {func(a *agent) { a.req.Headers = append(a.req.Headers, "Require: precondition, timer") }, nil, "420", "Unsupported", "precondition",
			"requires precondition,"},
		"short session": {func(a *agent) { a.req.Headers = append(a.req.Headers, "Session-Expires: 89") }, nil, "422", "Min-SE", "90", "less than 90 s"},
		"Content-Encoding": {func(a *agent) { a.req.Headers = append(a.req.Headers, "Content-Encoding: gzip") }, nil, "415", "Accept-Encoding", "identity",
			"encoded as gzip"},
		"Content-Type":   {func(a *agent) { a.req.ContentType = "text/plain" }, nil, "415", "Accept", "application/sdp, multipart/mixed", "is text/plain"},
		"no Contact":     {func(a *agent) { a.req.Headers = nil }, nil, "400", "", "", "no Contact"},
		"REGISTER":       {func(a *agent) { a.req.Method = "REGISTER" }, nil, "405", "Allow", allowed, ""},
		"SUBSCRIBE":      {func(a *agent) { a.req.Method = "SUBSCRIBE" }, nil, "405", "Allow", allowed, ""},
		"unknown method": {func(a *agent) { a.req.Method = "DANCE" }, nil, "501", "", "", ""},
		"BYE of nothing": {func(a *agent) { a.req.Method = "BYE" }, nil, "481", "", "", ""},
		"in no dialog":   {func(a *agent) { a.req.ToTag = "gone" }, nil, "481", "", "", ""},
	} {
		for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
			t.Run(name+" over "+proto.String(), func(t *testing.T) {
				scenario(t, nil, func(r *rig) {
					a := r.customer(proto).outboundCall(strings.Repeat(sdpPlain, 20))
					if st.change != nil {
						st.change(a)
					}
					b := string(a.req.Bytes())
					if st.edit != nil {
						b = st.edit(b)
					}
					a.send([]byte(b))
					m := a.want(st.status)
					if st.header != "" && string(m.Lookup(st.header)) != st.value {
						t.Errorf("%s is %q, want %q", st.header, m.Lookup(st.header), st.value)
					}
					if len(m.To().Tag()) == 0 {
						t.Error("no To-tag")
					}
					if st.says == "" || proto == transport.UDP {
						if n := r.layer.Stats().ServerNow.Load(); n != 0 {
							t.Errorf("%d transactions are held", n)
						}
					}
					if st.says == "" {
						r.noRecord()
						return
					}
					a.ackFailure(m)
					told := strings.Contains(header(m, "Warning"), st.says) && strings.HasPrefix(header(m, "Reason"), "Q.850;cause=")
					if proto == transport.TLS && !told { // a datagram's sender is told where it has room
						t.Errorf("Warning is %q and Reason %q", header(m, "Warning"), header(m, "Reason"))
					}
					if st.status == "422" {
						r.noRecord() // it will ask again
						return
					}
					got := r.record()
					if got.Reason != "request_not_supported" || fmt.Sprint(got.Status) != st.status || !strings.Contains(got.Sentence, st.says) || got.ConnectorID != connectorID {
						t.Errorf("record %+v", got)
					}
				})
			})
		}
	}
	for _, world := range []func(*world){nil, onlyCredentials} { // a stranger is told no more than the protocol says
		scenario(t, world, func(r *rig) {
			stranger := r.phone(transport.TCP, strangerIP).outboundCall(sdpPlain).start("Require: precondition")
			m := stranger.refused("420")
			wantHeaders(t, "the 420", m, "Unsupported: precondition", "Warning: ", "Reason: ", "Proxy-Authenticate: ")
			if n := r.layer.Stats().ServerNow.Load(); n != 0 {
				t.Errorf("%d transactions are held", n)
			}
			r.noRecord()
		})
	}
	scenario(t, onlyCredentials, func(r *rig) { // one with credentials is none
		caller := r.phone(transport.TCP, strangerIP).outboundCall(sdpPlain).start()
		caller.req.Headers = append(caller.req.Headers, "Require: precondition")
		caller.withCredentials(caller.refused("407"), "alice", "secret")
		if m := caller.refused("420"); !strings.Contains(header(m, "Warning"), "precondition") {
			t.Errorf("the caller got\n%s", m.Bytes())
		}
		r.wantRecord(call.ReasonRequestNotSupported, 420, "")
	})
	scenario(t, nil, func(r *rig) { // the carrier's calls belong to whoever has the number
		caller := r.phone(transport.TCP, carrierIP).inboundCall(sdpPlain).start("Require: precondition")
		wantHeaders(t, "the 420", caller.refused("420"), "Unsupported: precondition")
		r.wantRecord(call.ReasonRequestNotSupported, 420, "")
	})
}

// A phone that is set to register shows its user no more than that it failed: the node's log says why. Nobody can fill
// the log with it.
func TestRegisterIsLogged(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		var log lockedLog
		r.sbc.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 3 * maxRefusalRecords {
			a := r.customer(transport.UDP).outboundCall(strings.Repeat(sdpPlain, 20))
			a.req.Method = "REGISTER"
			a.send(a.req.Bytes())
			a.want("405")
		}
		got := log.String()
		if !strings.Contains(got, "msg=refused method=REGISTER status=405") || !strings.Contains(got, "turn registration off in the phone") {
			t.Errorf("the log says %q", got)
		}
		if lines := strings.Count(got, "\n"); lines > 2*maxRefusalRecords {
			t.Errorf("%d lines for %d requests", lines, 3*maxRefusalRecords)
		}
	})
}

// TestRefusalLine: a refusal that leaves no record can be told from others in the log, and forges no line there.
func TestRefusalLine(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		var log lockedLog
		r.sbc.log = slog.New(slog.NewTextHandler(&log, nil))
		a := r.phone(transport.TCP, strangerIP).dial("sip:"+farNumber+"%0Amsg%3Dforged@"+host, ownNumber, sdpPlain)
		a.req.CallID = strings.Repeat("x", 500) + "<\"evil"
		a.start().refused("403")
		r.noRecord()
		want := fmt.Sprintf("msg=refused method=INVITE reason=source_not_allowed status=403 connector=%s source=%s host=%s to=%s call_id=%s sentence=",
			connectorID, a.addr, host, "\""+farNumber+"?msg=forged\"", strings.Repeat("x", 64))
		if got := log.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("the log says %q, want %q", got, want)
		}
	})
}

// A forked INVITE that comes by two ways is a call once (RFC 3261 section 8.2.2.2).
func TestMergedRequest(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		caller.start()
		caller.want("100")
		target := tel.ring()
		again := r.customer(transport.UDP).outboundCall(sdpPlain)
		branch := again.req.Branch
		again.req = caller.req
		again.req.Branch = branch
		again.start("User-Agent: long enough not to be a way to send more than came")
		again.want("482")
		tel.quiet()
		target.answer(486, "")
		tel.want("ACK")
		caller.refused("486")
		r.record()
	})
}

// The second way of a forked INVITE has the credentials of the first: it is no replay and no mistake.
func TestMergedRequestWithCredentials(t *testing.T) {
	scenario(t, onlyCredentials, func(r *rig) {
		tel := r.tel()
		caller := r.phone(transport.TCP, strangerIP).outboundCall(sdpPlain).start()
		caller.withCredentials(caller.refused("407"), "alice", "secret")
		caller.want("100")
		again := r.phone(transport.TCP, strangerIP).outboundCall(sdpPlain)
		branch := again.req.Branch
		again.req = caller.req
		again.req.Branch = branch
		again.start().want("482")
		busy(tel)
		caller.refused("486")
		r.record()
	})
}

func TestOptions(t *testing.T) {
	options := func(p *peer, host string) *agent {
		a := p.dial("sip:"+host, "ping", "")
		a.req.Method = "OPTIONS"
		return a.start("X-Pad: " + strings.Repeat("x", 600))
	}
	scenario(t, nil, func(r *rig) {
		for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
			m := options(r.customer(proto), host).want("200")
			if string(m.Lookup("Allow")) != allowed || string(m.Lookup("Accept")) != "application/sdp" {
				t.Errorf("answer %s", m.Bytes())
			}
		}
		if n := r.layer.Stats().ServerNow.Load(); n != 0 {
			t.Errorf("%d transactions are held for OPTIONS", n)
		}
		if want := connectorID + " " + customerIP; len(r.health.seen) != 2 || r.health.seen[0] != want {
			t.Errorf("signs of life %q, want two of %q", r.health.seen, want)
		}
		options(r.phone(transport.UDP, carrierIP), nodeIP).want("200")
		options(r.phone(transport.UDP, strangerIP), host).want("403")
		options(r.phone(transport.UDP, strangerIP), "nobody.example.com").want("404")
		r.sbc.draining.Store(true)
		if m := options(r.customer(transport.TCP), host).want("503"); m.Lookup("Retry-After") == nil {
			t.Error("no Retry-After")
		}
		if len(r.health.seen) != 2 {
			t.Errorf("signs of life %q of those who were not let in", r.health.seen)
		}
		r.noRecord()
	})
	scenario(t, func(w *world) { w.connector.RequireEncryption = true }, func(r *rig) {
		options(r.customer(transport.TCP), host).want("403")
		options(r.customer(transport.TLS), host).want("200")
		if len(r.health.seen) != 1 {
			t.Errorf("signs of life %q", r.health.seen)
		}
	})
	scenario(t, func(w *world) { w.limits.Calls = 1 }, func(r *rig) { // an INVITE would be refused, too
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain)
		callee := connect(caller, tel, sdpPlain)
		for _, who := range []*agent{options(r.customer(transport.TCP), host), options(r.phone(transport.TCP, carrierIP), nodeIP)} {
			if m := who.want("503"); m.Lookup("Retry-After") == nil {
				t.Error("no Retry-After")
			}
		}
		hangUp(caller, callee)
		options(r.customer(transport.TCP), host).want("200")
		if len(r.health.seen) != 1 {
			t.Errorf("signs of life %q", r.health.seen)
		}
	})
	scenario(t, onlyCredentials, func(r *rig) {
		a := options(r.customer(transport.TCP), host)
		m := a.want("407")
		if len(r.health.seen) != 0 {
			t.Error("a stranger was a sign of life")
		}
		a.again("Proxy-Authorization: " + credentials(t, m, "OPTIONS", "sip:"+host, "alice", "secret"))
		a.want("200")
		if len(r.health.seen) != 1 {
			t.Error("no sign of life")
		}
	})
	scenario(t, func(w *world) { w.noHealth = true }, func(r *rig) { options(r.customer(transport.TCP), host).want("200") })
}

// lockedLog is a log that the node writes while the test reads.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
