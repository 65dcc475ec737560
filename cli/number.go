package cli

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "carillon/api/v1"
)

type numberCommand struct {
	Import  numberImportCommand  `cmd:"" help:"Bring numbers into the installation, to an account or to a connector."`
	Release numberReleaseCommand `cmd:"" help:"Take numbers back into the pool, from whoever has them, at once."`
	List    numberListCommand    `cmd:"" help:"List numbers."`
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

type numberReleaseCommand struct {
	nodeFlags
	Numbers []string `arg:"" name:"number" help:"Numbers in E.164."`
	Remove  bool     `help:"Take them out of the installation instead."`
}

func (c *numberReleaseCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	all := v1.NumberList{Numbers: []v1.Number{}}
	for batch := range slices.Chunk(c.Numbers, v1.MaxImport) {
		var list v1.NumberList
		if err := node.own(ctx, http.MethodPost, v1.Numbers+"?operation=release", v1.ReleaseNumbers{Numbers: batch, Remove: c.Remove}, &list); err != nil {
			return err
		}
		all.Numbers = append(all.Numbers, list.Numbers...)
	}
	if c.Remove && !c.JSON {
		_, err := fmt.Fprintln(s.Out, "Removed", strings.Join(c.Numbers, ", ")+".")
		return err
	}
	return printNumbers(s, c.JSON, all)
}

// numberFilter chooses numbers; what is empty chooses all.
type numberFilter struct {
	Account   string `placeholder:"ID" help:"Only those of an account."`
	Connector string `placeholder:"VCID" help:"Only those of a connector."`
	Group     string `placeholder:"VCGID" help:"Only those of a connector group."`
}

type numberListCommand struct {
	nodeFlags
	numberFilter
}

func (c *numberListCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	all, err := node.numbers(ctx, c.numberFilter)
	if err != nil {
		return err
	}
	return printNumbers(s, c.JSON, v1.NumberList{Numbers: all})
}

// numbers reads all pages of the numbers that a filter chooses.
func (c *client) numbers(ctx context.Context, f numberFilter) ([]v1.Number, error) {
	all := []v1.Number{}
	query := url.Values{}
	setIf(query, v1.QueryAccount, f.Account)
	setIf(query, v1.QueryConnector, f.Connector)
	setIf(query, v1.QueryGroup, f.Group)
	err := pages(ctx, c, v1.Numbers, query, math.MaxInt, func(page v1.NumberList) (int, *string) {
		all = append(all, page.Numbers...)
		return len(all), page.NextToken
	})
	return all, err
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
		account, taker := n.Account, n.ConnectorID
		switch {
		case account == "":
			account = "(pool)"
		case n.Deleted != nil:
			account += " (deleted)"
		case n.GroupID != "":
			taker = "group " + n.GroupID
		}
		t.add(n.Number, account, dash(taker), stamp(n.Updated))
	}
	return t.print(s.Out)
}
