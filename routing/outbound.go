package routing

import (
	"slices"

	"carillon/call"
	"carillon/numbering"
	"carillon/trunk"
)

// PlanOutbound plans a call of a connector's customer that has passed Screen, authentication and limits.
//
// A number that another connector of the installation holds stays inside: its routes are the targets and no carrier
// hears of the call.
func PlanOutbound(v View, c *trunk.Connector, f Facts, choose Chooser) (Plan, *call.Refusal) {
	p := Plan{Direction: call.Outbound, Connector: c, Revision: v.Revision(), Private: f.Private, Emergency: numbering.Emergency(f.User)}
	p.To = f.User
	var number trunk.Number
	if !p.Emergency {
		n, ok := trunk.ParseDialled(f.User)
		if !ok {
			return p, call.Refuse(call.ReasonNumberMalformed, Printable(f.User))
		}
		number = n
		p.To, p.ToCountry = string(n), numbering.Country(n)
		if !slices.Contains(c.Termination.CallingRegions, p.ToCountry) {
			return p, call.Refuse(call.ReasonCountryNotAllowed, countryDetail(n, p.ToCountry))
		}
		if numbering.HighRisk(n) {
			return p, call.Refuse(call.ReasonCountryNotAllowed, string(n)+" is a premium or satellite number")
		}
	}
	if r := callerID(v, c, f, &p); r != nil {
		return p, r
	}
	if inside, ok := holder(v, number); ok {
		p.Inside = inside
		var refusal *call.Refusal
		p.Targets, refusal = originate(inside, p.To, choose)
		return p, refusal
	}
	for _, carrier := range v.CarrierFor(number) {
		p.Targets = appendCarrier(p.Targets, carrier, p.To)
	}
	demote(p.Targets, choose.Failed)
	if len(p.Targets) == 0 {
		return p, call.Refuse(call.ReasonNoRoute, "No carrier takes "+Printable(p.To)+".")
	}
	p.Carrier = p.Targets[0].Carrier
	return p, nil
}

// holder returns the connector that takes calls for a number.
func holder(v View, n trunk.Number) (*trunk.Connector, bool) {
	number, ok := v.Number(n)
	if !ok || number.ConnectorID == "" {
		return nil, false
	}
	return v.Connector(number.ConnectorID)
}

// callerID chooses the caller id: P-Asserted-Identity if the account holds it, else P-Preferred-Identity, else From.
// DefaultPhoneNumber takes the place of one that is missing or not held.
func callerID(v View, c *trunk.Connector, f Facts, p *Plan) *call.Refusal {
	shown := ""
	for _, user := range []string{f.Asserted, f.Preferred, f.From} {
		if user == "" {
			continue
		}
		if shown == "" {
			shown = user
		}
		if n, ok := trunk.ParseNumber(user); ok && v.OwnsNumber(c.Account, n) {
			p.From, p.FromCountry = string(n), numbering.Country(n)
			return nil
		}
	}
	if n, ok := trunk.ParseNumber(c.Termination.DefaultPhoneNumber); ok {
		p.From, p.FromCountry = string(n), numbering.Country(n)
		p.Replaced = "none"
		if shown != "" {
			p.Replaced = Printable(shown)
		}
		return nil
	}
	if p.Emergency {
		// An emergency call is never refused for its caller id: the number it came with is better than no call.
		p.From = Printable(shown)
		return nil
	}
	return call.Refuse(call.ReasonCallerIDNotOwned, Printable(shown))
}

func appendCarrier(targets []Target, c *trunk.Carrier, user string) []Target {
	for _, t := range c.Targets {
		targets = append(targets, Target{
			Host: t.Host, Port: t.Port, Transport: t.Transport,
			User: user, SRTP: c.SRTP, Carrier: c,
		})
	}
	return targets
}

func countryDetail(n trunk.Number, country string) string {
	if country == "" {
		return string(n) + " belongs to no country"
	}
	return string(n) + " is in " + country
}

// Printable keeps what a stranger sent from forging lines in logs, headers and records.
func Printable(s string) string {
	const longest = 64
	b := make([]byte, 0, min(len(s), longest))
	for i := range len(s) {
		if len(b) == longest {
			break
		}
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' {
			c = '?'
		}
		b = append(b, c)
	}
	return string(b)
}
