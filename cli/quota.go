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
	List  quotaListCommand  `cmd:"" help:"List the quotas: those that are set, and what applies where none is."`
	Set   quotaSetCommand   `cmd:"" help:"Set a quota, or the rate of API requests of an account."`
	Unset quotaUnsetCommand `cmd:"" help:"Take a quota away again."`
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
	every := map[string]bool{}
	for _, q := range list.Quotas {
		every[q.Name] = every[q.Name] || q.Account == ""
		t.add(quotaRow(q)...)
	}
	for _, q := range list.Defaults {
		if !every[q.Name] {
			t.add(quotaRow(q)...)
		}
	}
	return t.print(s.Out)
}

func quotaRow(q v1.Quota) []string {
	account, value := q.Account, "no limit"
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
	Name    string `arg:"" help:"Name of the quota, as quota list shows it or as AWS spells it; a rate for one operation is 'API requests per second: OPERATION'."`
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

type quotaUnsetCommand struct {
	nodeFlags
	Name    string `arg:"" help:"Name of the quota; quota list shows them."`
	Account string `placeholder:"ID" help:"Account whose own quota it is; the one of every account if left out."`
}

func (c *quotaUnsetCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	query := url.Values{}
	setIf(query, v1.QueryAccount, c.Account)
	if err := node.own(ctx, http.MethodDelete, v1.Quotas+"/"+url.PathEscape(c.Name)+"?"+query.Encode(), nil, nil); err != nil {
		return err
	}
	return done(s, c.JSON, "Unset: "+c.Name+".")
}
