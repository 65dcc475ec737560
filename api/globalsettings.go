package api

import (
	"carillon/api/wire"
	"carillon/trunk"
)

// accountOperations are the operations about an account as a whole.
func accountOperations() offered {
	return offered{
		wire.OpGetGlobalSettings:                  {wholeAccount, awsHandler(getGlobalSettings)},
		wire.OpUpdateGlobalSettings:               {wholeAccount, awsHandler(updateGlobalSettings)},
		wire.OpListAvailableVoiceConnectorRegions: {wholeAccount, awsHandler(listRegions)},
		wire.OpValidateE911Address:                {wholeAccount, awsHandler(validateAddress)},
	}
}

// getGlobalSettings always answers both members: clients read through them to the bucket.
func getGlobalSettings(r *request, _ *wire.GetGlobalSettingsRequest) (any, error) {
	a := r.snapshot.AccountSettings(r.principal.Account)
	answer := &wire.GetGlobalSettingsResponse{BusinessCalling: new(wire.BusinessCallingSettings), VoiceConnector: new(wire.VoiceConnectorSettings)}
	if a.BusinessCdrBucket != "" {
		answer.BusinessCalling.CDRBucket = new(a.BusinessCdrBucket)
	}
	if a.CdrBucket != "" {
		answer.VoiceConnector.CDRBucket = new(a.CdrBucket)
	}
	return answer, nil
}

// updateGlobalSettings changes the member that is sent; one without a bucket clears it.
func updateGlobalSettings(r *request, in *wire.UpdateGlobalSettingsRequest) (any, error) {
	return nil, r.changeAccount(func(a *trunk.AccountSettings) error {
		if in.VoiceConnector != nil {
			a.CdrBucket = textOf(in.VoiceConnector.CDRBucket)
		}
		if in.BusinessCalling != nil {
			a.BusinessCdrBucket = textOf(in.BusinessCalling.CDRBucket)
		}
		return trunk.CheckAccountSettings(a)
	})
}

// changeAccount runs fn on a copy of what the caller's account has set and stores the copy, in one transaction.
func (r *request) changeAccount(fn func(*trunk.AccountSettings) error) error {
	return r.update(func(tx trunk.Tx) error {
		changed := &trunk.AccountSettings{Account: r.principal.Account}
		old, ok, err := trunk.Get[*trunk.AccountSettings](tx, changed.EntityKey())
		if err != nil {
			return err
		}
		if ok {
			*changed = *old
		}
		if err := fn(changed); err != nil {
			return err
		}
		tx.Put(changed)
		return nil
	})
}

// textOf reads a text that may be left out.
func textOf[T ~string](text *T) string {
	if text == nil {
		return ""
	}
	return string(*text)
}
