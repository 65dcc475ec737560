package sbc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// A group of the account: its encrypted connector, whose PBX is at pbx.example.org, and a plain one beside it.
const (
	groupNumber = "+12065550500"
	plainID     = "cccccccccccccccccccccc"
	plainIP     = "192.0.2.30"
)

// grouped makes the world of a group whose members are tried in this order.
func grouped(first, second string) func(*world) {
	return func(w *world) {
		w.encrypted()
		plain := newConnector(plainID, account, plainID+".voiceconnector.example.com")
		plain.Origination.Routes[0].Host = plainIP
		w.more = append(w.more, plain,
			&trunk.Group{ID: "g", Account: account, Distribution: trunk.PriorityWeighted, Members: []trunk.Member{
				{ConnectorID: second, Priority: 2}, {ConnectorID: first, Priority: 1},
			}},
			&trunk.PhoneNumber{E164: groupNumber, Account: account, GroupID: "g"},
			&trunk.Quota{Account: account, Name: trunk.QuotaActiveCalls, Value: 1},
		)
	}
}

// groupMember is what stands behind a connector of the group.
type groupMember struct {
	id     string
	secure bool
	pbx    *peer
}

// members puts both PBXs in their places, in the order in which they are tried.
func (r *rig) members(first string) [2]groupMember {
	both := [2]groupMember{{connectorID, true, r.pbx()}, {plainID, false, r.peer(transport.UDP, plainIP+":5060")}}
	if first == plainID {
		both[0], both[1] = both[1], both[0]
	}
	return both
}

// rings takes the INVITE at a member and holds it against the rules of its connector.
func (m groupMember) rings(t *testing.T) *agent {
	t.Helper()
	target := m.pbx.ring()
	if got := string(target.invite.Lookup("X-VoiceConnector-ID")); got != m.id {
		t.Errorf("X-VoiceConnector-ID is %q at the customer of %s", got, m.id)
	}
	if secure := strings.Contains(string(target.invite.Body()), "SAVP"); secure != m.secure {
		t.Errorf("%s was offered %s", m.id, target.invite.Body())
	}
	return target
}

func (m groupMember) sdp() string { return map[bool]string{true: sdpSecure, false: sdpPlain}[m.secure] }

// callers are who can call the group's number: a carrier, and a customer of the installation.
var callers = map[string]func(*rig) *agent{
	"from a carrier": func(r *rig) *agent {
		return r.phone(transport.UDP, carrierIP).dial("sip:"+groupNumber+"@"+nodeIP, farNumber, sdpPlain)
	},
	"from inside": func(r *rig) *agent {
		return r.customer(transport.UDP).dial("sip:"+groupNumber+"@"+otherHost, otherNumber, sdpPlain)
	},
}

// TestGroupTakesOver: when a member's hosts do not take a call, the next member's do, each under its own connector's
// rules; who took the call is in the record, and in the record of the caller's account it is not.
func TestGroupTakesOver(t *testing.T) {
	for name, place := range callers {
		for _, order := range [][2]string{{connectorID, plainID}, {plainID, connectorID}} {
			t.Run(name+", first "+order[0][:1], func(t *testing.T) {
				scenario(t, grouped(order[0], order[1]), func(r *rig) {
					members := r.members(order[0])
					caller := place(r).start()
					caller.want("100")
					first := members[0].rings(t)
					members[1].pbx.quiet()
					first.answer(180, "")
					caller.want("180")
					first.answer(503, "")
					members[0].pbx.want("ACK")
					second := members[1].rings(t)
					members[0].pbx.quiet()
					second.answer(200, members[1].sdp())
					members[1].pbx.want("ACK")
					caller.answered()
					caller.ack("")
					// Both legs are the call's: what is said inside of it crosses.
					caller.request("INFO", "")
					info := members[1].pbx.want("INFO")
					members[1].pbx.respond(info, 200, "", "")
					caller.want("200")
					hangUp(caller, second)
					r.wantTaken(name, members[1])
				})
			})
		}
	}
}

