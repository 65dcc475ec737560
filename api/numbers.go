package api

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "carillon/api/v1"
	"carillon/directory"
	"carillon/trunk"
)

func listNumbers(r *request) (any, error) {
	account, err := r.accountQuery()
	if err != nil {
		return nil, err
	}
	limit, after, err := r.pageQuery()
	if err != nil {
		return nil, err
	}
	filter := directory.NumberFilter{Account: account, ConnectorID: r.query.Get(v1.QueryConnector), GroupID: r.query.Get(v1.QueryGroup)}
	answer := &v1.NumberList{Numbers: []v1.Number{}}
	for n := range r.listed(filter, trunk.Number(after)) {
		if len(answer.Numbers) == limit {
			answer.NextToken = new(r.token(r.row.name, answer.Numbers[limit-1].Number))
			break
		}
		answer.Numbers = append(answer.Numbers, r.ownNumber(n))
	}
	return answer, nil
}

// listed yields the numbers that a filter chooses, without those that lapsed where it names an account: they are not the
// account's any more, whether they are swept yet or not.
func (r *request) listed(f directory.NumberFilter, after trunk.Number) iter.Seq[*trunk.PhoneNumber] {
	return func(yield func(*trunk.PhoneNumber) bool) {
		for n := range r.snapshot.NumbersBy(f, after) {
			if (f.Account == "" || n.HeldBy(f.Account, r.now)) && !yield(n) {
				return
			}
		}
	}
}

// importNumbers is the operator's word: it takes numbers from whoever has them, out of the deletion queue too, and no
// quota refuses it. What it moves is counted.
func importNumbers(r *request) (any, error) {
	in, err := readOwn[v1.ImportNumbers](r)
	if err != nil {
		return nil, err
	}
	numbers, err := numbersNamed(in.Numbers)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		// In +1 all numbers have ten digits more: one of another length is a slip that no call could ever reach.
		if strings.HasPrefix(string(n), "+1") && len(n) != len("+12065550100") {
			return nil, trunk.Errorf(trunk.Invalid, "%s does not have the ten digits of a number after +1.", n)
		}
	}
	if in.Account != "" && !validAccount(in.Account) {
		return nil, badAccount()
	}
	account := in.Account
	return r.rewrite(numbers, func(tx trunk.Tx) error {
		if in.ConnectorID == "" {
			return nil
		}
		var err error
		account, err = r.receivingAccount(tx, in)
		return err
	}, func(e164 trunk.Number, old *trunk.PhoneNumber) (*trunk.PhoneNumber, error) {
		return r.imported(e164, old, account, in.ConnectorID), nil
	})
}

// releaseNumbers takes numbers back into the pool from whoever has them, or out of the installation. Unlike what an
// account deletes they are gone at once.
func releaseNumbers(r *request) (any, error) {
	in, err := readOwn[v1.ReleaseNumbers](r)
	if err != nil {
		return nil, err
	}
	numbers, err := numbersNamed(in.Numbers)
	if err != nil {
		return nil, err
	}
	return r.rewrite(numbers, func(trunk.Tx) error { return nil }, func(e164 trunk.Number, old *trunk.PhoneNumber) (*trunk.PhoneNumber, error) {
		switch {
		case old == nil:
			return nil, trunk.Errorf(trunk.NotFound, "%s is not a number of this installation.", e164)
		case in.Remove:
			return nil, nil
		case old.Account == "":
			return old, nil
		}
		return old.Release(later(old.Updated, r.now)), nil
	})
}

