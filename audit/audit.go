// Package audit says what a write of the API leaves behind: who wrote, from where, and what it changed, without secrets.
//
// An Entry is an entity like any other to a store: it is put in the very transaction that it tells of, so none is
// missing and none tells of a write that did not happen. Nothing updates one, and only its age or the number of younger
// ones ends it.
package audit

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"carillon/trunk"
)

// Bounds of the log.
const (
	// DefaultKeep is how long entries are kept. An operator sets --audit-keep.
	DefaultKeep = 90 * 24 * time.Hour
	// DefaultPerAccount is how many entries are kept of what the keys of one account did. The bound is each account's own,
	// so that nobody can push what somebody else did out of the log. An operator sets --audit-entries.
	DefaultPerAccount = 100_000
	// DefaultBytesPerAccount bounds the same by what it takes in the store, so that nobody fills that with long entries.
	DefaultBytesPerAccount = 64 << 20
	// MaxEntryBytes bounds the texts of an entry's changes; those above it keep their names and lose their members.
	MaxEntryBytes = 64 << 10
	// MaxChanges bounds the changes of an entry; the others are counted in it.
	MaxChanges = 256
	// MaxPageBytes is the most that the entries of one page have in the store, in bytes; a page that is full of them is short
	// and has a cursor to go on from, and is counted in
	// carillon_api_short_pages_total. One entry is always given.
	MaxPageBytes = 4 << 20
	// MaxUserAgent is the longest user agent in bytes; what is longer is cut.
	MaxUserAgent = 256
)

// Kind is the kind of Entry in a store.
const Kind trunk.EntityKind = "audit"

// Entry is one write.
type Entry struct {
	// Time is when the write was made, in UTC and milliseconds. It is not when the request came: whoever reads on from the
	// time of the last entry must not miss one whose request took long to arrive.
	Time time.Time
	// Account is that of the key that signed; 12 digits.
	Account string
	// RequestID is the x-amzn-RequestId of the answer.
	RequestID string
	// Part tells the transactions of one request apart; the first is 0.
	Part int
	// Action is what a policy must allow for it: "chime:CreateVoiceConnector".
	Action string
	// Principal is the ARN of who signed, AccessKeyID the key; Operator says that the key is an operator's.
	Principal, AccessKeyID string
	Operator               bool
	// Source is where the request came from and UserAgent what its sender says it is.
	Source    netip.AddrPort
	UserAgent string
	// Resource is what the policy was asked about; its id may be "*".
	Resource string
	// Changes are what was written, and Omitted counts those beyond MaxChanges.
	Changes []Change
	Omitted int
}

// Change is what one write did to one entity.
type Change struct {
	// Key names the entity, ARN too where AWS has a form for it.
	Key trunk.EntityKey
	ARN string
	// OwnerBefore and OwnerAfter are the accounts that hold it; empty for none.
	OwnerBefore, OwnerAfter string
	// Before and After are JSON objects: of a new entity After has its members, of one that is gone Before has them, and
	// of one that stays both have the members that changed. Otherwise they are empty texts.
	Before, After string
	// Cut says that the members are left out because they are too many.
	Cut bool
}

// newest is what a time in an id is taken from, so that the newest entry sorts first: the last millisecond of 13 digits.
const newest = 9_999_999_999_999

// EntityKey implements trunk.Entity. Entries sort by their ids from the newest to the oldest.
func (e *Entry) EntityKey() trunk.EntityKey {
	id := appendBefore(make([]byte, 0, 80), e.Time)
	id = append(append(append(append(id, '-'), e.Account...), '-'), e.RequestID...)
	if e.Part > 0 {
		id = strconv.AppendInt(append(id, '-'), int64(e.Part), 10)
	}
	return trunk.EntityKey{Kind: Kind, ID: string(id)}
}

// Before returns the lower bound of the ids of entries not younger than t.
func Before(t time.Time) string { return string(appendBefore(nil, t)) }

// appendBefore appends the 13 digits of a time to an empty b.
func appendBefore(b []byte, t time.Time) []byte {
	// The sum has a digit more than newest, whatever the time.
	return strconv.AppendInt(b, newest+1+min(max(newest-t.UnixMilli(), 0), newest), 10)[1:]
}

// ParseID takes an entry's id apart.
func ParseID(id string) (t time.Time, account, requestID string, part int, err error) {
	fields := strings.SplitN(id, "-", 3)
	var at int64
	if len(fields) == 3 && len(fields[0]) == 13 && len(fields[2]) >= idLength {
		at, err = parseDigits(fields[0])
		if rest := fields[2][idLength:]; err == nil && rest != "" {
			var n int64
			if n, err = parseDigits(rest[1:]); rest[0] != '-' || n == 0 {
				err = errID
			}
			part = int(n)
		}
		if err == nil {
			return time.UnixMilli(newest - at).UTC(), fields[1], fields[2][:idLength], part, nil
		}
	}
	return time.Time{}, "", "", 0, fmt.Errorf("id %q: %w", id, errID)
}