// wantTaken looks for the record of the member that took the call.
func (r *rig) wantTaken(caller string, m groupMember) {
	r.t.Helper()
	time.Sleep(time.Second)
	records := r.records.list()
	if inside := caller == "from inside"; len(records) != map[bool]int{true: 2, false: 1}[inside] {
		r.t.Fatalf("%d records: %+v", len(records), records)
	} else if inside {
		if records[0].ConnectorID != otherID || records[0].Account != otherAccount || records[0].RequireEncryption {
			r.t.Errorf("the caller's record is of %s, encryption required %v", records[0].ConnectorID, records[0].RequireEncryption)
		}
		records = records[1:]
	}
	got := records[0]
	if got.ConnectorID != m.id || got.Account != account || got.RequireEncryption != m.secure || got.Direction != "Inbound" || got.Reason != call.ReasonHangup.String() {
		r.t.Errorf("the record is of %s, account %s, encryption required %v, %s, %s; want %s", got.ConnectorID, got.Account, got.RequireEncryption, got.Direction, got.Reason, m.id)
	}
	if len(got.Attempts) != 2 || got.Attempts[0].ConnectorID == got.Attempts[1].ConnectorID || got.Attempts[1].ConnectorID != m.id {
		r.t.Errorf("attempts %+v, the last of %s", got.Attempts, m.id)
	}
	if len(got.Attempts) != 2 || got.Attempts[0].Status != 503 || got.Attempts[1].Status != 200 || strings.Contains(got.Attempts[1].Target, "tls") != m.secure {
		r.t.Errorf("attempts %+v", got.Attempts)
	}
	if (got.Customer.Transport == "tls") != m.secure {
		r.t.Errorf("the customer's leg ran over %s", got.Customer.Transport)
	}
}

// TestGroupHoldsThePromise: an encrypted member that answers in the clear ends the call, also after a plain one, and
// another member is not tried: whoever answered has the caller's ear.
func TestGroupHoldsThePromise(t *testing.T) {
	for _, order := range [][2]string{{connectorID, plainID}, {plainID, connectorID}} {
		t.Run("first "+order[0][:1], func(t *testing.T) {
			scenario(t, grouped(order[0], order[1]), func(r *rig) {
				members := r.members(order[0])
				caller := callers["from a carrier"](r).start()
				caller.want("100")
				secure := members[0].rings(t)
				if order[0] == plainID {
					secure.answer(503, "")
					members[0].pbx.want("ACK")
					secure = members[1].rings(t)
				}
				secure.answer(200, sdpPlain)
				secure.want("ACK")
				secure.bye()
				caller.refused("488")
				got := r.record()
				if got.Reason != call.ReasonMediaNotEncrypted.String() || got.ConnectorID != connectorID || !got.RequireEncryption {
					t.Errorf("record %+v", got)
				}
			})
		})
	}
}

// TestGroupNeverRingsTwoPhones: a member that rings for too long has stopped before the next one rings.
func TestGroupNeverRingsTwoPhones(t *testing.T) {
	scenario(t, grouped(plainID, connectorID), func(r *rig) {
		members := r.members(plainID)
		caller := callers["from a carrier"](r).start()
		caller.want("100")
		first := members[0].rings(t)
		first.answer(180, "")
		caller.want("180")
		time.Sleep(DefaultRing - time.Second)
		members[1].pbx.quiet()
		time.Sleep(time.Second)
		members[0].pbx.respond(members[0].pbx.want("CANCEL"), 200, first.tag, "")
		members[1].pbx.quiet()
		first.answer(487, "")
		members[0].pbx.want("ACK")
		second := members[1].rings(t)
		second.answer(200, sdpSecure)
		second.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, second)
		if got := r.record(); got.ConnectorID != connectorID || len(got.Attempts) != 2 {
			t.Errorf("record %+v", got)
		}
	})
}

