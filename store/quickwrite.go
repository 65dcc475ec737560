package store

import (
	"encoding/json"
	"strconv"
	"time"
)

// quickWriter is a stored form that can write itself as encoding/json would, at a fraction of what that takes: every create
// of the API waits for two. appendTo returns false, with anything appended, for whatever is not quite usual; encoding/json
// then has the word.
type quickWriter interface {
	appendTo(b []byte) ([]byte, bool)
}

// marshal returns a form as JSON.
func marshal(form any) ([]byte, error) {
	if q, ok := form.(quickWriter); ok {
		if value, ok := q.appendTo(make([]byte, 0, usualForm)); ok {
			return value, nil
		}
	}
	return json.Marshal(form)
}

// usualForm is room enough for what a create stores.
const usualForm = 384

// object is a JSON object being written. After the first text that does not stand in JSON as it is it is bad.
type object struct {
	b   []byte
	bad bool
}

// name begins a member.
func (o *object) name(name string) {
	if c := o.b[len(o.b)-1]; c != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

// text writes a member; none where it is empty and need not be there.
func (o *object) text(name, value string, always bool) {
	if value == "" && !always {
		return
	}
	for i := range len(value) {
		if !asItIs(value[i]) {
			o.bad = true
			return
		}
	}
	o.name(name)
	o.b = append(append(append(o.b, '"'), value...), '"')
}

// asItIs reports whether a character of a text stands in what encoding/json writes as it is.
func asItIs(c byte) bool {
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

func (o *object) flag(name string, value, always bool) {
	if value || always {
		o.name(name)
		o.b = strconv.AppendBool(o.b, value)
	}
}

func (o *object) time(name string, t time.Time) {
	o.name(name)
	var err error
	o.b, err = t.AppendText(append(o.b, '"'))
	o.bad = o.bad || err != nil
	o.b = append(o.b, '"')
}

// raw writes a member that is JSON already, without anything that encoding/json would write differently.
func (o *object) raw(name string, value json.RawMessage) {
	if len(value) == 0 {
		return
	}
	quoted := false
	for _, c := range value {
		switch {
		case c == '"':
			quoted = !quoted
		case !asItIs(c) || c == ' ' && !quoted: // a quote that is escaped, too
			o.bad = true
			return
		}
	}
	o.bad = o.bad || !json.Valid(value)
	o.name(name)
	o.b = append(o.b, value...)
}

// appendTo implements quickWriter for a connector as a create makes it.
func (f *storedConnector) appendTo(b []byte) ([]byte, bool) {
	if len(f.Tags) > 0 || f.Termination != nil || f.Origination != nil || len(f.Credentials) > 0 || f.Services != nil || !f.Settings.IsZero() {
		return b, false
	}
	o := object{b: append(b, '{')}
	o.name("v")
	o.b = strconv.AppendInt(o.b, int64(f.Version), 10)
	o.text("account", f.Account, true)
	o.text("name", f.Name, true)
	o.text("region", f.Region, true)
	o.text("host", f.HostName, true)
	o.flag("require_encryption", f.RequireEncryption, true)
	o.text("network_type", f.NetworkType, true)
	o.text("integration_type", f.IntegrationType, false)
	o.time("created", f.Created)
	o.time("updated", f.Updated)
	return append(o.b, '}'), !o.bad
}

// appendTo implements quickWriter for an entry of changes that are the account's own.
func (f *storedEntry) appendTo(b []byte) ([]byte, bool) {
	o := object{b: append(b, '{')}
	o.name("v")
	o.b = strconv.AppendInt(o.b, int64(f.Version), 10)
	o.text("a", f.Action, true)
	o.text("p", f.Principal, false)
	o.text("k", f.Key, false)
	o.flag("op", f.Operator, false)
	if f.Source.IsValid() {
		o.name("s")
		o.b = append(f.Source.AppendTo(append(o.b, '"')), '"')
	}
	o.text("u", f.UserAgent, false)
	o.text("r", f.Resource, false)
	for i := range f.Changes {
		if i == 0 {
			o.name("c")
			o.b = append(o.b, '[')
		} else {
			o.b = append(o.b, ',')
		}
		o.change(&f.Changes[i])
	}
	if len(f.Changes) > 0 {
		o.b = append(o.b, ']')
	}
	if f.Omitted != 0 {
		o.name("more")
		o.b = strconv.AppendInt(o.b, int64(f.Omitted), 10)
	}
	return append(o.b, '}'), !o.bad
}

func (o *object) change(c *storedChange) {
	o.bad = o.bad || c.OwnerBefore != nil || c.OwnerAfter != nil
	o.b = append(o.b, '{')
	o.text("k", c.Kind, true)
	o.text("i", c.ID, true)
	o.text("r", c.ARN, false)
	o.raw("b", c.Before)
	o.raw("n", c.After)
	o.flag("cut", c.Cut, false)
	o.b = append(o.b, '}')
}
