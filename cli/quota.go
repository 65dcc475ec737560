package cli

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	v1 "carillon/api/v1"
)

type quotaCommand struct {
	List quotaListCommand `cmd:"" help:"List the quotas that are set, and those that can be."`
	Set  quotaSetCommand  `cmd:"" help:"Set a quota."`
}

type quotaListCommand struct{ nodeFlags }

func (c *quotaListCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	var list v1.QuotaList
	if err := node.own(ctx, http.MethodGet, v1.Quotas, nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, list)
	}
	var t table
	t.add("quota", "account", "value")
	set := map[string]bool{}
	for _, q := range list.Quotas {
		set[q.Name] = true
		t.add(quotaRow(q)...)
	}
	for _, name := range list.Names {
		if !set[name] {
			t.add(name, "-", "not set")
		}
	}
	return t.print(s.Out)
}

func quotaRow(q v1.Quota) []string {
	account, value := q.Account, "not set"
	if account == "" {
		account = "(each)"
	}
	if q.Value != nil {
		value = strconv.Itoa(*q.Value)
	}
	return []string{q.Name, account, value}
}

type quotaSetCommand struct {
	nodeFlags
	Name    string `arg:"" help:"Name of the quota; quota list shows them."`
	Value   int    `arg:"" help:"How many an account may have."`
	Account string `placeholder:"ID" help:"Account it is for; every account without its own if left out."`
}

func (c *quotaSetCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	var q v1.Quota
	in := v1.Quota{Account: c.Account, Value: &c.Value}
	if err := node.own(ctx, http.MethodPut, v1.Quotas+"/"+url.PathEscape(c.Name), in, &q); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, q)
	}
	return done(s, false, "Set: "+strings.Join(quotaRow(q), " ")+".")
}
