package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	v1 "carillon/api/v1"
)

type keyCommand struct {
	Create  keyCreateCommand  `cmd:"" help:"Make an access key and show its secret, this once, as a shell can eval it."`
	List    keyListCommand    `cmd:"" help:"List access keys."`
	Rotate  keyRotateCommand  `cmd:"" help:"Replace an access key by a new one that may do the same, and show its secret, this once."`
	Disable keyDisableCommand `cmd:"" help:"Stop an access key from working."`
	Enable  keyEnableCommand  `cmd:"" help:"Let a disabled access key work again."`
	Delete  keyDeleteCommand  `cmd:"" help:"Delete an access key."`
}

type keyCreateCommand struct {
	nodeFlags
	Account  string `placeholder:"ID" help:"Account of 12 digits; the caller's if left out."`
	Name     string `help:"What the key is called."`
	Policy   string `placeholder:"FILE" help:"IAM policy in JSON; without one the key may use chime:* in its account. With --operator it narrows what the operator's key may."`
	Expires  span   `placeholder:"DURATION" help:"Make a temporary key, with a session token: 1h, 7d."`
	Operator bool   `help:"Let the key use what belongs to the installation, such as carriers and keys: all of it, or with --policy what that allows."`
}

func (c *keyCreateCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	in := v1.CreateKey{Account: c.Account, Name: c.Name, Operator: c.Operator, ExpiresSeconds: int64(time.Duration(c.Expires) / time.Second)}
	if c.Expires < 0 || c.Expires > 0 && in.ExpiresSeconds == 0 {
		return usage("--expires is at least a second.")
	}
	if c.Policy != "" {
		text, err := os.ReadFile(c.Policy)
		if err != nil {
			return usage("The policy cannot be read: %v.", err)
		}
		in.Policy = new(string(text))
	}
	var made v1.Credentials
	if err := node.own(ctx, http.MethodPost, v1.Keys, in, &made); err != nil {
		return err
	}
	return showCredentials(s, c.JSON, made)
}

// showCredentials prints a new key as a shell can eval it.
func showCredentials(s *session, asJSON bool, made v1.Credentials) error {
	if asJSON {
		return printJSON(s.Out, made)
	}
	fmt.Fprintf(s.Out, "# account %s; the secret is not shown again\nexport AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\n",
		made.AccountID, made.AccessKeyID, made.SecretAccessKey)
	if made.SessionToken != "" {
		fmt.Fprintf(s.Out, "export AWS_SESSION_TOKEN=%s\n", made.SessionToken)
		return nil
	}
	// A token that belongs to another key would spoil this one.
	fmt.Fprintln(s.Out, "unset AWS_SESSION_TOKEN")
	return nil
}

type keyRotateCommand struct {
	nodeFlags
	ID    string `arg:"" name:"key" help:"Access key id."`
	Grace span   `placeholder:"DURATION" help:"How long the old key works beside the new one; it is disabled at once if left out."`
}

func (c *keyRotateCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	in := v1.RotateKey{GraceSeconds: int64(time.Duration(c.Grace) / time.Second)}
	if c.Grace < 0 || c.Grace > 0 && in.GraceSeconds == 0 {
		return usage("--grace is at least a second.")
	}
	var made v1.Credentials
	if err := node.own(ctx, http.MethodPost, v1.Keys+"/"+url.PathEscape(c.ID)+"?operation=rotate", in, &made); err != nil {
		return err
	}
	return showCredentials(s, c.JSON, made)
}

type keyListCommand struct {
	nodeFlags
	Account string `placeholder:"ID" help:"Only those of an account."`
}

func (c *keyListCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	query := url.Values{}
	setIf(query, v1.QueryAccount, c.Account)
	var list v1.KeyList
	if err := node.own(ctx, http.MethodGet, v1.Keys+"?"+query.Encode(), nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, list)
	}
	var t table
	t.add("key", "account", "name", "may", "created", "expires")
	for _, k := range list.Keys {
		may := "chime:* in its account"
		switch {
		case k.Disabled:
			may = "nothing (disabled)"
		case k.Operator && k.Policy != "":
			may = "as an operator, what its policy says"
		case k.Policy != "":
			may = "as its policy says"
		case k.Operator:
			may = "everything"
		}
		expires := ""
		if k.Expires != nil {
			expires = stamp(*k.Expires)
		}
		t.add(k.AccessKeyID, k.AccountID, dash(k.Name), may, stamp(k.Created), dash(expires))
	}
	return t.print(s.Out)
}

type keyDisableCommand struct {
	nodeFlags
	ID string `arg:"" name:"key" help:"Access key id."`
}

func (c *keyDisableCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	if err := node.own(ctx, http.MethodPost, v1.Keys+"/"+url.PathEscape(c.ID)+"?operation=disable", nil, nil); err != nil {
		return err
	}
	return done(s, c.JSON, "Disabled access key "+c.ID+".")
}

type keyEnableCommand struct {
	nodeFlags
	ID string `arg:"" name:"key" help:"Access key id."`
}

func (c *keyEnableCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	if err := node.own(ctx, http.MethodPost, v1.Keys+"/"+url.PathEscape(c.ID)+"?operation=enable", nil, nil); err != nil {
		return err
	}
	return done(s, c.JSON, "Enabled access key "+c.ID+".")
}

type keyDeleteCommand struct {
	nodeFlags
	ID string `arg:"" name:"key" help:"Access key id."`
}

func (c *keyDeleteCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	if err := node.own(ctx, http.MethodDelete, v1.Keys+"/"+url.PathEscape(c.ID), nil, nil); err != nil {
		return err
	}
	return done(s, c.JSON, "Deleted access key "+c.ID+".")
}
