package cli

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	v1 "carillon/api/v1"
)

type numberCommand struct {
	Import numberImportCommand `cmd:"" help:"Bring numbers into the installation, to an account or to a connector."`
	List   numberListCommand   `cmd:"" help:"List numbers."`
}

type numberImportCommand struct {
	nodeFlags
	Numbers   []string `arg:"" name:"number" help:"Numbers in E.164."`
	Account   string   `placeholder:"ID" help:"Account that gets them; without it and --connector they go to the pool."`
	Connector string   `placeholder:"VCID" help:"Connector that takes their calls; its account gets them."`
}

func (c *numberImportCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	all := v1.NumberList{Numbers: []v1.Number{}}
	// Each batch is one transaction; when a later one is refused, what was before it stays, and importing again is safe.
	for batch := range slices.Chunk(c.Numbers, v1.MaxImport) {
		var list v1.NumberList
		in := v1.ImportNumbers{Numbers: batch, Account: c.Account, ConnectorID: c.Connector}
		if err := node.own(ctx, http.MethodPost, v1.Numbers, in, &list); err != nil {
			return err
		}
		all.Numbers = append(all.Numbers, list.Numbers...)
	}
	return printNumbers(s, c.JSON, all)
}

type numberListCommand struct {
	nodeFlags
	Account   string `placeholder:"ID" help:"Only those of an account."`
	Connector string `placeholder:"VCID" help:"Only those of a connector."`
}

func (c *numberListCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	all, err := node.numbers(ctx, c.Account, c.Connector)
	if err != nil {
		return err
	}
	return printNumbers(s, c.JSON, v1.NumberList{Numbers: all})
}

// numbers reads all pages of the numbers of an account or a connector; "" is any.
func (c *client) numbers(ctx context.Context, account, connector string) ([]v1.Number, error) {
	all := []v1.Number{}
	query := url.Values{v1.QueryMax: {"1000"}}
	setIf(query, v1.QueryAccount, account)
	setIf(query, v1.QueryConnector, connector)
	for {
		var page v1.NumberList
		if err := c.own(ctx, http.MethodGet, v1.Numbers+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Numbers...)
		if page.NextToken == nil {
			return all, nil
		}
		query.Set(v1.QueryToken, *page.NextToken)
	}
}

func setIf(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func printNumbers(s *session, asJSON bool, list v1.NumberList) error {
	if asJSON {
		return printJSON(s.Out, list)
	}
	var t table
	t.add("number", "account", "connector", "updated")
	for _, n := range list.Numbers {
		account := n.Account
		if account == "" {
			account = "(pool)"
		}
		t.add(n.Number, account, dash(n.ConnectorID), stamp(n.Updated))
	}
	return t.print(s.Out)
}
