package directory

import (
	"cmp"
	"iter"
	"strconv"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"carillon/iam"
	"carillon/trunk"
)

// place is where a connector stands in lists. It never changes while the connector lives, so that an update of the
// connector leaves the order alone.
type place struct {
	account string
	created int64 // Unix nanoseconds
	id      string
}

func placeOf(c *trunk.Connector) place { return place{c.Account, c.Created.UnixNano(), c.ID} }

// comparePlaces is the order of lists: by account, then creation, then id.
func comparePlaces(a, b place) int {
	if c := strings.Compare(a.account, b.account); c != 0 {
		return c
	}
	if c := cmp.Compare(a.created, b.created); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

// ConnectorCursor names a place in the order of Connectors: just behind c. It is text of letters, digits, dashes and
// slashes. The place is c's account, creation time and id, so it stays where it is when c or any other connector is
// deleted or created between two pages.
func ConnectorCursor(c *trunk.Connector) string {
	return c.Account + "/" + strconv.FormatInt(c.Created.UnixNano(), 36) + "/" + c.ID
}

func parseCursor(cursor string) (place, bool) {
	account, rest, _ := strings.Cut(cursor, "/")
	at, id, ok := strings.Cut(rest, "/")
	created, err := strconv.ParseInt(at, 36, 64)
	return place{account, created, id}, ok && err == nil
}

// Connectors returns the account's connectors by creation, then id: at most limit of them, those behind the cursor
// after, or the first ones when it is empty. The cursor of the next page is ConnectorCursor of the last one
// returned. An empty account means all, account by account. A cursor that ConnectorCursor did not make, and one of
// another account, gives nothing.
func (s *Snapshot) Connectors(account, after string, limit int) []*trunk.Connector {
	begun := func(p place) bool { return p.account >= account }
	if after != "" {
		behind, ok := parseCursor(after)
		if !ok || account != "" && behind.account != account {
			return nil
		}
		begun = func(p place) bool { return comparePlaces(p, behind) > 0 }
	}
	var found []*trunk.Connector
	s.order.from(begun, func(p place) bool {
		if len(found) >= limit || account != "" && p.account != account {
			return false
		}
		if c, ok := s.connectors.get(p.id); ok {
			found = append(found, c)
		}
		return true
	})
	return found
}

// NumberFilter chooses numbers; its zero value chooses all. Of two fields set, both must match.
type NumberFilter struct {
	// Account holds the numbers.
	Account string
	// ConnectorID takes the numbers' calls.
	ConnectorID string
	// GroupID takes the numbers' calls; it counts only where ConnectorID is empty.
	GroupID string
}

// Numbers returns numbers in the order of their digits: at most limit of them, those behind after, or the first ones
// when it is empty. The cursor of the next page is the last number returned, still known or not.
func (s *Snapshot) Numbers(f NumberFilter, after trunk.Number, limit int) []*trunk.PhoneNumber {
	var found []*trunk.PhoneNumber
	if limit <= 0 {
		return nil
	}
	for n := range s.NumbersBy(f, after) {
		if found = append(found, n); len(found) == limit {
			break
		}
	}
	return found
}

// NumbersBy yields what Numbers returns, without a limit.
func (s *Snapshot) NumbersBy(f NumberFilter, after trunk.Number) iter.Seq[*trunk.PhoneNumber] {
	by, owner := byte(byAccount), f.Account
	switch {
	case f.ConnectorID != "":
		by, owner = byConnector, f.ConnectorID
	case f.GroupID != "":
		by, owner = byGroup, f.GroupID
	case f.Account == "":
		return radixBehind(s.numbers, nil, []byte(after))
	}
	return func(yield func(*trunk.PhoneNumber) bool) {
		for n := range radixBehind(s.owned, numberKey(by, owner, ""), cursorUnder(by, owner, after)) {
			// The numbers of a connector and of a group all belong to its account: the first tells for all.
			if f.Account != "" && n.Account != f.Account || !yield(n) {
				return
			}
		}
	}
}

const (
	byAccount   = 'a'
	byConnector = 'c'
	byDeletion  = 'd' // those in the deletion queue, under no owner
	byGroup     = 'g'
	byPool      = 'p' // those no account holds, under no owner
)

func numberKey(by byte, owner string, n trunk.Number) []byte {
	k := make([]byte, 0, 2+len(owner)+len(n))
	k = append(k, by)
	k = append(k, owner...)
	k = append(k, 0)
	return append(k, n...)
}

func cursorUnder(by byte, owner string, after trunk.Number) []byte {
	if after == "" {
		return nil
	}
	return numberKey(by, owner, after)
}

// AccessKeys returns the account's keys by id; of all accounts when it is empty.
func (s *Snapshot) AccessKeys(account string) []*iam.AccessKey {
	if account == "" {
		return radixPage(s.keys, nil, nil, s.keys.Len())
	}
	return radixPage(s.accountKeys, accountKeyKey(account, ""), nil, s.keys.Len())
}

func accountKeyKey(account, id string) []byte { return []byte(account + "\x00" + id) }

// appendQuotaKey appends the place of a quota.
func appendQuotaKey(b []byte, account, name string) []byte {
	return append(append(append(b, account...), '/'), name...)
}

// Quotas returns every limit an operator has set, by account and name.
func (s *Snapshot) Quotas() []trunk.Quota {
	all := make([]trunk.Quota, 0, s.quotas.Len())
	s.quotas.Root().Walk(func(k []byte, v int) bool {
		account, name, _ := strings.Cut(string(k), "/")
		all = append(all, trunk.Quota{Account: account, Name: name, Value: v})
		return false
	})
	return all
}

// radixPage returns at most limit values whose keys have the prefix and sort behind the key behind.
func radixPage[T any](t *iradix.Tree[T], prefix, behind []byte, limit int) []T {
	var found []T
	if limit <= 0 {
		return nil
	}
	for v := range radixBehind(t, prefix, behind) {
		if found = append(found, v); len(found) == limit {
			break
		}
	}
	return found
}
