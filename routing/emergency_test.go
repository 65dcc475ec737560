package routing

import (
	"testing"

	"carillon/call"
	"carillon/trunk"
)

// dnis is an emergency number of a connector, in a country it may not call otherwise; dnisTest the one to test it with,
// which is of a range that costs more.
const (
	dnis     = "+33123456789"
	dnisTest = "+19005550123"
)

func withDNIS(c *trunk.Connector) {
	c.Services = &trunk.Services{Emergency: &trunk.Emergency{DNIS: []trunk.DNIS{{Number: dnis, Test: dnisTest, Country: "FR"}}}}
}

// TestEmergencyNumbers: the connector's own emergency numbers pass the rules about numbers and countries, as 911 does,
// and go to the carrier that takes the number.
func TestEmergencyNumbers(t *testing.T) {
	french := &trunk.Carrier{Name: "french", Prefixes: []string{"+33"}, Targets: []trunk.Target{{Host: "198.51.100.33", Transport: trunk.UDP}}}
	const far = "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp"
	for name, st := range map[string]struct {
		user, to, want, targets string
		change                  func(*trunk.Connector)
		more                    []trunk.Entity
	}{
		"its number":                 {user: dnis, to: dnis, targets: "sip:198.51.100.33;transport=udp " + far},
		"its number without plus":    {user: dnis[1:], to: dnis, targets: "sip:198.51.100.33;transport=udp " + far},
		"the number to test it with": {user: dnisTest, to: dnisTest, targets: far},
		"another number there":       {user: "+33123456780", want: "country_not_allowed"},
		"not its own":                {user: dnis, change: func(c *trunk.Connector) { c.Services = nil }, want: "country_not_allowed"},
		"held by a connector":        {user: dnis, to: dnis, more: []trunk.Entity{&trunk.PhoneNumber{E164: dnis, Account: other, ConnectorID: "b"}}, targets: "sip:198.51.100.33;transport=udp " + far},
		"911 as ever":                {user: "911", to: "911", targets: far},
	} {
		c := newConnector()
		withDNIS(c)
		if st.change != nil {
			st.change(c)
		}
		// The caller has no number: an emergency call is not refused for that.
		p, refusal := PlanOutbound(snapshot(t, c, append(st.more, french)...), c, Facts{User: st.user, From: "alice"}, chooser(1))
		if reason(refusal) != st.want || targets(p) != st.targets {
			t.Errorf("%s: refused %q, targets %s; want %q, %s", name, reason(refusal), targets(p), st.want, st.targets)
		}
		if refusal == nil && (!p.Emergency || p.To != st.to || p.Inside != nil || p.Targets[0].User != st.to || p.From != "alice") {
			t.Errorf("%s: plan %+v", name, p)
		}
	}
}

// TestCallingName: the name of a number that is the caller id is shown, else that of its account; to nobody from whom the
// number is hidden, and with no other number.
func TestCallingName(t *testing.T) {
	const queued = trunk.Number("+12065550177")
	at := newConnector().Created.AddDate(1, 0, 0)
	named := &trunk.PhoneNumber{E164: own, Account: account, ConnectorID: "a", CallingName: "Reception"}
	settings := &trunk.AccountSettings{Account: account, CallingName: "Acme"}
	theirName := &trunk.AccountSettings{Account: other, CallingName: "Others"}
	for name, st := range map[string]struct {
		facts          Facts
		fallback       trunk.Number
		more           []trunk.Entity
		wantID, wantAs string // or the refusal
	}{
		"the number's":                          {facts: Facts{From: string(own)}, more: []trunk.Entity{named, settings}, wantID: string(own), wantAs: "Reception"},
		"the account's":                         {facts: Facts{From: string(spare)}, more: []trunk.Entity{named, settings}, wantID: string(spare), wantAs: "Acme"},
		"none":                                  {facts: Facts{From: string(spare)}, more: []trunk.Entity{named, theirName}, wantID: string(spare)},
		"hidden":                                {facts: Facts{From: string(own), Private: true}, more: []trunk.Entity{named, settings}, wantID: string(own)},
		"of the default number":                 {facts: Facts{From: "alice"}, fallback: own, more: []trunk.Entity{named, settings}, wantID: string(own), wantAs: "Reception"},
		"of a default that is in no inventory":  {facts: Facts{From: "alice"}, fallback: "+12125550188", more: []trunk.Entity{settings}, wantID: "+12125550188"},
		"of an emergency call with some number": {facts: Facts{From: string(theirs), User: "911"}, more: []trunk.Entity{settings, theirName}, wantID: string(theirs)},
		"in the deletion queue": {facts: Facts{From: string(queued)}, more: []trunk.Entity{&trunk.PhoneNumber{E164: queued, Account: account, CallingName: "Gone", Deleted: at}, settings},
			wantID: "caller_id_not_owned"},
		"default in the deletion queue": {facts: Facts{From: "alice"}, fallback: queued, more: []trunk.Entity{&trunk.PhoneNumber{E164: queued, Account: account, Deleted: at}},
			wantID: "caller_id_not_owned"},
		"default that is another account's": {facts: Facts{From: "alice"}, fallback: theirs, wantID: "caller_id_not_owned"},
		"default that went to the pool":     {facts: Facts{From: "alice"}, fallback: pooled, wantID: "caller_id_not_owned"},
	} {
		c := newConnector()
		c.Termination.DefaultPhoneNumber = string(st.fallback)
		st.facts.User = firstOf(st.facts.User, "+12125550123")
		p, refusal := PlanOutbound(snapshot(t, c, st.more...), c, st.facts, chooser(1))
		id := p.From
		if refusal != nil {
			id = reason(refusal)
		}
		if id != st.wantID || p.Name != st.wantAs {
			t.Errorf("%s: %q as %q, want %q as %q", name, id, p.Name, st.wantID, st.wantAs)
		}
	}
}

// TestNumbersInTheDeletionQueue take no calls, from carriers or from inside.
func TestNumbersInTheDeletionQueue(t *testing.T) {
	c := newConnector()
	v := snapshot(t, c, &trunk.PhoneNumber{E164: theirs, Account: other, ConnectorID: "b", Deleted: c.Created.AddDate(1, 0, 0)})
	if _, _, refusal := FindConnector(v, Facts{User: string(theirs)}); reason(refusal) != call.ReasonNumberUnknown.String() {
		t.Errorf("from a carrier: refused %q", reason(refusal))
	}
	if p, refusal := PlanOutbound(v, c, Facts{User: string(theirs), From: string(own)}, chooser(1)); refusal != nil || p.Inside != nil || p.Carrier == nil {
		t.Errorf("from inside: %+v, %v", p, refusal)
	}
}