// TestGroupGivesUp: when no member takes the call, the record names the last one that was tried, and nothing that was
// counted stays counted.
func TestGroupGivesUp(t *testing.T) {
	for name, place := range callers {
		t.Run(name, func(t *testing.T) {
			scenario(t, grouped(plainID, connectorID), func(r *rig) {
				members := r.members(plainID)
				for range 2 { // the quota of one call holds the second only if the first was given back
					caller := place(r).start()
					caller.want("100")
					first := members[0].rings(t)
					first.answer(503, "")
					members[0].pbx.want("ACK")
					second := members[1].rings(t)
					second.answer(503, "") // both have failed of late now, so that their order stays
					members[1].pbx.want("ACK")
					caller.refused("500")
				}
				all := r.records.list()
				if name == "from inside" {
					all = []call.Record{all[1], all[3]}
				}
				for _, got := range all {
					if got.ConnectorID != connectorID || len(got.Attempts) != 2 {
						t.Errorf("record %+v", got)
					}
				}
			})
		})
	}
}

// TestGroupWithoutRoute: a number whose group leads nowhere is refused as such, on the books of the account where the
// group has a connector.
func TestGroupWithoutRoute(t *testing.T) {
	for name, change := range map[string]func(*world){
		"disabled": func(w *world) {
			w.connector.Origination.Disabled = true
			w.more[0].(*trunk.Connector).Origination = nil
		},
		"no members": func(w *world) { w.more[1].(*trunk.Group).Members = nil },
	} {
		scenario(t, func(w *world) { grouped(connectorID, plainID)(w); change(w) }, func(r *rig) {
			r.phone(transport.TCP, carrierIP).dial("sip:"+groupNumber+"@"+nodeIP, farNumber, sdpPlain).start().refused("404")
			if name == "disabled" {
				r.wantRecord(call.ReasonNoRoute, 404, "")
			}
			inside := r.customer(transport.TCP).dial("sip:"+groupNumber+"@"+otherHost, otherNumber, sdpPlain).start().refused("404")
			if text := string(inside.Lookup("Warning")); !strings.Contains(text, "group") {
				t.Errorf("%s: Warning is %s", name, text)
			}
		})
	}
}

// TestGroupRedirects: what a member's host redirects to is called under that member's rules.
func TestGroupRedirects(t *testing.T) {
	scenario(t, func(w *world) {
		grouped(plainID, connectorID)(w)
		w.more[0].(*trunk.Connector).Settings.Redirects = trunk.FollowRedirects
	}, func(r *rig) {
		members := r.members(plainID)
		elsewhere := groupMember{plainID, false, r.peer(transport.UDP, "192.0.2.31:5060")}
		caller := callers["from a carrier"](r).start()
		caller.want("100")
		first := members[0].rings(t)
		first.answer(302, "", "Contact: <sip:192.0.2.31>")
		members[0].pbx.want("ACK")
		moved := elsewhere.rings(t)
		moved.answer(503, "")
		elsewhere.pbx.want("ACK")
		second := members[1].rings(t)
		// The encrypted member's connector follows no redirects.
		second.answer(302, "", "Contact: <sips:pbx.example.org>")
		members[1].pbx.want("ACK")
		caller.refused("480")
		if got := r.record(); got.ConnectorID != connectorID || len(got.Attempts) != 3 {
			t.Errorf("record %+v", got)
		}
	})
}

// TestGroupRehearsal names each target's connector.
func TestGroupRehearsal(t *testing.T) {
	scenario(t, grouped(plainID, connectorID), func(r *rig) {
		got := r.sbc.Rehearse(call.Question{Host: nodeIP, From: farNumber, To: groupNumber, Source: mustAddr(carrierIP + ":5060"), Transport: "udp"})
		want := []call.RehearsedTarget{
			{URI: "sip:" + plainIP + ";transport=udp", SRTP: "off", ConnectorID: plainID},
			{URI: "sip:pbx.example.org;transport=tls", SRTP: "require", ConnectorID: connectorID},
		}
		if !got.Admitted || got.ConnectorID != plainID || !slices.Equal(got.Targets, want) {
			t.Errorf("rehearsed %+v", got)
		}
	})
}

