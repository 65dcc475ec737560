package sbc

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"carillon/call"
	"carillon/clock"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// TestRehearsalIsTrue asks about every refusal of the table before it really happens: both must give the same reason and
// status, and the rehearsal must change nothing.
func TestRehearsalIsTrue(t *testing.T) {
	// What depends on the description itself or on the media plane is not rehearsed; all rules before it pass.
	unseen := []call.Reason{call.ReasonRequestNotSupported, call.ReasonNoCommonSuite, call.ReasonNoCommonCodec, call.ReasonBadDescription, call.ReasonNodeFull}
	for _, f := range refusals() {
		t.Run(f.reason.String(), func(t *testing.T) {
			scenario(t, f.world, func(r *rig) {
				p := r.customer(transport.UDP)
				a := p.outboundCall(sdpPlain)
				if f.dial != nil {
					a = f.dial(p)
				}
				if f.before != nil {
					f.before(r)
				}
				q := questionOf(a, f.sdp)
				if f.reason == call.ReasonCredentialsWrong {
					q.User = "mallory"
				}
				got := r.sbc.Rehearse(q)
				again := r.sbc.Rehearse(q)
				if got.Reason != again.Reason || r.sbc.Active() != 0 {
					t.Errorf("the rehearsal changed something: %s, then %s", got.Reason, again.Reason)
				}
				row := rejections[f.reason]
				switch {
				case slices.Contains(unseen, f.reason):
					if !got.Admitted {
						t.Errorf("refused for %s, which only the real offer can tell", got.Reason)
					}
				case got.Admitted || got.Reason != f.reason.String() || got.Status != row.status || got.Sentence == "" || got.Fix == "":
					t.Errorf("rehearsed %+v, want %v with %d", got, f.reason, row.status)
				case got.Rules[len(got.Rules)-1].Passed || len(got.Targets) > 0:
					t.Errorf("the last rule passed, or there are targets: %+v", got)
				}
				r.noRecord()
			})
		})
	}
}

func questionOf(a *agent, sdp string) call.Question {
	to, hostPart, _ := strings.Cut(a.req.URI[strings.Index(a.req.URI, ":")+1:], "@")
	from, _, _ := strings.Cut(a.req.From[strings.Index(a.req.From, "sip:")+4:], "@")
	return call.Question{
		Host: hostPart, From: from, To: to, Source: a.addr, Transport: strings.ToLower(a.proto.String()), SRTP: strings.Contains(sdp, "crypto"),
	}
}

