package directory

import (
	"encoding/binary"
	"iter"
	"strings"
	"time"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"carillon/trunk"
)

// standing is where an entity stands in the list of its account: by creation, then id. It never changes while the
// entity lives.
type standing struct {
	account string
	created time.Time
	id      string
}

// listed is a persistent collection of entities that accounts list: groups, orders, SIP rules.
type listed[T any] struct {
	byID, inOrder *iradix.Tree[T]
}

func newListed[T any]() listed[T] {
	return listed[T]{iradix.New[T](), iradix.New[T]()}
}

func (l listed[T]) get(id string) (T, bool) { return l.byID.Get([]byte(id)) }

// page returns at most limit of the account's entities, those behind the cursor after.
func (l listed[T]) page(account, after string, limit int) []T {
	prefix := append([]byte(account), 0)
	var behind []byte
	if after != "" {
		behind = append(prefix, after...)
	}
	return radixPage(l.inOrder, prefix, behind, limit)
}

// listedTxn changes a collection; its trees are opened at the first change.
type listedTxn[T any] struct {
	base          listed[T]
	standing      func(T) standing
	byID, inOrder *iradix.Txn[T]
}

// current returns the entity with that id as changed so far.
func (t *listedTxn[T]) current(id string) (T, bool) {
	if t.byID != nil {
		return t.byID.Get([]byte(id))
	}
	return t.base.get(id)
}

func (t *listedTxn[T]) put(e T) {
	s := t.standing(e)
	if old, replaced := open(&t.byID, t.base.byID).Insert([]byte(s.id), e); replaced {
		open(&t.inOrder, t.base.inOrder).Delete(orderKey(t.standing(old)))
	}
	open(&t.inOrder, t.base.inOrder).Insert(orderKey(s), e)
}

func (t *listedTxn[T]) remove(id string) (old T, removed bool) {
	if old, removed = open(&t.byID, t.base.byID).Delete([]byte(id)); removed {
		open(&t.inOrder, t.base.inOrder).Delete(orderKey(t.standing(old)))
	}
	return old, removed
}

func (t *listedTxn[T]) commit() listed[T] {
	return listed[T]{committed(t.byID, t.base.byID), committed(t.inOrder, t.base.inOrder)}
}

func orderKey(s standing) []byte {
	return append(append([]byte(s.account), 0), cursorOf(s)...)
}

// cursorOf names the place just behind an entity in its account's list.
func cursorOf(s standing) string {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(s.created.UnixMilli()))
	return string(at[:]) + s.id
}

func groupStanding(g *trunk.Group) standing  { return standing{g.Account, g.Created, g.ID} }
func orderStanding(o *trunk.Order) standing  { return standing{o.Account, o.Created, o.ID} }
func ruleStanding(r *trunk.SIPRule) standing { return standing{r.Account, r.Created, r.ID} }

// Group returns the connector group with that id.
func (s *Snapshot) Group(id string) (*trunk.Group, bool) { return s.groups.get(id) }

// Groups returns the account's groups by creation, then id: at most limit of them, those behind the cursor after, or
// the first ones when it is empty. The cursor of the next page is GroupCursor of the last one returned.
func (s *Snapshot) Groups(account, after string, limit int) []*trunk.Group {
	return s.groups.page(account, after, limit)
}

// GroupCursor names the place just behind a group in Groups, whether the group lives on or not.
func GroupCursor(g *trunk.Group) string { return cursorOf(groupStanding(g)) }

// GroupsOf returns the groups that have the connector, by id.
func (s *Snapshot) GroupsOf(connectorID string) []*trunk.Group {
	return radixPage(s.members, memberKey(connectorID, ""), nil, s.members.Len())
}

// Order returns the order with that id.
func (s *Snapshot) Order(id string) (*trunk.Order, bool) { return s.orders.get(id) }

// Orders returns the account's orders like Groups returns its groups.
func (s *Snapshot) Orders(account, after string, limit int) []*trunk.Order {
	return s.orders.page(account, after, limit)
}

// OrderCursor is GroupCursor for orders.
func OrderCursor(o *trunk.Order) string { return cursorOf(orderStanding(o)) }

// SIPRule returns the SIP rule with that id.
func (s *Snapshot) SIPRule(id string) (*trunk.SIPRule, bool) { return s.rules.get(id) }

// SIPRules returns the account's SIP rules like Groups returns its groups.
func (s *Snapshot) SIPRules(account, after string, limit int) []*trunk.SIPRule {
	return s.rules.page(account, after, limit)
}

// SIPRuleCursor is GroupCursor for SIP rules.
func SIPRuleCursor(r *trunk.SIPRule) string { return cursorOf(ruleStanding(r)) }

// RulesOn returns the account's SIP rules whose trigger is that phone number, disabled ones included, by id.
func (s *Snapshot) RulesOn(account string, n trunk.Number) []*trunk.SIPRule {
	return radixPage(s.triggers, triggerKey(account, string(n), ""), nil, s.triggers.Len())
}

// AccountSettings returns what the account has set; never nil.
func (s *Snapshot) AccountSettings(account string) *trunk.AccountSettings {
	if a, ok := s.accounts.Get([]byte(account)); ok {
		return a
	}
	return &trunk.AccountSettings{Account: account}
}

// NumbersOf yields the account's numbers in the order of their digits, those behind after. An empty account yields the
// pool: the numbers that no account holds.
func (s *Snapshot) NumbersOf(account string, after trunk.Number) iter.Seq[*trunk.PhoneNumber] {
	by := byte(byAccount)
	if account == "" {
		by = byPool
	}
	return radixBehind(s.owned, numberKey(by, account, ""), cursorUnder(by, account, after))
}

// PoolNumbers yields the numbers that no account holds and that begin with prefix, those behind after.
func (s *Snapshot) PoolNumbers(prefix, after trunk.Number) iter.Seq[*trunk.PhoneNumber] {
	return radixBehind(s.owned, numberKey(byPool, "", prefix), cursorUnder(byPool, "", after))
}

// CountNumbers returns how many numbers the account holds, those in the deletion queue left out.
func (s *Snapshot) CountNumbers(account string) int {
	n := 0
	for number := range s.NumbersOf(account, "") {
		if number.Deleted.IsZero() {
			n++
		}
	}
	return n
}

// DeletedNumbers yields the numbers in the deletion queue of all accounts.
func (s *Snapshot) DeletedNumbers() iter.Seq[*trunk.PhoneNumber] {
	return radixBehind(s.owned, numberKey(byDeletion, "", ""), nil)
}

// CountGroups returns how many groups the account has.
func (s *Snapshot) CountGroups(account string) int {
	n := 0
	for range radixBehind(s.groups.inOrder, append([]byte(account), 0), nil) {
		n++
	}
	return n
}

// radixBehind yields the values whose keys have the prefix and sort behind the key behind.
func radixBehind[T any](t *iradix.Tree[T], prefix, behind []byte) iter.Seq[T] {
	return func(yield func(T) bool) {
		from := behind
		if len(from) == 0 || string(from) < string(prefix) {
			from = prefix
		}
		it := t.Root().Iterator()
		it.SeekLowerBound(from)
		for {
			k, v, ok := it.Next()
			if !ok || !strings.HasPrefix(string(k), string(prefix)) {
				return
			}
			if len(behind) > 0 && string(k) == string(behind) {
				continue
			}
			if !yield(v) {
				return
			}
		}
	}
}
