package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"

	"carillon/iam"
	"carillon/trunk"
)

// Recorded reports whether writes of a kind belong in the log. Counts, memories of retries and signs of life are the
// installation's own notes: nobody asked for them.
func Recorded(kind trunk.EntityKind) bool {
	switch kind {
	case trunk.KindUsage, trunk.KindDedup, trunk.KindHealth, Kind:
		return false
	}
	return true
}

// Diff says what turning before into after changes. Either may be nil, but not both.
func Diff(before, after trunk.Entity) Change {
	var c Change
	switch {
	case after == nil:
		c.Key, c.ARN, c.Before = before.EntityKey(), arn(before), object(before)
	case before == nil:
		c.Key, c.ARN, c.After = after.EntityKey(), arn(after), object(after)
	default:
		c.Key, c.ARN = after.EntityKey(), cmp.Or(arn(after), arn(before))
		c.Before, c.After = changes(before, after)
	}
	c.OwnerBefore, c.OwnerAfter = owner(before), owner(after)
	return c
}

// member is one part of an entity that may be shown.
type member struct {
	name  string
	value any
}

// usual is room for the members of any entity: what is this long from the start stays out of the heap.
const usual = 24

// object returns the members of an entity that say something.
func object(e trunk.Entity) string {
	b := make([]byte, 0, 256)
	for _, m := range appendMembers(make([]member, 0, usual), e, nil) {
		before := len(b)
		b = appendName(b, m.name)
		value := len(b)
		if b = appendValue(b, m.value); silent(b[value:]) {
			b = b[:before]
		}
	}
	return string(endObject(b))
}

// silent reports that a value is what a member has that was not set.
func silent(text []byte) bool {
	switch string(text) {
	case "null", `""`, "false", "0", "[]", "{}":
		return true
	}
	return false
}

// changes returns the members that differ.
func changes(before, after trunk.Entity) (string, string) {
	var old, now, from, to []byte
	was := appendMembers(make([]member, 0, usual), before, nil)
	for i, m := range appendMembers(make([]member, 0, usual), after, before) {
		from, to = appendValue(from[:0], was[i].value), appendValue(to[:0], m.value)
		if !bytes.Equal(from, to) {
			old = append(appendName(old, m.name), from...)
			now = append(appendName(now, m.name), to...)
		}
	}
	return string(endObject(old)), string(endObject(now))
}

// appendName begins a member of the JSON object in b.
func appendName(b []byte, name string) []byte {
	b = append(b, [2]byte{'{', ','}[min(len(b), 1)], '"')
	return append(append(b, name...), '"', ':')
}

func endObject(b []byte) []byte {
	if len(b) == 0 {
		b = append(b, '{')
	}
	return append(b, '}')
}

// appendValue writes a member's value as JSON. Every create of the API comes by here, so the common ones, plain texts
// and switches, go without an encoder.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case string:
		if plain(v) {
			return append(append(append(b, '"'), v...), '"')
		}
	}
	var buffer bytes.Buffer
	e := json.NewEncoder(&buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return append(b, "null"...) // no value of a member can fail; a test encodes every one
	}
	return append(b, bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))...)
}

// plain reports whether a text stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// arn names an entity as AWS does, where AWS has a form for it.
func arn(e trunk.Entity) string {
	switch e := e.(type) {
	case *trunk.Connector:
		return e.ARN()
	case *trunk.Group:
		return e.ARN()
	case *trunk.PhoneNumber:
		if e.Account != "" {
			return e.ARN()
		}
	}
	return ""
}

// owner returns the account that holds an entity, "" for none.
func owner(e trunk.Entity) string {
	switch e := e.(type) {
	case *trunk.Connector:
		return e.Account
	case *trunk.Group:
		return e.Account
	case *trunk.PhoneNumber:
		return e.Account
	case *trunk.Order:
		return e.Account
	case *trunk.SIPRule:
		return e.Account
	case *trunk.AccountSettings:
		return e.Account
	case *trunk.Quota:
		return e.Account
	case *iam.AccessKey:
		return e.Account
	}
	return ""
}
