package api

import (
	"carillon/api/wire"
	"carillon/trunk"
)

func getNumberSettings(r *request, _ *wire.GetPhoneNumberSettingsRequest) (any, error) {
	s := r.snapshot.AccountSettings(r.principal.Account)
	answer := new(wire.GetPhoneNumberSettingsResponse)
	if !s.CallingNameUpdated.IsZero() {
		answer.CallingName, answer.CallingNameUpdatedTimestamp = new(wire.Sensitive(s.CallingName)), wire.At(s.CallingNameUpdated)
	}
	return answer, nil
}

// updateNumberSettings changes the calling name of the account, and of nothing else: the rest of its settings has
// operations of its own.
func updateNumberSettings(r *request, in *wire.UpdatePhoneNumberSettingsRequest) (any, error) {
	return nil, r.update(func(tx trunk.Tx) error {
		next := &trunk.AccountSettings{Account: r.principal.Account}
		old, ok, err := trunk.Get[*trunk.AccountSettings](tx, next.EntityKey())
		if err != nil {
			return err
		}
		if ok {
			*next = *old
		}
		next.CallingName, next.CallingNameUpdated = string(*in.CallingName), r.now
		tx.Put(next)
		return nil
	})
}