// A call that is let in goes to the targets that the rehearsal named, in that order.
func TestRehearsedTargets(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		q := call.Question{Host: strings.ToUpper(host), From: ownNumber, To: farNumber, Source: netip.MustParseAddrPort(customerIP + ":5061"), Transport: "tls", SRTP: true}
		got := r.sbc.Rehearse(q)
		want := []call.RehearsedTarget{{URI: "sip:" + carrierIP + ";transport=udp", SRTP: "off", Carrier: "tel"}, {URI: "sip:" + backupIP + ";transport=udp", SRTP: "off", Carrier: "tel"}}
		if !got.Admitted || !slices.Equal(got.Targets, want) || got.ConnectorID != connectorID || got.ToCountry != "US" || got.Direction != "Outbound" {
			t.Errorf("rehearsed %+v", got)
		}
		r.sbc.failures.add(want[0].URI, r.sbc.clock.Now(), DefaultFailedFor)
		if got = r.sbc.Rehearse(q); got.Targets[0] != want[1] || !got.Targets[1].Failing {
			t.Errorf("after a failure the targets are %+v", got.Targets)
		}
		q.SRTP = false
		if got = r.sbc.Rehearse(q); got.Reason != call.ReasonMediaNotEncrypted.String() || got.Status != 488 {
			t.Errorf("without SRTP %+v", got)
		}
		in := call.Question{Host: nodeIP, From: farNumber, To: ownNumber, Source: netip.MustParseAddrPort(carrierIP + ":5060"), Transport: "udp"}
		if got = r.sbc.Rehearse(in); !got.Admitted || got.Targets[0].URI != "sip:pbx.example.org;transport=tls" || got.Targets[0].SRTP != "require" || got.Direction != "Inbound" {
			t.Errorf("inbound %+v", got)
		}
		in.Source = netip.MustParseAddrPort(strangerIP + ":5060")
		if got = r.sbc.Rehearse(in); got.Reason != call.ReasonConnectorUnknown.String() || len(got.Rules) != 1 {
			t.Errorf("a stranger %+v", got)
		}
	})
	scenario(t, func(w *world) { w.withCredentials("alice", "secret") }, func(r *rig) {
		q := call.Question{Host: host, From: ownNumber, To: otherNumber, Source: netip.MustParseAddrPort(customerIP + ":5060"), Transport: "udp"}
		if got := r.sbc.Rehearse(q); got.Reason != call.ReasonCredentialsRequired.String() {
			t.Errorf("without credentials %+v", got)
		}
		q.User = "alice"
		if got := r.sbc.Rehearse(q); !got.Admitted || got.Inside != otherID {
			t.Errorf("with credentials, inside %+v", got)
		}
	})
	scenario(t, func(w *world) {
		w.more = []trunk.Entity{&trunk.Quota{Account: otherAccount, Name: trunk.QuotaActiveCalls, Value: 0}}
	}, func(r *rig) {
		q := call.Question{Host: host, From: ownNumber, To: otherNumber, Source: netip.MustParseAddrPort(customerIP + ":5060"), Transport: "udp"}
		got := r.sbc.Rehearse(q)
		if got.Reason != call.ReasonConcurrencyExceeded.String() || strings.ContainsAny(got.Sentence, "0123456789") {
			t.Errorf("a full called side %+v", got)
		}
		r.customer(transport.UDP).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpPlain).start().refused("503")
		if r.wantRecord(call.ReasonConcurrencyExceeded, 503, ""); r.records.list()[0].Sentence != got.Sentence {
			t.Errorf("the record says %q", r.records.list()[0].Sentence)
		}
	})
}

// agreement is a call that is rehearsed and then placed. Both must come to the same.
type agreement struct {
	name   string
	reason call.Reason
	world  func(*world)
	before func(*rig) (after func())
	dial   func(*rig) *agent
	ask    func(*call.Question)
	late   bool // it is known only once the call has begun
}

