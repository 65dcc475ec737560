package routing

import (
	"slices"

	"carillon/call"
	"carillon/numbering"
	"carillon/trunk"
)

// PlanOutbound plans a call of a connector's customer that has passed Screen, authentication and limits.
//
// A number that another connector of the installation holds, or a group, stays inside: its routes are the targets and no
// carrier hears of the call.
func PlanOutbound(v View, c *trunk.Connector, f Facts, choose Chooser) (Plan, *call.Refusal) {
	p := Plan{Direction: call.Outbound, Connector: c, Revision: v.Revision(), Private: f.Private}
	number, refusal := dialled(c, f, &p)
	if refusal == nil {
		refusal = callerID(v, c, f, &p)
	}
	if refusal != nil {
		return p, refusal
	}
	if p.Emergency { // whoever serves it is not one more customer, whose routes and limits would stand in the way
		return p, carry(v, number, &p, choose)
	}
	all, held := holders(v, number, choose.Random)
	if !held {
		return p, carry(v, number, &p, choose)
	}
	if len(all) > 0 {
		p.Inside = all[0]
	}
	if p.Targets, refusal = lead(all, p.To, choose); refusal == nil {
		p.Inside = p.Targets[0].Connector
	}
	return p, refusal
}

// MayDial judges a number that a connector's customer has somebody else dial for it: by the rules of PlanOutbound for
// numbers, and by whether it may place calls at all.
func MayDial(c *trunk.Connector, user string) *call.Refusal {
	switch t := c.Termination; {
	case t == nil:
		return call.Refuse(call.ReasonTerminationDisabled, "has no termination")
	case t.Disabled:
		return call.Refuse(call.ReasonTerminationDisabled, "has its termination disabled")
	}
	_, refusal := dialled(c, Facts{User: user}, &Plan{})
	return refusal
}

// dialled judges what the customer dialled and returns its number; none for an emergency number that has no country.
func dialled(c *trunk.Connector, f Facts, p *Plan) (trunk.Number, *call.Refusal) {
	p.To, p.Emergency = f.User, Emergency(c, f.User)
	if numbering.Emergency(f.User) {
		return "", nil
	}
	n, ok := trunk.ParseNumber(f.User)
	if ok && !p.Emergency {
		n, ok = trunk.ParseDialled(f.User)
	}
	if !ok {
		return "", call.Refuse(call.ReasonNumberMalformed, Printable(f.User))
	}
	p.To, p.ToCountry = string(n), numbering.Country(n)
	switch {
	case p.Emergency:
	case p.ToCountry == "" && numbering.HighRisk(n) && c.Settings.Premium: // a network that is in no country's region
	case p.ToCountry != "" && !slices.Contains(c.Termination.CallingRegions, p.ToCountry):
		return n, call.Refuse(call.ReasonCountryNotAllowed, string(n)+" is in "+p.ToCountry+", which Termination.CallingRegions does not allow")
	case numbering.HighRisk(n) && !c.Settings.Premium:
		return n, &call.Refusal{Reason: call.ReasonCountryNotAllowed, Detail: string(n) + " is a premium or satellite number, and the connector's setting premium is off",
			Fix: "The operator allows such numbers: carillon connector set ID premium=on."}
	case p.ToCountry == "":
		return n, &call.Refusal{Reason: call.ReasonCountryNotAllowed, Detail: string(n) + " belongs to no country that Termination.CallingRegions could allow",
			Fix: "Dial a number that is assigned."}
	}
	return n, nil
}

// carry lists the carriers that take a number, the best first.
func carry(v View, number trunk.Number, p *Plan, choose Chooser) *call.Refusal {
	for _, carrier := range v.CarrierFor(number) {
		p.Targets = appendCarrier(p.Targets, carrier, p.To)
	}
	demote(p.Targets, choose.Failed)
	if len(p.Targets) == 0 {
		return call.Refuse(call.ReasonNoRoute, "No carrier takes "+Printable(p.To)+".")
	}
	p.Carrier = p.Targets[0].Carrier
	return nil
}

// callerID chooses the caller id: P-Asserted-Identity if the account holds it, else P-Preferred-Identity, else From.
// DefaultPhoneNumber takes the place of one that is missing or not held. Only a number that is chosen has a name.
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
			showAs(v, c, n, p)
			return nil
		}
	}
	if n, ok := trunk.ParseNumber(c.Termination.DefaultPhoneNumber); ok && mayShow(v, c, n) {
		showAs(v, c, n, p)
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

// mayShow reports whether a connector's default number may be its caller id. One that the installation knows must be the
// account's own, and not on its way to somebody else; of one that it does not know the account says so.
func mayShow(v View, c *trunk.Connector, n trunk.Number) bool {
	_, known := v.Number(n)
	return !known || v.OwnsNumber(c.Account, n)
}

// showAs makes a number the caller id, with the name that its account gave it.
func showAs(v View, c *trunk.Connector, n trunk.Number, p *Plan) {
	p.From, p.FromCountry = string(n), numbering.Country(n)
	number, known := v.Number(n)
	if !known || p.Private {
		return
	}
	if p.Name = number.CallingName; p.Name == "" {
		p.Name = v.AccountSettings(c.Account).CallingName
	}
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
