package api

import (
	"time"

	"carillon/api/wire"
	"carillon/trunk"
)

func deletePhoneNumber(r *request, in *wire.DeletePhoneNumberRequest) (any, error) {
	_, err := r.one(in.PhoneNumberID, r.queueNumber)
	return nil, err
}

func batchDeletePhoneNumber(r *request, in *wire.BatchDeletePhoneNumberRequest) (any, error) {
	ids := make([]wire.Sensitive, len(in.PhoneNumberIDs))
	for i, id := range in.PhoneNumberIDs {
		ids[i] = wire.Sensitive(id)
	}
	failed, err := r.batch(ids, func(tx trunk.Tx, _ int, e164 trunk.Number) error {
		_, err := r.queueNumber(tx, e164)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wire.BatchDeletePhoneNumberResponse{PhoneNumberErrors: failed}, nil
}

// queueNumber puts a number into the deletion queue. One that is there already stays as it is: the delete may be one
// sent again, and must not begin the week anew.
func (r *request) queueNumber(tx trunk.Tx, e164 trunk.Number) (*trunk.PhoneNumber, error) {
	n, err := r.held(tx, e164)
	if err != nil || !n.Deleted.IsZero() {
		return n, err
	}
	if n.IsAssociated() {
		return nil, trunk.Errorf(trunk.Invalid, "The phone number is associated with a Voice Connector or a Voice Connector group. Disassociate it first.")
	}
	n.Deleted, n.Associated = r.now, time.Time{}
	r.putNumber(tx, n)
	return n, r.givePlaces(tx, n.Account, trunk.QuotaNumbers, 1)
}

// restorePhoneNumber takes a number out of the deletion queue. One that is not in it is answered as it is: the restore
// may be one sent again.
func restorePhoneNumber(r *request, in *wire.RestorePhoneNumberRequest) (any, error) {
	n, err := r.one(in.PhoneNumberID, func(tx trunk.Tx, e164 trunk.Number) (*trunk.PhoneNumber, error) {
		n, err := r.held(tx, e164)
		if err != nil || n.Deleted.IsZero() {
			return n, err
		}
		n.Deleted = time.Time{}
		r.putNumber(tx, n)
		return n, r.takePlaces(tx, n.Account, trunk.QuotaNumbers, 1)
	})
	if err != nil {
		return nil, err
	}
	return &wire.RestorePhoneNumberResponse{PhoneNumber: r.wireNumber(n)}, nil
}
