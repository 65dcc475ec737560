package api

import (
	"carillon/directory"
	"carillon/trunk"
)

// counted is what a quota caps by its number in an account.
type counted struct {
	// plural is what clients call them.
	plural string
	// count counts those of an account.
	count func(s *directory.Snapshot, account string) int
}

// countedBy returns what the quota of that name counts.
func countedBy(quota string) counted {
	switch quota {
	case trunk.QuotaConnectors:
		return counted{"Voice Connectors", (*directory.Snapshot).CountConnectors}
	case trunk.QuotaGroups:
		return counted{"Voice Connector groups", (*directory.Snapshot).CountGroups}
	case trunk.QuotaNumbers:
		return counted{"phone numbers", (*directory.Snapshot).CountNumbers}
	}
	panic("no usage is kept for the quota " + quota)
}

// limited reports whether the account has that quota: takePlaces then reads from the transaction.
func (r *request) limited(account, quota string) bool {
	_, ok := r.snapshot.Quota(account, quota)
	return ok
}

// takePlaces counts n more of what the quota caps in an account, and refuses when they do not fit. Without such a quota
// it counts nothing, and makes sure that there is none by then.
func (r *request) takePlaces(tx trunk.Tx, account, quota string, n int) error {
	most, ok := r.snapshot.Quota(account, quota)
	switch {
	case n == 0:
		return nil
	case !ok:
		unlimited(tx, account, quota)
		return nil
	}
	usage, err := r.usage(tx, account, quota)
	if err != nil {
		return err
	}
	if usage.Count+n > most {
		return trunk.Errorf(trunk.LimitExceeded, "The account has %d %s; its quota is %d.", usage.Count, countedBy(quota).plural, most)
	}
	tx.Put(&trunk.Usage{Account: account, Name: quota, Count: usage.Count + n})
	return nil
}

// givePlaces counts n fewer.
func (r *request) givePlaces(tx trunk.Tx, account, quota string, n int) error {
	return r.countPlaces(tx, account, quota, -n)
}

// countPlaces counts what comes, or goes where by is negative, without a refusal. Under a quota whose usage nobody has
// counted yet it starts the count as takePlaces does: a create that counts at this moment must not count what goes.
func (r *request) countPlaces(tx trunk.Tx, account, quota string, by int) error {
	if by == 0 {
		return nil
	}
	if !r.limited(account, quota) {
		unlimited(tx, account, quota)
		return nil
	}
	usage, err := r.usage(tx, account, quota)
	if err != nil {
		return err
	}
	tx.Put(&trunk.Usage{Account: account, Name: quota, Count: max(usage.Count+by, 0)})
	return nil
}

// unlimited lets a transaction that counts nothing hold only while nobody has set the quota. So all that comes and goes
// after that is counted, and a count that begins from a snapshot which has the quota misses nothing, however many creates
// were under way.
func unlimited(tx trunk.Tx, account, quota string) {
	for _, whose := range []string{account, ""} {
		tx.Absent((&trunk.Quota{Account: whose, Name: quota}).EntityKey())
	}
}

// usage returns what the account has, from a count where none is stored yet.
func (r *request) usage(tx trunk.Tx, account, quota string) (*trunk.Usage, error) {
	start := &trunk.Usage{Account: account, Name: quota}
	stored, ok, err := trunk.Get[*trunk.Usage](tx, start.EntityKey())
	if err != nil || ok {
		return stored, err
	}
	start.Count = countedBy(quota).count(r.snapshot, account)
	return start, nil
}
