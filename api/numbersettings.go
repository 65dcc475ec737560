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
	return nil, r.changeAccount(func(a *trunk.AccountSettings) error {
		a.CallingName, a.CallingNameUpdated = string(*in.CallingName), r.now
		return nil
	})
}
