package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	v1 "carillon/api/v1"
	"carillon/call"
	"carillon/lab"
)

type rehearseCommand struct {
	nodeFlags
	From      string `placeholder:"NUMBER" help:"Caller id; left out: the default of the connector, or a number of it or of the account."`
	To        string `required:"" placeholder:"NUMBER|NAME" help:"Number dialled, or the name of a laboratory number such as echo."`
	Source    string `required:"" placeholder:"IP[:PORT]" help:"Address the INVITE would come from."`
	Connector string `placeholder:"VCID" help:"Connector it would be sent to; left out: the one that takes the caller's own number, or the only one."`
	Inbound   bool   `help:"It would come from a carrier."`
	Transport string `default:"tls" enum:"udp,tcp,tls" placeholder:"udp|tcp|tls" help:"Transport of SIP."`
	SRTP      string `default:"auto" enum:"auto,on,off" placeholder:"auto|on|off" help:"Whether media would be offered encrypted; auto is as SIP is."`
	SIPS      bool   `name:"sips" help:"It would be for a sips URI."`
	User      string `placeholder:"NAME" help:"Digest user whose right password would come with it."`
}

func (c *rehearseCommand) run(ctx context.Context, s *session) error {
	if c.Inbound && c.Connector != "" {
		return usage("--inbound and --connector exclude each other: a carrier sends a call to the node, and the number leads to its connector.")
	}
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	to := c.To
	if n, ok := lab.Find(to); ok {
		to = string(n.E164)
	}
	in := v1.Rehearse{
		From: c.From, To: to, Source: c.Source, ConnectorID: c.Connector, Inbound: c.Inbound, Transport: c.Transport, SIPS: c.SIPS, User: c.User,
	}
	if c.From == "" && !c.Inbound {
		in.From = node.usualFrom(ctx, c.Connector)
	}
	if c.SRTP != "auto" {
		in.SRTP = new(c.SRTP == "on")
	}
	var out v1.Rehearsal
	if err := node.own(ctx, http.MethodPost, v1.Rehearsals, &in, &out); err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(s.Out, out); err != nil {
			return err
		}
	} else if err := printRehearsal(s, out); err != nil {
		return err
	}
	if !out.Admitted {
		return errNotHeld
	}
	return nil
}

// usualFrom is the caller id of a call for which none is given, empty where there is none or who asks may not look for it:
// the rehearsal then says what such a call meets.
func (c *client) usualFrom(ctx context.Context, connector string) string {
	if connector == "" { // which it is depends on the number
		number, err := c.numberInUse(ctx, "")
		if err != nil {
			return ""
		}
		return number
	}
	via, err := c.findConnector(ctx, connector)
	if err != nil {
		return ""
	}
	number, err := c.callerID(ctx, via)
	if err != nil {
		return ""
	}
	return number
}

// printRehearsal shows the rules in the order they were asked.
func printRehearsal(s *session, r v1.Rehearsal) error {
	var b strings.Builder
	for _, rule := range r.Rules {
		word := "passed"
		if !rule.Passed {
			word = "REFUSED"
		}
		fmt.Fprintf(&b, "%-8s %s\n", word, rule.Rule)
	}
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-16s %s\n", name, text)
		}
	}
	line("connector", r.ConnectorID)
	line("direction", r.Direction)
	line("from", strings.TrimSpace(r.From+" "+r.FromCountry))
	line("instead of", r.Replaced)
	line("to", strings.TrimSpace(r.To+" "+r.ToCountry))
	line("stays inside", r.Inside)
	if r.Status != 0 {
		line("status", strconv.Itoa(r.Status)+" "+r.Reason)
	}
	line("why", r.Sentence)
	line("what changes it", r.Fix)
	several := slices.ContainsFunc(r.Targets, func(t call.RehearsedTarget) bool { return t.ConnectorID != r.Targets[0].ConnectorID })
	for i, t := range r.Targets {
		words := []string{t.URI}
		switch {
		case t.Carrier != "":
			words = append(words, t.Carrier)
		case several && t.ConnectorID != "":
			words = append(words, "of "+t.ConnectorID)
		}
		words = append(words, "srtp "+t.SRTP)
		if t.Failing {
			words = append(words, "failed of late")
		}
		line("target "+strconv.Itoa(i+1), strings.TrimSpace(strings.Join(words, " ")))
	}
	_, err := fmt.Fprint(s.Out, b.String())
	return err
}
