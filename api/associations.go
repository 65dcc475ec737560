package api

import (
	"slices"
	"time"

	"carillon/api/wire"
	"carillon/trunk"
)

// associationOperations are those that say who takes the calls of phone numbers.
func associationOperations() offered {
	return offered{
		wire.OpAssociatePhoneNumbersWithVoiceConnector:         {oneConnector, awsHandler(associateWithConnector)},
		wire.OpAssociatePhoneNumbersWithVoiceConnectorGroup:    {oneGroup, awsHandler(associateWithGroup)},
		wire.OpDisassociatePhoneNumbersFromVoiceConnector:      {oneConnector, awsHandler(disassociateFromConnector)},
		wire.OpDisassociatePhoneNumbersFromVoiceConnectorGroup: {oneGroup, awsHandler(disassociateFromGroup)},
	}
}

// taker is who takes the calls of a number: one connector or one group. The zero value is nobody.
type taker struct{ connectorID, groupID string }

func takerOf(n *trunk.PhoneNumber) taker { return taker{n.ConnectorID, n.GroupID} }

func associateWithConnector(r *request, in *wire.AssociatePhoneNumbersWithVoiceConnectorRequest) (any, error) {
	failed, err := r.associate(taker{connectorID: in.VoiceConnectorID}, in.E164PhoneNumbers, in.ForceAssociate)
	if err != nil {
		return nil, err
	}
	return &wire.AssociatePhoneNumbersWithVoiceConnectorResponse{PhoneNumberErrors: failed}, nil
}

func associateWithGroup(r *request, in *wire.AssociatePhoneNumbersWithVoiceConnectorGroupRequest) (any, error) {
	failed, err := r.associate(taker{groupID: in.VoiceConnectorGroupID}, in.E164PhoneNumbers, in.ForceAssociate)
	if err != nil {
		return nil, err
	}
	return &wire.AssociatePhoneNumbersWithVoiceConnectorGroupResponse{PhoneNumberErrors: failed}, nil
}

func disassociateFromConnector(r *request, in *wire.DisassociatePhoneNumbersFromVoiceConnectorRequest) (any, error) {
	failed, err := r.disassociate(taker{connectorID: in.VoiceConnectorID}, in.E164PhoneNumbers)
	if err != nil {
		return nil, err
	}
	return &wire.DisassociatePhoneNumbersFromVoiceConnectorResponse{PhoneNumberErrors: failed}, nil
}

func disassociateFromGroup(r *request, in *wire.DisassociatePhoneNumbersFromVoiceConnectorGroupRequest) (any, error) {
	failed, err := r.disassociate(taker{groupID: in.VoiceConnectorGroupID}, in.E164PhoneNumbers)
	if err != nil {
		return nil, err
	}
	return &wire.DisassociatePhoneNumbersFromVoiceConnectorGroupResponse{PhoneNumberErrors: failed}, nil
}

// associate gives numbers to a taker. One that has them already keeps them; from another one they go only by force.
func (r *request) associate(to taker, numbers []wire.Sensitive, force *bool) ([]wire.PhoneNumberError, error) {
	return r.retake(to, numbers, func(n *trunk.PhoneNumber) (taker, error) {
		from := takerOf(n)
		switch {
		case from == to:
			return to, nil
		case n.Product() != trunk.ProductVoiceConnector:
			return from, trunk.Errorf(trunk.Invalid, "The phone number's ProductType is %s; only those of type %s can be associated.", n.Product(), trunk.ProductVoiceConnector)
		case from != taker{} && (force == nil || !*force):
			return from, associated(codeNumbers, "The phone number is associated with something else. Set ForceAssociate to move it.")
		}
		return to, nil
	})
}

// disassociate takes numbers from a taker. One that nobody has is left alone: the request may be one sent again.
func (r *request) disassociate(from taker, numbers []wire.Sensitive) ([]wire.PhoneNumberError, error) {
	return r.retake(from, numbers, func(n *trunk.PhoneNumber) (taker, error) {
		switch now := takerOf(n); now {
		case from, taker{}:
			return taker{}, nil
		default:
			return now, trunk.Errorf(trunk.Conflict, "The phone number is associated with something else.")
		}
	})
}

// retake asks fn for each number who is to take its calls, and stores it. It touches everybody who gets or loses one:
// whoever deletes them at this moment must see what they have.
func (r *request) retake(asked taker, numbers []wire.Sensitive, fn func(*trunk.PhoneNumber) (taker, error)) ([]wire.PhoneNumberError, error) {
	if err := checkCount(len(numbers)); err != nil {
		return nil, err
	}
	var failed []wire.PhoneNumberError
	err := r.update(func(tx trunk.Tx) error {
		found, err := r.touchTaker(tx, asked, false)
		if err == nil && !found {
			err = notFound()
		}
		if err != nil {
			return err
		}
		var changed []taker
		failed, err = each(numbers, func(_ int, e164 trunk.Number) error {
			n, err := r.held(tx, e164)
			if err == nil {
				err = r.notForbidden(r.numberARN(e164))
			}
			if err != nil {
				return err
			}
			if !n.Deleted.IsZero() {
				return notFound()
			}
			from := takerOf(n)
			to, err := fn(n)
			if err == nil && to != from && from != asked {
				err = r.mayLose(from)
			}
			if err == nil && to != from {
				changed = append(changed, from, to)
				n.ConnectorID, n.GroupID, n.Associated = to.connectorID, to.groupID, r.now
				if to == (taker{}) {
					n.Associated = time.Time{}
				}
				r.putNumber(tx, n)
			}
			return err
		})
		for i, t := range changed {
			if err == nil && t != (taker{}) && !slices.Contains(changed[:i], t) {
				_, err = r.touchTaker(tx, t, true)
			}
		}
		return err
	})
	return failed, err
}

// mayLose asks the policy about a connector or group that a number is taken from for another one: who may manage one
// trunk must not empty all others.
func (r *request) mayLose(t taker) error {
	switch {
	case t.groupID != "":
		return r.mayTouch(trunk.GroupARN(r.principal.Account, t.groupID))
	case t.connectorID == "":
		return nil
	}
	if c, ok := r.snapshot.Connector(t.connectorID); ok {
		return r.mayTouch(c.ARN())
	}
	return r.mayTouch(trunk.ConnectorARN(trunk.Region(r.region), r.principal.Account, t.connectorID))
}

// touchTaker reports whether the account has that connector or group, and touches it if asked to.
func (r *request) touchTaker(tx trunk.Tx, t taker, touched bool) (found bool, err error) {
	if t.groupID != "" {
		g, ok, err := trunk.Get[*trunk.Group](tx, trunk.EntityKey{Kind: trunk.KindGroup, ID: t.groupID})
		if err != nil || !ok || g.Account != r.principal.Account {
			return false, err
		}
		if touched {
			g = g.Clone()
			touchGroup(g, r.now)
			tx.Put(g)
		}
		return true, nil
	}
	c, ok, err := trunk.Get[*trunk.Connector](tx, trunk.EntityKey{Kind: trunk.KindConnector, ID: t.connectorID})
	if err != nil || !ok || c.Account != r.principal.Account {
		return false, err
	}
	if touched {
		c = c.Clone()
		touch(c, r.now)
		tx.Put(c)
	}
	return true, nil
}