var errID = errors.New("this is no id of an audit entry")

// idLength is that of a request id, a UUID.
const idLength = 36

func parseDigits(s string) (n int64, err error) {
	if s == "" || len(s) > 13 {
		return 0, errID
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, errID
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// Operation is the operation's name without its service.
func (e *Entry) Operation() string {
	_, name, _ := strings.Cut(e.Action, ":")
	return name
}

// Add takes a change in, within the bounds.
func (e *Entry) Add(c Change) {
	if len(e.Changes) == MaxChanges {
		e.Omitted++
		return
	}
	size := len(c.Before) + len(c.After)
	for i := range e.Changes {
		size += len(e.Changes[i].Before) + len(e.Changes[i].After)
	}
	if size > MaxEntryBytes {
		c.cut()
	}
	e.Changes = append(e.Changes, c)
}

func (c *Change) cut() {
	c.Cut = true
	for _, text := range []*string{&c.Before, &c.After} {
		if *text != "" {
			*text = "{}"
		}
	}
}

// Agent returns a User-Agent header as an entry keeps it: text of one line, not too long.
func Agent(header string) string {
	if len(header) > MaxUserAgent {
		header = header[:MaxUserAgent]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, header)
}

// Filter chooses entries; an empty field chooses all.
type Filter struct {
	// SeenBy is an account to which entries are shown as Entry.SeenBy leaves them. The other fields are held against that:
	// what is hidden must not be found out by asking for it, either.
	SeenBy string
	// Account chooses what an account's keys did and what was done to what the account holds.
	Account string
	// Operation is its name, with or without the service.
	Operation string
	// Resource is the id or the ARN of something that was written.
	Resource string
	// Since and Until bound the time, both included.
	Since, Until time.Time
}

// Match reports whether f chooses e.
func (f Filter) Match(e *Entry) bool {
	if f.SeenBy != "" {
		if e.Account != f.SeenBy && !e.any(func(c *Change) bool { return c.holds(f.SeenBy) }) {
			return false
		}
		f.Account, e = "", e.SeenBy(f.SeenBy)
	}
	switch {
	case !f.Since.IsZero() && e.Time.Before(f.Since), !f.Until.IsZero() && e.Time.After(f.Until):
		return false
	case f.Operation != "" && f.Operation != e.Action && f.Operation != e.Operation():
		return false
	case f.Account != "" && e.Account != f.Account && !e.any(func(c *Change) bool { return c.holds(f.Account) }):
		return false
	case f.Resource != "" && e.Resource != f.Resource && !e.any(func(c *Change) bool { return c.Key.ID == f.Resource || c.ARN == f.Resource }):
		return false
	}
	return true
}

func (e *Entry) any(is func(*Change) bool) bool {
	for i := range e.Changes {
		if is(&e.Changes[i]) {
			return true
		}
	}
	return false
}

func (c *Change) holds(account string) bool {
	return c.OwnerBefore == account || c.OwnerAfter == account
}

// SeenBy returns the entry as an account may see it. What its own keys did it sees as it is. Of what others did to
// what is its own it sees that part alone, while it was its own, and not who they are: an operator's key and network are
// none of a customer's business.
func (e *Entry) SeenBy(account string) *Entry {
	if e.Account == account {
		return e
	}
	seen := &Entry{Time: e.Time, RequestID: e.RequestID, Part: e.Part, Action: e.Action, Operator: e.Operator}
	for _, c := range e.Changes {
		if !c.holds(account) {
			continue
		}
		if c.OwnerBefore != account {
			c.Before, c.OwnerBefore = "", ""
		}
		if c.OwnerAfter != account {
			c.After, c.OwnerAfter = "", ""
			c.ARN = withAccount(c.ARN, account) // it is the next holder's
		}
		seen.Changes = append(seen.Changes, c)
	}
	return seen
}

// withAccount returns an ARN with another account in its place; what is no ARN as it is.
func withAccount(arn, account string) string {
	fields := strings.SplitN(arn, ":", 6)
	if len(fields) < 6 {
		return arn
	}
	fields[4] = account
	return strings.Join(fields, ":")
}

// Retention says how long entries are kept.
type Retention struct {
	// Keep is for how long; 0 is DefaultKeep.
	Keep time.Duration
	// PerAccount is how many; 0 is DefaultPerAccount.
	PerAccount int
	// BytesPerAccount is how many bytes they may have in the store; 0 is DefaultBytesPerAccount.
	BytesPerAccount int64
}

// WithDefaults returns r with the default of what is 0.
func (r Retention) WithDefaults() Retention {
	if r.Keep <= 0 {
		r.Keep = DefaultKeep
	}
	if r.PerAccount <= 0 {
		r.PerAccount = DefaultPerAccount
	}
	if r.BytesPerAccount <= 0 {
		r.BytesPerAccount = DefaultBytesPerAccount
	}
	return r
}

// Dropped counts entries that were ended.
type Dropped struct {
	// Aged were older than Keep, Crowded beyond PerAccount or BytesPerAccount.
	Aged, Crowded int
}
