package sbc

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"carillon/call"
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
	to, hostPart, _ := strings.Cut(strings.TrimPrefix(a.req.URI, "sip:"), "@")
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
