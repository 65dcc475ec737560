package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	v1 "carillon/api/v1"
	"carillon/trunk"
)

// readOwn decodes the body of one of Carillon's operations. Unlike AWS's, an unknown member is refused: here a typing
// mistake would be a setting that is not set.
func readOwn[T any](r *request) (*T, error) {
	if !utf8.Valid(r.body) {
		return nil, trunk.Errorf(trunk.Invalid, "The request body is not valid UTF-8.")
	}
	in := new(T)
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if err == nil {
		if _, err := d.Token(); err != io.EOF {
			return nil, trunk.Errorf(trunk.Invalid, "The request body has something behind its end.")
		}
		return in, nil
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		// The value is not quoted: it may be a password in the wrong place.
		return nil, trunk.Errorf(trunk.Invalid, "The member %q has the wrong type; it must be a %s.", mismatch.Field, mismatch.Type.Kind())
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return nil, trunk.Errorf(trunk.Invalid, "The member %s is not known.", name)
	}
	return nil, trunk.Errorf(trunk.Invalid, "The request body is not a valid JSON object.")
}

// accountQuery returns the account a list is about: the caller's own, or for an operator the one asked for, "" for all.
func (r *request) accountQuery() (string, error) {
	asked := r.query.Get(v1.QueryAccount)
	switch {
	case asked != "" && !validAccount(asked):
		return "", badAccount()
	case r.principal.Operator:
		return asked, nil
	case asked != "" && asked != r.principal.Account:
		return "", r.denied()
	}
	return r.principal.Account, nil
}

func validAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

func badAccount() error {
	return trunk.Errorf(trunk.Invalid, "An account is 12 digits.")
}

// pageQuery returns size and cursor of the page asked for.
func (r *request) pageQuery() (limit int, after string, err error) {
	limit = v1.DefaultPage
	if text := r.query.Get(v1.QueryMax); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > v1.MaxPage {
			return 0, "", trunk.Errorf(trunk.Invalid, "%s must be 1 to %d.", v1.QueryMax, v1.MaxPage)
		}
	}
	if token := r.query.Get(v1.QueryToken); token != "" {
		after, err = r.readToken(r.row.name, token)
	}
	return limit, after, err
}

// operatedConnector reports whether the caller may act on c: its account does, and an operator everywhere.
func (r *request) operatedConnector(c *trunk.Connector) bool {
	return r.principal.Operator || c.Account == r.principal.Account
}
