package api

import (
	"net/netip"
	"slices"

	v1 "carillon/api/v1"
	"carillon/call"
	"carillon/trunk"
)

// Rehearser says what the signalling plane would do with an INVITE.
type Rehearser interface {
	// Rehearse judges without dialling, counting or recording anything.
	Rehearse(call.Question) call.Rehearsal
}

// rehearse answers what would happen to an INVITE. A tenant learns only of its own connectors, and of calls from
// carriers only for its own numbers: for any other it is told what a stranger is.
func rehearse(r *request) (any, error) {
	in, err := readOwn[v1.Rehearse](r)
	if err != nil {
		return nil, err
	}
	q, err := question(in)
	if err != nil {
		return nil, err
	}
	if !in.Inbound {
		c, err := r.rehearsed(in)
		if err != nil {
			return nil, err
		}
		q.Host = c.HostName
	}
	out := r.server.config.Rehearser.Rehearse(q)
	if r.principal.Operator {
		return &out, nil
	}
	if r.foreign(in, &out) {
		return nil, notFound()
	}
	out.Targets = slices.Clone(out.Targets)
	for i := range out.Targets { // carriers belong to the installation, and other accounts' hosts to them
		if t := &out.Targets[i]; t.Carrier != "" || !r.owns(t.ConnectorID) {
			*t = call.RehearsedTarget{SRTP: t.SRTP, Carrier: "carrier"}
		}
	}
	if !r.owns(out.Inside) {
		out.Inside = ""
	}
	return &out, nil
}

// foreign reports whether a rehearsal is about what is not the caller's. Another account's number and one that nobody has
// get one answer, whatever stands behind the first: else whoever asks could find out which numbers are in use here.
func (r *request) foreign(in *v1.Rehearse, out *call.Rehearsal) bool {
	if out.Account != "" {
		return out.Account != r.principal.Account
	}
	if !slices.ContainsFunc(out.Rules, func(rule call.RehearsedRule) bool { return rule.Rule == call.RuleNumber }) {
		return false // refused for what all numbers have in common
	}
	n, ok := trunk.ParseNumber(in.To)
	return !ok || !r.snapshot.OwnsNumber(r.principal.Account, n)
}

// owns reports whether a connector is the caller's own.
func (r *request) owns(connectorID string) bool {
	c, ok := r.snapshot.Connector(connectorID)
	return ok && c.Account == r.principal.Account
}

func question(in *v1.Rehearse) (call.Question, error) {
	q := call.Question{From: in.From, To: in.To, Transport: in.Transport, SRTP: true, SIPS: in.SIPS, User: in.User}
	if len(in.From) > 128 || len(in.To) > 128 || len(in.User) > 128 || in.To == "" {
		return q, trunk.Errorf(trunk.Invalid, "to must be given; from, to and user have at most 128 characters.")
	}
	if q.Transport == "" {
		q.Transport = "tls"
	}
	if !slices.Contains([]string{"udp", "tcp", "tls"}, q.Transport) {
		return q, trunk.Errorf(trunk.Invalid, "transport must be udp, tcp or tls.")
	}
	if q.SRTP = q.Transport == "tls"; in.SRTP != nil {
		q.SRTP = *in.SRTP
	}
	source, err := netip.ParseAddrPort(in.Source)
	if err != nil {
		addr, err := netip.ParseAddr(in.Source)
		if err != nil || addr.Zone() != "" {
			return q, trunk.Errorf(trunk.Invalid, "source must be the address an INVITE would come from, for example 203.0.113.7.")
		}
		source = netip.AddrPortFrom(addr, 0)
	}
	q.Source = source
	return q, nil
}

// rehearsed finds the connector the call would be sent to: the one named, else the one that takes the caller's own
// number, else the only one of the account.
func (r *request) rehearsed(in *v1.Rehearse) (*trunk.Connector, error) {
	if in.ConnectorID != "" {
		c, ok := r.snapshot.Connector(in.ConnectorID)
		if !ok || !r.operatedConnector(c) {
			return nil, notFound()
		}
		return c, nil
	}
	if from, ok := trunk.ParseNumber(in.From); ok && r.snapshot.OwnsNumber(r.principal.Account, from) {
		number, _ := r.snapshot.Number(from)
		if c, ok := r.snapshot.Connector(number.ConnectorID); ok {
			return c, nil
		}
	}
	all := r.snapshot.Connectors(r.principal.Account, "", 2)
	if len(all) == 1 {
		return all[0], nil
	}
	return nil, trunk.Errorf(trunk.Invalid, "Which Voice Connector? Name it (connector_id, --connector), or say that a carrier calls (inbound, --inbound).")
}
