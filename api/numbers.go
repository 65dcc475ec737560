package api

import (
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
	found := r.snapshot.Numbers(directory.NumberFilter{Account: account, ConnectorID: r.query.Get(v1.QueryConnector)}, trunk.Number(after), limit+1)
	answer := &v1.NumberList{Numbers: []v1.Number{}}
	if len(found) > limit {
		found = found[:limit]
		answer.NextToken = new(r.token(r.row.name, string(found[limit-1].E164)))
	}
	for _, n := range found {
		answer.Numbers = append(answer.Numbers, ownNumber(n))
	}
	return answer, nil
}

func importNumbers(r *request) (any, error) {
	in, err := readOwn[v1.ImportNumbers](r)
	if err != nil {
		return nil, err
	}
	numbers, err := importable(in)
	if err != nil {
		return nil, err
	}
	var answer *v1.NumberList
	err = r.update(func(tx trunk.Tx) error {
		answer = &v1.NumberList{Numbers: []v1.Number{}}
		account := in.Account
		if in.ConnectorID != "" {
			var err error
			if account, err = r.receivingAccount(tx, in); err != nil {
				return err
			}
		}
		for _, e164 := range numbers {
			n, err := r.importNumber(tx, e164, account, in.ConnectorID)
			if err != nil {
				return err
			}
			answer.Numbers = append(answer.Numbers, ownNumber(n))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func importable(in *v1.ImportNumbers) ([]trunk.Number, error) {
	if len(in.Numbers) == 0 || len(in.Numbers) > v1.MaxImport {
		return nil, trunk.Errorf(trunk.Invalid, "numbers has %d entries; give 1 to %d.", len(in.Numbers), v1.MaxImport)
	}
	if in.Account != "" && !validAccount(in.Account) {
		return nil, badAccount()
	}
	var all []trunk.Number
	seen := make(map[trunk.Number]bool, len(in.Numbers))
	for _, text := range in.Numbers {
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

func (r *request) importNumber(tx trunk.Tx, e164 trunk.Number, account, connectorID string) (*trunk.PhoneNumber, error) {
	old, ok, err := trunk.Get[*trunk.PhoneNumber](tx, trunk.EntityKey{Kind: trunk.KindNumber, ID: string(e164)})
	if err != nil {
		return nil, err
	}
	if ok && (account == "" || old.Account == account && (connectorID == "" || old.ConnectorID == connectorID)) {
		return old, nil
	}
	n := &trunk.PhoneNumber{E164: e164, Account: account, ConnectorID: connectorID, Created: r.now, Updated: r.now}
	if ok {
		n.Created = old.Created
	}
	tx.Put(n)
	return n, nil
}

func ownNumber(n *trunk.PhoneNumber) v1.Number {
	return v1.Number{Number: string(n.E164), Account: n.Account, ConnectorID: n.ConnectorID, Created: n.Created, Updated: n.Updated}
}