func agreements() (all []agreement) {
	for _, f := range refusals() {
		all = append(all, agreement{
			reason: f.reason, world: f.world, late: f.late,
			before: func(r *rig) func() {
				if f.before != nil {
					f.before(r)
				}
				return nil
			},
			dial: func(r *rig) *agent {
				p := r.customer(transport.TCP)
				switch {
				case f.dial != nil:
					return f.dial(p)
				case f.sdp != "":
					return p.outboundCall(f.sdp)
				}
				return p.outboundCall(sdpPlain)
			},
			ask: func(q *call.Question) {
				if q.SRTP = f.sdp == sdpSecure; f.reason == call.ReasonCredentialsWrong {
					q.User = "mallory"
				}
			},
		})
	}
	customer := func(r *rig) *agent { return r.customer(transport.TCP).outboundCall(sdpPlain) }
	datagram := func(r *rig) *agent { return r.customer(transport.UDP).outboundCall(strings.Repeat(sdpPlain, 20)) }
	stranger := func(r *rig) *agent { return r.phone(transport.TCP, strangerIP).outboundCall(sdpPlain) }
	inside := func(r *rig) *agent {
		return r.customer(transport.TCP).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpPlain)
	}
	sips := func(q *call.Question) { q.SIPS = true }
	return append(all, []agreement{
		{name: "no such host", reason: call.ReasonConnectorUnknown, dial: func(r *rig) *agent {
			return r.phone(transport.TCP, strangerIP).dial("sip:"+farNumber+"@nobody.example.com", ownNumber, sdpPlain)
		}},
		{name: "not in the list", reason: call.ReasonSourceNotAllowed, dial: stranger},
		{name: "nobody's number", reason: call.ReasonNumberUnknown, dial: func(r *rig) *agent {
			return r.phone(transport.TCP, carrierIP).dial("sip:+12065550999@"+nodeIP, farNumber, sdpPlain)
		}},
		{name: "sips in the clear", reason: call.ReasonSIPSNotOverTLS, dial: func(r *rig) *agent { return r.customer(transport.TCP).sipsCall(sdpPlain) }, ask: sips},
		{name: "sips to nobody", reason: call.ReasonSIPSNotAllowed, dial: func(r *rig) *agent { return r.customer(transport.TLS).sipsCall(sdpPlain) }, ask: sips},
		{name: "plain media", reason: call.ReasonMediaNotEncrypted, world: (*world).encrypted, late: true,
			dial: func(r *rig) *agent { return r.customer(transport.TLS).outboundCall(sdpPlain) }},
		{name: "plain media of a carrier", reason: call.ReasonMediaNotEncrypted, late: true, world: func(w *world) { w.carriers[0].SRTP = call.SRTPRequire },
			dial: func(r *rig) *agent { return r.phone(transport.TLS, carrierIP).inboundCall(sdpPlain) }},
		{name: "no credentials", reason: call.ReasonCredentialsRequired, world: onlyCredentials, dial: stranger},
		{name: "locked out", reason: call.ReasonCredentialsWrong, world: onlyCredentials, dial: stranger, before: func(r *rig) func() {
			for range freeMistakes + 1 {
				r.sbc.lockouts.blame(newGuesser(netip.MustParseAddr(strangerIP), connectorID), r.sbc.clock.Now())
			}
			return nil
		}, ask: func(q *call.Question) { q.User = "alice" }},
		{name: "unproven", reason: call.ReasonConcurrencyExceeded, dial: datagram, world: func(w *world) { w.limits.Unproven = 1 },
			before: func(r *rig) func() {
				r.sbc.actives.doubt(connectorID, 1)
				return func() { r.sbc.actives.trust(connectorID) }
			}},
		{name: "as many as the account may have", reason: call.ReasonConcurrencyExceeded, dial: customer,
			world: func(w *world) {
				w.more = []trunk.Entity{&trunk.Quota{Account: account, Name: trunk.QuotaActiveCalls, Value: 1}}
			},
			before: func(r *rig) func() {
				r.sbc.actives.enter(account, noLimit, noLimit)
				return func() { r.sbc.actives.leave(account) }
			}},
		{name: "as many as the connector may have", reason: call.ReasonConcurrencyExceeded, dial: customer,
			world: quota(account, trunk.QuotaConnectorCalls, 1),
			before: func(r *rig) func() {
				var seat string
				r.sbc.actives.sit(&seat, connectorID, noLimit)
				return func() { r.sbc.actives.stand(&seat) }
			}},
		{name: "the account's rate", reason: call.ReasonCPSExceeded, dial: customer, world: quota(account, trunk.QuotaAccountCPS, 0)},
		{name: "called connector", reason: call.ReasonConcurrencyExceeded, dial: inside, world: quota(otherAccount, trunk.QuotaConnectorCalls, 0)},
		{name: "called side", reason: call.ReasonConcurrencyExceeded, dial: inside, world: func(w *world) {
			w.more = []trunk.Entity{&trunk.Quota{Account: otherAccount, Name: trunk.QuotaActiveCalls, Value: 0}}
		}},
		{name: "full of calls, and the account too", reason: call.ReasonNodeFull, dial: customer,
			world: func(w *world) {
				w.limits.Calls = 1
				w.more = []trunk.Entity{&trunk.Quota{Account: account, Name: trunk.QuotaActiveCalls, Value: 1}}
			},
			before: func(r *rig) func() {
				r.sbc.actives.enter(account, noLimit, noLimit)
				return func() { r.sbc.actives.leave(account) }
			}},
		{name: "full of transactions", reason: call.ReasonNodeFull, dial: customer, world: (*world).oneTarget, before: func(r *rig) func() {
			layer, err := transaction.New(transaction.Config{Core: r.sbc, Clock: clock.System(), Rand: rand.Reader, MaxServer: 1})
			if err != nil {
				r.t.Fatal(err)
			}
			r.layer = layer
			r.sbc.Attach(layer, r.net)
			tel := r.tel()
			first := customer(r).start()
			first.want("100")
			return func() {
				busy(tel)
				first.refused("486")
			}
		}},
	}...)
}

