package api

import (
	"strings"

	v1 "carillon/api/v1"
	"carillon/trunk"
)

func listQuotas(r *request) (any, error) {
	answer := &v1.QuotaList{Quotas: []v1.Quota{}, Names: trunk.QuotaNames()}
	for _, q := range r.snapshot.Quotas() {
		if q.Value != trunk.Unset {
			answer.Quotas = append(answer.Quotas, v1.Quota{Name: q.Name, Account: q.Account, Value: new(q.Value)})
		}
	}
	for _, name := range answer.Names {
		q := v1.Quota{Name: name}
		if name == trunk.QuotaGroupMembers {
			q.Value = new(trunk.MaxGroupMembers)
		}
		answer.Defaults = append(answer.Defaults, q)
	}
	return answer, nil
}

// quotaNamed returns the quota that is meant by the name in the path.
func (r *request) quotaNamed() (string, error) {
	asked := r.labels["name"]
	if name, ok := trunk.QuotaNamed(asked); ok {
		return name, nil
	}
	prefix := trunk.APIRateOf("")
	if len(asked) > len(prefix) && strings.EqualFold(asked[:len(prefix)], prefix) {
		for i := range r.server.rows {
			if row := &r.server.rows[i]; strings.EqualFold(asked[len(prefix):], row.name) {
				return row.rate, nil
			}
		}
		return "", trunk.Errorf(trunk.Invalid, "There is no operation of that name; one is CreateVoiceConnector.")
	}
	return "", trunk.Errorf(trunk.Invalid, "There is no quota of that name; there are: %s; and of each operation: %s.",
		strings.Join(trunk.QuotaNames(), "; "), trunk.APIRateOf("CreateVoiceConnector"))
}

// putQuota sets a quota.
func putQuota(r *request) (any, error) {
	in, err := readOwn[v1.Quota](r)
	if err != nil {
		return nil, err
	}
	name, err := r.quotaNamed()
	if err != nil {
		return nil, err
	}
	least := 0
	if strings.HasPrefix(name, trunk.QuotaAPIRate) {
		// Nobody, operators included, could ever ask for more again.
		least = 1
	}
	switch {
	case in.Name != "" && in.Name != name && in.Name != r.labels["name"]:
		return nil, trunk.Errorf(trunk.Invalid, "The name in the body is another than that in the path.")
	case in.Account != "" && !validAccount(in.Account):
		return nil, badAccount()
	case in.Value == nil || *in.Value < least || *in.Value > 1<<31-1:
		return nil, trunk.Errorf(trunk.Invalid, "value must be %d to %d.", least, 1<<31-1)
	}
	if name == trunk.QuotaGroupMembers && *in.Value > trunk.MaxGroupMembers {
		return nil, trunk.Errorf(trunk.Invalid, "value must be 0 to %d: a group takes no more connectors, whatever the quota.", trunk.MaxGroupMembers)
	}
	q := &trunk.Quota{Account: in.Account, Name: name, Value: *in.Value}
	if err := r.update(func(tx trunk.Tx) error { tx.Put(q); return nil }); err != nil {
		return nil, err
	}
	return &v1.Quota{Name: q.Name, Account: q.Account, Value: &q.Value}, nil
}

// deleteQuota takes a quota away again: then that of every account applies, or none. What is counted stays counted,
// else the count would have missed what came and went when the quota is set again.
func deleteQuota(r *request) (any, error) {
	name, err := r.quotaNamed()
	if err != nil {
		return nil, err
	}
	account := r.query.Get(v1.QueryAccount)
	if account != "" && !validAccount(account) {
		return nil, badAccount()
	}
	return nil, r.update(func(tx trunk.Tx) error {
		unset := &trunk.Quota{Account: account, Name: name, Value: trunk.Unset}
		set, ok, err := trunk.Get[*trunk.Quota](tx, unset.EntityKey())
		switch {
		case err != nil:
			return err
		case !ok || set.Value == trunk.Unset:
			return trunk.Errorf(trunk.NotFound, "The quota is not set.")
		case trunk.Counted(name):
			tx.Put(unset)
		default:
			tx.Delete(unset.EntityKey())
		}
		return nil
	})
}
