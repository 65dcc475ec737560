package store

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/netip"
	"time"
	"unicode/utf8"
)

// quickForm is a stored form that can be read as this program writes it, at a third of what encoding/json takes: a start
// waits for little else than reading connectors. quick returns false, with anything in the form, for whatever is not
// quite as expected, such as a member of another program's; encoding/json then has the word.
type quickForm interface{ quick(value []byte) bool }

// quick reads JSON without white space and escapes from its beginning. After the first thing it did not expect it is bad
// and reads nothing any more.
type quick struct {
	rest []byte
	bad  bool
}

// take removes text from the beginning, if it is there.
func (q *quick) take(text string) bool {
	if q.bad || len(q.rest) < len(text) || string(q.rest[:len(text)]) != text {
		return false
	}
	q.rest = q.rest[len(text):]
	return true
}

func (q *quick) must(text string) {
	if !q.take(text) {
		q.bad = true
	}
}

// object calls member for each one, and is bad when that does not know it. The same name twice is bad, too: what that
// means is not for here.
func (q *quick) object(member func(name []byte) (known bool)) {
	q.must("{")
	var seen [16][]byte
	for n := 0; !q.bad && !q.take("}"); n++ {
		if n > 0 {
			q.must(",")
		}
		name := q.quoted()
		q.must(":")
		if q.bad || n == len(seen) {
			q.bad = true
			return
		}
		for _, before := range seen[:n] {
			q.bad = q.bad || string(before) == string(name)
		}
		seen[n] = name
		if q.bad || !member(name) {
			q.bad = true
		}
	}
}

// list reads a list with item; null is nil, and an empty one is not.
func list[T any](q *quick, item func(*T)) []T {
	if q.take("null") {
		return nil
	}
	q.must("[")
	all := []T{}
	for n := 0; !q.bad && !q.take("]"); n++ {
		if n > 0 {
			q.must(",")
		}
		var one T
		item(&one)
		all = append(all, one)
	}
	return all
}

// quoted returns what is between quotes.
func (q *quick) quoted() []byte {
	q.must(`"`)
	for i, c := range q.rest {
		switch {
		case q.bad || c < ' ' || c == '\\':
			q.bad = true
			return nil
		case c == '"':
			text := q.rest[:i]
			q.rest = q.rest[i+1:]
			return text
		}
	}
	q.bad = true
	return nil
}

func (q *quick) text() string {
	text := q.quoted()
	for _, c := range text {
		if c >= utf8.RuneSelf {
			q.bad = q.bad || !utf8.Valid(text)
			break
		}
	}
	return string(text)
}

func (q *quick) octets() []byte {
	if q.take("null") {
		return nil
	}
	text := q.quoted()
	octets := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(octets, text)
	q.bad = q.bad || err != nil
	return octets[:n]
}

func (q *quick) time() (t time.Time) {
	text := q.quoted()
	q.bad = q.bad || t.UnmarshalText(text) != nil
	return t
}

func (q *quick) prefix() (p netip.Prefix) {
	text := q.quoted()
	q.bad = q.bad || p.UnmarshalText(text) != nil
	return p
}

// number reads an integer of 0 to most.
func (q *quick) number(most int) (n int) {
	digits := 0
	for ; digits < len(q.rest) && '0' <= q.rest[digits] && q.rest[digits] <= '9' && digits < 10; digits++ {
		n = 10*n + int(q.rest[digits]-'0')
	}
	if digits == 0 || digits == 10 || digits > 1 && q.rest[0] == '0' || n > most {
		q.bad = true
	}
	q.rest = q.rest[digits:]
	return n
}

func (q *quick) flag() bool {
	if q.take("true") {
		return true
	}
	q.must("false")
	return false
}

// other leaves an object to encoding/json.
func (q *quick) other(into any) {
	if len(q.rest) == 0 || q.rest[0] != '{' {
		q.bad = true
		return
	}
	depth, quoted := 0, false
	for i := 0; i < len(q.rest); i++ {
		switch c := q.rest[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
		if depth == 0 {
			q.bad = q.bad || json.Unmarshal(q.rest[:i+1], into) != nil
			q.rest = q.rest[i+1:]
			return
		}
	}
	q.bad = true
}

// quick implements quickForm.
func (f *storedConnector) quick(value []byte) bool {
	q := &quick{rest: value}
	q.object(func(name []byte) bool {
		switch string(name) {
		case "v":
			f.Version = q.number(math.MaxInt32)
		case "account":
			f.Account = q.text()
		case "name":
			f.Name = q.text()
		case "region":
			f.Region = q.text()
		case "host":
			f.HostName = q.text()
		case "require_encryption":
			f.RequireEncryption = q.flag()
		case "network_type":
			f.NetworkType = q.text()
		case "integration_type":
			f.IntegrationType = q.text()
		case "created":
			f.Created = q.time()
		case "updated":
			f.Updated = q.time()
		case "tags":
			f.Tags = list(q, q.tag)
		case "termination":
			f.Termination = q.termination()
		case "origination":
			f.Origination = q.origination()
		case "credentials":
			f.Credentials = list(q, q.credential)
		case "services":
			q.other(&f.Services)
		case "settings":
			q.other(&f.Settings)
		default:
			return false
		}
		return true
	})
	return !q.bad && len(q.rest) == 0
}

func (q *quick) tag(t *storedTag) {
	q.object(func(name []byte) bool {
		switch string(name) {
		case "key":
			t.Key = q.text()
		case "value":
			t.Value = q.text()
		default:
			return false
		}
		return true
	})
}

func (q *quick) termination() *storedTermination {
	t := new(storedTermination)
	q.object(func(name []byte) bool {
		switch string(name) {
		case "regions":
			t.CallingRegions = list(q, func(s *string) { *s = q.text() })
		case "cidrs":
			t.CidrAllowedList = list(q, q.cidr)
		case "cps":
			t.CpsLimit = q.number(math.MaxInt32)
		case "default_number":
			t.DefaultPhoneNumber = q.text()
		case "disabled":
			t.Disabled = q.flag()
		default:
			return false
		}
		return true
	})
	return t
}

func (q *quick) cidr(c *storedCIDR) {
	q.object(func(name []byte) bool {
		switch string(name) {
		case "text":
			c.Text = q.text()
		case "prefix":
			c.Prefix = q.prefix()
		default:
			return false
		}
		return true
	})
}

func (q *quick) origination() *storedOrigination {
	o := new(storedOrigination)
	q.object(func(name []byte) bool {
		switch string(name) {
		case "routes":
			o.Routes = list(q, q.route)
		case "disabled":
			o.Disabled = q.flag()
		default:
			return false
		}
		return true
	})
	return o
}

func (q *quick) route(r *storedRoute) {
	q.object(func(name []byte) bool {
		switch string(name) {
		case "host":
			r.Host = q.text()
		case "port":
			r.Port = uint16(q.number(math.MaxUint16))
		case "protocol":
			r.Protocol = q.text()
		case "priority":
			r.Priority = q.number(math.MaxInt32)
		case "weight":
			r.Weight = q.number(math.MaxInt32)
		default:
			return false
		}
		return true
	})
}

func (q *quick) credential(c *storedCredential) {
	q.object(func(name []byte) bool {
		switch string(name) {
		case "user":
			c.Username = q.text()
		case "realm":
			c.Realm = q.text()
		case "md5":
			c.MD5 = q.octets()
		case "sha256":
			c.SHA256 = q.octets()
		default:
			return false
		}
		return true
	})
}
