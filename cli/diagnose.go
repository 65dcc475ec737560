package cli

import (
	"context"
	"net/http"
	"net/netip"
	"slices"

	"carillon/api/wire"
)

// diagnose explains a refusal that came without a sentence. A node tells strangers no rule by which to find their way
// in, but whoever may read the connector's settings is none. Where they explain nothing, the node's log does.
func (c *client) diagnose(ctx context.Context, o *outcome, p callPlan) error {
	if o.Verdict != "" || o.Status != http.StatusForbidden && o.Status != http.StatusProxyAuthRequired {
		return nil
	}
	t, err := c.termination(ctx, p.Connector)
	if err != nil {
		return err
	}
	from, err := sourceFor(p.Target)
	if err != nil {
		return err
	}
	o.Verdict = explain(o.Status, t, from, p.User)
	return nil
}

func explain(status int, t *wire.Termination, from netip.Addr, user string) string {
	switch {
	case status == http.StatusProxyAuthRequired && user == "":
		return "The connector has termination credentials: give --user and --password."
	case status == http.StatusProxyAuthRequired:
		return "The connector does not take this user name and password."
	case t == nil:
		return "The connector has no termination, so nobody may call out: put one, or let --prepare do it."
	case t.Disabled != nil && *t.Disabled:
		return "The connector's termination is disabled."
	case len(t.CIDRAllowedList) > 0 && !slices.ContainsFunc(t.CIDRAllowedList, func(text string) bool {
		network, err := netip.ParsePrefix(text)
		return err == nil && network.Contains(from)
	}):
		return "The termination's CidrAllowedList does not have " + from.String() + ", from which this machine calls."
	}
	return "The node does not tell callers why: look for msg=refused in its log."
}
