package api

import (
	"slices"
	"strings"

	v1 "carillon/api/v1"
	"carillon/trunk"
)

func listQuotas(r *request) (any, error) {
	answer := &v1.QuotaList{Quotas: []v1.Quota{}, Names: trunk.QuotaNames()}
	for _, q := range r.snapshot.Quotas() {
		answer.Quotas = append(answer.Quotas, v1.Quota{Name: q.Name, Account: q.Account, Value: new(q.Value)})
	}
	return answer, nil
}

// putQuota sets a quota. There is no way to remove one, only to raise it: the count of what it caps is kept only while
// it is set, and would be wrong after a gap.
func putQuota(r *request) (any, error) {
	in, err := readOwn[v1.Quota](r)
	if err != nil {
		return nil, err
	}
	name := r.labels["name"]
	switch {
	case !slices.Contains(trunk.QuotaNames(), name) || in.Name != "" && in.Name != name:
		return nil, trunk.Errorf(trunk.Invalid, "There is no quota of that name; there are: %s.", strings.Join(trunk.QuotaNames(), "; "))
	case in.Account != "" && !validAccount(in.Account):
		return nil, badAccount()
	case in.Value == nil || *in.Value < 0 || *in.Value > 1<<31-1:
		return nil, trunk.Errorf(trunk.Invalid, "value must be 0 to %d.", 1<<31-1)
	}
	q := &trunk.Quota{Account: in.Account, Name: name, Value: *in.Value}
	if err := r.update(func(tx trunk.Tx) error { tx.Put(q); return nil }); err != nil {
		return nil, err
	}
	return &v1.Quota{Name: q.Name, Account: q.Account, Value: &q.Value}, nil
}