// TestOwnEmergencyNumbers: an emergency number of the connector passes limits and a store out of reach, as 911 does.
func TestOwnEmergencyNumbers(t *testing.T) {
	const dnis = "+33123456789"
	stale := false
	scenario(t, func(w *world) {
		w.connector.Termination.CpsLimit = 1
		w.connector.Services = &trunk.Services{Emergency: &trunk.Emergency{DNIS: []trunk.DNIS{{Number: dnis, Country: "FR"}}}}
		w.more = []trunk.Entity{&trunk.Quota{Account: account, Name: trunk.QuotaActiveCalls, Value: 0}}
	}, func(r *rig) {
		r.sbc.cfg.Stale = func() bool { return stale }
		tel := r.tel()
		for i, st := range []struct {
			number string
			stale  bool
			want   string
		}{{farNumber, false, "503"}, {dnis, false, ""}, {dnis, true, ""}, {"911", true, ""}, {farNumber, true, "503"}, {"+33123456780", false, "503"}} {
			stale = st.stale
			caller := r.customer(transport.TCP).dial("sip:"+st.number+"@"+host, "nobody", sdpPlain).start()
			if st.want != "" {
				caller.refused(st.want)
				continue
			}
			caller.want("100")
			target := tel.ring()
			if got := string(target.invite.RequestURI().User); got != st.number {
				t.Errorf("call %d: dialled %s", i, got)
			}
			target.answer(486, "")
			tel.want("ACK")
			caller.refused("486")
		}
		stale = false
	})
}

// TestCallingName: the name that goes with a number is shown to who is called, quoted, and not where the number is hidden.
func TestCallingName(t *testing.T) {
	scenario(t, func(w *world) {
		w.more = []trunk.Entity{
			&trunk.PhoneNumber{E164: "+12065550101", Account: account, CallingName: `Acme "Inc" \`},
			&trunk.PhoneNumber{E164: "+12065550102", Account: account, CallingName: "A\r\nX-Evil: 1\x00<sip:evil@x>"},
			&trunk.AccountSettings{Account: account, CallingName: "Acme"},
		}
	}, func(r *rig) {
		tel, pbx := r.tel(), r.peer(transport.UDP, pbxIP+":5060")
		for _, st := range []struct {
			from, to string
			at       *peer
			headers  []string
			want     string // what From begins with
			asserted string
		}{
			{ownNumber, farNumber, tel, nil, `"Acme" <sip:` + ownNumber + "@", `"Acme" <sip:` + ownNumber + "@" + domain + ">"},
			{ownNumber, otherNumber, pbx, nil, `"Acme" <sip:` + ownNumber + "@", `"Acme" <sip:` + ownNumber + "@" + domain + ">"},
			{"+12065550101", farNumber, tel, nil, `"Acme \"Inc\" \\" <sip:+12065550101@`, `"Acme \"Inc\" \\" <sip:+12065550101@` + domain + ">"},
			{"+12065550102", farNumber, tel, nil, `"A  X-Evil: 1 <sip:evil@x>" <sip:+12065550102@`, `"A  X-Evil: 1 <sip:evil@x>" <sip:+12065550102@` + domain + ">"},
			{ownNumber, farNumber, tel, []string{"Privacy: id"}, `"Anonymous" <sip:anonymous@`, "<sip:" + ownNumber + "@" + domain + ">"},
			{"someone", "911", tel, nil, "<sip:someone@", ""},
		} {
			caller := r.customer(transport.TCP).dial("sip:"+st.to+"@"+host, st.from, sdpPlain).start(st.headers...)
			caller.want("100")
			target := st.at.ring()
			if got := string(target.invite.Get(sip.HdrFrom)); !strings.HasPrefix(got, st.want) {
				t.Errorf("%s to %s: From is %s, want %s…", st.from, st.to, got, st.want)
			}
			if got := string(target.invite.Get(sip.HdrPAssertedIdentity)); got != st.asserted {
				t.Errorf("%s to %s: P-Asserted-Identity is %s, want %s", st.from, st.to, got, st.asserted)
			}
			if strings.Contains(string(target.invite.Bytes()), "Alice") {
				t.Errorf("the caller's own words crossed: %s", target.invite.Bytes())
			}
			target.answer(486, "")
			st.at.want("ACK")
			caller.refused("486")
		}
	})
}
