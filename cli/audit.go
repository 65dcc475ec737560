package cli

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "carillon/api/v1"
)

type auditCommand struct {
	List auditListCommand `cmd:"" help:"List what was written through the API, the newest first: who, from where, what."`
}

type auditListCommand struct {
	nodeFlags
	Account   string `placeholder:"ID" help:"Only what an account's keys did, and what was done to what the account holds."`
	Operation string `placeholder:"NAME" help:"Only one operation, for example DeleteVoiceConnector."`
	Resource  string `placeholder:"ID|ARN" help:"Only what was done to one connector, group, number, carrier, key or other thing."`
	Since     string `placeholder:"TIME" help:"Only from then on: a time such as 2026-11-23T09:30:00Z, a day, or how long ago, such as 24h or 7d."`
	Until     string `placeholder:"TIME" help:"Only up to then."`
	Max       int    `default:"20" placeholder:"N" aliases:"limit" help:"How many, at most; --limit is the same."`
}

func (c *auditListCommand) run(ctx context.Context, s *session) error {
	if c.Max < 1 {
		return usage("--max is at least 1.")
	}
	query := url.Values{}
	setIf(query, v1.QueryAccount, c.Account)
	setIf(query, v1.QueryOperation, c.Operation)
	setIf(query, v1.QueryResource, c.Resource)
	for name, text := range map[string]string{v1.QuerySince: c.Since, v1.QueryUntil: c.Until} {
		t, err := momentFlag(name, text, s.clock.Now())
		if err != nil {
			return err
		}
		setIf(query, name, t)
	}
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	all := v1.AuditList{Entries: []v1.AuditEntry{}}
	err = pages(ctx, node, v1.Audit, query, c.Max, func(page v1.AuditList) (int, *string) {
		all.Entries, all.NextToken = append(all.Entries, page.Entries...), page.NextToken
		return len(all.Entries), page.NextToken
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, all)
	}
	var t table
	t.add("time", "operation", "account", "key", "source", "what")
	for _, e := range all.Entries {
		source := ""
		if e.Source.IsValid() {
			source = e.Source.Addr().String()
		}
		account, key := e.AccountID, e.AccessKeyID
		if account == "" && e.Operator {
			account = "(operator)"
		}
		t.add(e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Operation, dash(account), dash(key), dash(source), dash(whatChanged(e)))
	}
	return t.print(s.Out)
}

// momentFlag reads the moment that a flag names.
func momentFlag(name, text string, now time.Time) (string, error) {
	t, err := moment(text, now)
	if err != nil {
		return "", usage("--%s %q is neither a time such as 2026-11-23T09:30:00Z or 2026-11-23 nor how long ago, such as 24h or 7d.", name, text)
	}
	return t, nil
}

// moment reads a time, a day, which begins at midnight UTC, or how long before now one is; "" stays.
func moment(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	var ago span
	if err := ago.UnmarshalText([]byte(text)); err == nil && ago >= 0 {
		return now.Add(-time.Duration(ago)).UTC().Format(time.RFC3339Nano), nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.Format(time.RFC3339Nano), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	return t.UTC().Format(time.RFC3339Nano), err
}

// whatChanged says in a line what an entry tells of.
func whatChanged(e v1.AuditEntry) string {
	const most = 3
	var parts []string
	for _, c := range e.Changes[:min(len(e.Changes), most)] {
		parts = append(parts, oneChange(c))
	}
	if more := len(e.Changes) - len(parts) + e.Omitted; more > 0 {
		parts = append(parts, strconv.Itoa(more)+" more")
	}
	return strings.Join(parts, ", ")
}

func oneChange(c v1.AuditChange) string {
	what := c.Kind + " " + c.ID
	switch {
	case c.Before == nil:
		return what + " created"
	case c.After == nil:
		return what + " deleted"
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(c.After, &members); err != nil || len(members) == 0 {
		return what
	}
	return what + " (" + strings.Join(slices.Sorted(maps.Keys(members)), ", ") + ")"
}