// rewrite replaces numbers in one transaction: first prepares it, and next says what becomes of each number, nil for
// none. It keeps the count of every account that gets or loses one, and answers the numbers as they are then.
func (r *request) rewrite(numbers []trunk.Number, first func(trunk.Tx) error, next func(trunk.Number, *trunk.PhoneNumber) (*trunk.PhoneNumber, error)) (any, error) {
	var answer *v1.NumberList
	err := r.update(func(tx trunk.Tx) error {
		answer = &v1.NumberList{Numbers: []v1.Number{}}
		if err := first(tx); err != nil {
			return err
		}
		counts := map[string]int{}
		for _, e164 := range numbers {
			old, _, err := trunk.Get[*trunk.PhoneNumber](tx, trunk.EntityKey{Kind: trunk.KindNumber, ID: string(e164)})
			if err != nil {
				return err
			}
			n, err := next(e164, old)
			if err != nil {
				return err
			}
			switch {
			case n == nil:
				tx.Delete(old.EntityKey())
			case n != old:
				tx.Put(n)
			}
			if n != nil {
				answer.Numbers = append(answer.Numbers, r.ownNumber(n))
			}
			count(counts, old, -1)
			count(counts, n, 1)
		}
		for _, account := range slices.Sorted(maps.Keys(counts)) {
			if err := r.countPlaces(tx, account, trunk.QuotaNumbers, counts[account]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// count counts a number in use for its account.
func count(counts map[string]int, n *trunk.PhoneNumber, by int) {
	if n != nil && n.Account != "" && n.Deleted.IsZero() {
		counts[n.Account] += by
	}
}

// numbersNamed reads the numbers of a request, each once.
func numbersNamed(texts []string) ([]trunk.Number, error) {
	if len(texts) == 0 || len(texts) > v1.MaxImport {
		return nil, trunk.Errorf(trunk.Invalid, "numbers has %d entries; give 1 to %d.", len(texts), v1.MaxImport)
	}
	var all []trunk.Number
	seen := make(map[trunk.Number]bool, len(texts))
	for _, text := range texts {
		n, ok := trunk.ParseDialled(text)
		if !ok {
			return nil, trunk.Errorf(trunk.Invalid, "%q is not a number in E.164 such as +12065550100.", text)
		}
		if !seen[n] {
			seen[n] = true
			all = append(all, n)
		}
	}
	return all, nil
}

// receivingAccount returns the account of the connector that gets the numbers. It touches the connector: whoever
// deletes it at this moment must see that there are numbers now.
func (r *request) receivingAccount(tx trunk.Tx, in *v1.ImportNumbers) (string, error) {
	c, ok, err := trunk.Get[*trunk.Connector](tx, trunk.EntityKey{Kind: trunk.KindConnector, ID: in.ConnectorID})
	if err != nil {
		return "", err
	}
	if !ok || in.Account != "" && in.Account != c.Account {
		return "", notFound()
	}
	c = c.Clone()
	touch(c, r.now)
	tx.Put(c)
	return c.Account, nil
}

// imported returns what becomes of a number. To the pool goes only what is new or lapsed. An account that has the number
// keeps what it said of it; another one gets it without a trace.
func (r *request) imported(e164 trunk.Number, old *trunk.PhoneNumber, account, connectorID string) *trunk.PhoneNumber {
	if old == nil {
		old = &trunk.PhoneNumber{E164: e164, Created: r.now}
	} else if account == "" && !old.Lapsed(r.now) || r.holds(old, account, connectorID) {
		return old
	}
	n := old.Release(r.now)
	if old.HeldBy(account, r.now) {
		n = old.Clone()
	}
	n.Account, n.Deleted, n.Updated = account, time.Time{}, later(old.Updated, r.now)
	if connectorID != "" && connectorID != n.ConnectorID {
		n.ConnectorID, n.GroupID, n.Associated = connectorID, "", r.now
		n.ProductType = trunk.ProductVoiceConnector
	}
	return n
}

// holds reports whether an import would change nothing of the number.
func (r *request) holds(n *trunk.PhoneNumber, account, connectorID string) bool {
	return n.HeldBy(account, r.now) && n.Deleted.IsZero() && (connectorID == "" || n.ConnectorID == connectorID)
}

func (r *request) ownNumber(n *trunk.PhoneNumber) v1.Number {
	if n.Lapsed(r.now) {
		n = n.Release(n.Updated)
	}
	own := v1.Number{
		Number: string(n.E164), Account: n.Account, ConnectorID: n.ConnectorID, GroupID: n.GroupID, Created: n.Created, Updated: n.Updated,
	}
	if !n.Deleted.IsZero() {
		own.Deleted = &n.Deleted
	}
	return own
}