// unrehearsed are the refusals that only a call can meet, and why.
var unrehearsed = map[call.Reason]string{
	call.ReasonRequestNotSupported:  "nobody is asked what else the INVITE would say",
	call.ReasonNoCommonSuite:        "the description is not there to be read",
	call.ReasonNoCommonCodec:        "the description is not there to be read",
	call.ReasonBadDescription:       "the description is not there to be read",
	call.ReasonAllTargetsFailed:     "nobody is dialled",
	call.ReasonCredentialsNeverSent: "it is said of a caller that does not come back",
	call.ReasonTransferNotAllowed:   "an INVITE with Replaces, or a REFER, is not rehearsed",
	call.ReasonDialogUnknown:        "an INVITE with Replaces is not rehearsed",
	call.ReasonDialogAnswered:       "an INVITE with Replaces is not rehearsed",
	call.ReasonInternal:             "a fault is not foreseen",
}

// TestRehearsalAgreesWithTheCall rehearses a call and then places it, for every reason of the table: the answer, the counted
// reason and the sentence of the record are those that the rehearsal foretold.
func TestRehearsalAgreesWithTheCall(t *testing.T) {
	met := map[call.Reason]bool{}
	for _, f := range agreements() {
		met[f.reason] = true
		t.Run(f.reason.String()+" "+f.name, func(t *testing.T) {
			scenario(t, f.world, func(r *rig) {
				var after func()
				if f.before != nil {
					after = f.before(r)
				}
				if after == nil {
					after = func() {}
				}
				defer after()
				a := f.dial(r)
				q := questionOf(a, a.req.Body)
				if f.ask != nil {
					f.ask(&q)
				}
				was := r.sbc.Rehearse(q)
				records := len(r.records.list())
				a.start()
				if f.late {
					a.want("100")
				}
				synctest.Wait()
				final := a.refused(a.next())
				synctest.Wait()
				if f.late && r.sbc.Stats().Ended(f.reason) != 1 || !f.late && r.sbc.Stats().Refused(f.reason) != 1 {
					t.Fatalf("the call was not refused for %v:\n%s", f.reason, final.Bytes())
				}
				if _, only := unrehearsed[f.reason]; only || f.reason == call.ReasonNodeFull && f.late {
					if !was.Admitted {
						t.Errorf("the rehearsal knew of %s, which only the call can tell", was.Reason)
					}
					return
				}
				if was.Admitted || was.Reason != f.reason.String() || was.Status != final.Status() {
					t.Errorf("rehearsed %d %s, and the call was answered %d for %v", was.Status, was.Reason, final.Status(), f.reason)
				}
				if all := r.records.list(); len(all) > records && f.reason != call.ReasonCredentialsWrong && !f.late {
					if got := all[len(all)-1]; got.Sentence != was.Sentence || got.Fix != was.Fix {
						t.Errorf("rehearsed %q %q, recorded %q %q", was.Sentence, was.Fix, got.Sentence, got.Fix)
					}
				}
			})
		})
	}
	for reason := range rejections {
		if _, never := unrehearsed[reason]; !met[reason] && !never {
			t.Errorf("%v is neither rehearsed nor said to be out of reach", reason)
		}
	}
}
