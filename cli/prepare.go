package cli

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/restjson"
	"carillon/trunk"
)

// found is a connector as a test call needs to know it.
type found struct{ id, host string }

// findConnector returns the connector with that id, or the account's first for "".
func (c *client) findConnector(ctx context.Context, id string) (found, error) {
	if id != "" {
		var got wire.GetVoiceConnectorResponse
		err := c.aws(ctx, wire.OpGetVoiceConnector, &wire.GetVoiceConnectorRequest{VoiceConnectorID: id}, &got)
		if err != nil {
			return found{}, noConnector(err, id)
		}
		return foundOf(got.VoiceConnector)
	}
	var list wire.ListVoiceConnectorsResponse
	if err := c.aws(ctx, wire.OpListVoiceConnectors, &wire.ListVoiceConnectorsRequest{MaxResults: new(int32(1))}, &list); err != nil {
		return found{}, err
	}
	if len(list.VoiceConnectors) == 0 {
		return found{}, trunk.Errorf(trunk.NotFound, "The account has no Voice Connector to call through; create one with CreateVoiceConnector.")
	}
	return foundOf(&list.VoiceConnectors[0])
}

// noConnector says of a connector that is not there how to find one that is. An id that cannot be one is answered 400.
func noConnector(err error, id string) error {
	var answer *restjson.AnswerError
	if errors.As(err, &answer) && (answer.Status == http.StatusNotFound || answer.Status == http.StatusBadRequest) {
		return trunk.Errorf(trunk.NotFound, "There is no Voice Connector %s in this account; list them with: aws chime-sdk-voice list-voice-connectors", id)
	}
	return err
}

func foundOf(v *wire.VoiceConnector) (found, error) {
	if v == nil || v.VoiceConnectorID == nil || v.OutboundHostName == nil {
		return found{}, errors.New("the API described a connector without id and host name")
	}
	return found{*v.VoiceConnectorID, *v.OutboundHostName}, nil
}

// callerID returns a number that calls of the connector may show: its default, one of its own, one of its account.
func (c *client) callerID(ctx context.Context, via found) (string, error) {
	t, err := c.termination(ctx, via)
	if err != nil {
		return "", err
	}
	if t != nil && t.DefaultPhoneNumber != nil && *t.DefaultPhoneNumber != "" {
		return string(*t.DefaultPhoneNumber), nil
	}
	for _, connector := range []string{via.id, ""} {
		number, err := c.numberInUse(ctx, connector)
		if err != nil || number != "" {
			return number, err
		}
	}
	return "", trunk.Errorf(trunk.NotFound, "The account has no number to call from; use carillon number import, --from or --prepare.")
}

// numberInUse returns a number of the account, of one connector unless that is empty; empty where there is none. It asks
// AWS's API, which any key of an account may; what is in the deletion queue is not in its answer.
func (c *client) numberInUse(ctx context.Context, connector string) (string, error) {
	in := &wire.ListPhoneNumbersRequest{MaxResults: new(int32(1))}
	if connector != "" {
		in.FilterName, in.FilterValue = new(wire.PhoneNumberAssociationNameVoiceConnectorID), &connector
	}
	for {
		var page wire.ListPhoneNumbersResponse
		if err := c.aws(ctx, wire.OpListPhoneNumbers, in, &page); err != nil {
			return "", err
		}
		if len(page.PhoneNumbers) > 0 && page.PhoneNumbers[0].E164PhoneNumber != nil {
			return string(*page.PhoneNumbers[0].E164PhoneNumber), nil
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return "", nil
		}
	}
}

// termination returns a connector's termination, nil where it has none.
func (c *client) termination(ctx context.Context, via found) (*wire.Termination, error) {
	var got wire.GetVoiceConnectorTerminationResponse
	err := c.aws(ctx, wire.OpGetVoiceConnectorTermination, &wire.GetVoiceConnectorTerminationRequest{VoiceConnectorID: via.id}, &got)
	var answer *restjson.AnswerError
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return nil, nil
	}
	return got.Termination, err
}

// prepare puts what a new connector lacks for a test call from this machine, and changes nothing that is there. What
// may fail for want of something, or of a permission, comes first: then nothing has changed.
func (c *client) prepare(ctx context.Context, via found, target netip.AddrPort) error {
	t, err := c.termination(ctx, via)
	if err != nil {
		return err
	}
	source, err := sourceFor(target)
	if err != nil {
		return err
	}
	number, err := c.numberInUse(ctx, "")
	if err != nil {
		return err
	}
	did := ""
	if number == "" {
		if number, err = c.order(ctx); err != nil {
			return err
		}
		did = "ordered " + number
		if err := c.associate(ctx, number, via.id); err != nil {
			return unfinished(err, did)
		}
		did += " for the connector"
	}
	if t == nil {
		if err := c.putTermination(ctx, via.id, netip.PrefixFrom(source, source.BitLen()).String()); err != nil {
			return unfinished(err, did)
		}
	}
	return nil
}

// unfinished says of a preparation that failed what it has changed.
func unfinished(err error, did string) error {
	if did == "" {
		return err
	}
	return trunk.Errorf(kindOf(err), "%s Before that --prepare %s.", sentence(err), did)
}

// order gets the account the first number of the pool.
func (c *client) order(ctx context.Context) (string, error) {
	var pool wire.SearchAvailablePhoneNumbersResponse
	in := &wire.SearchAvailablePhoneNumbersRequest{MaxResults: new(int32(1))}
	for {
		if err := c.aws(ctx, wire.OpSearchAvailablePhoneNumbers, in, &pool); err != nil {
			return "", err
		}
		if in.NextToken = pool.NextToken; len(pool.E164PhoneNumbers) > 0 || in.NextToken == nil {
			break
		}
	}
	if len(pool.E164PhoneNumbers) == 0 {
		return "", trunk.Errorf(trunk.NotFound, "There is no number left in the pool; use carillon number import.")
	}
	number := pool.E164PhoneNumbers[0]
	var made wire.CreatePhoneNumberOrderResponse
	err := c.aws(ctx, wire.OpCreatePhoneNumberOrder, &wire.CreatePhoneNumberOrderRequest{
		E164PhoneNumbers: []wire.Sensitive{number}, ProductType: new(wire.PhoneNumberProductTypeVoiceConnector),
	}, &made)
	if err != nil {
		return "", err
	}
	if o := made.PhoneNumberOrder; o == nil || o.Status == nil || *o.Status != wire.PhoneNumberOrderStatusSuccessful {
		return "", trunk.Errorf(trunk.Conflict, "Somebody else has just got %s from the pool; try again.", number)
	}
	return string(number), nil
}

// associate gives a number of the account to a connector.
func (c *client) associate(ctx context.Context, number, connector string) error {
	var done wire.AssociatePhoneNumbersWithVoiceConnectorResponse
	err := c.aws(ctx, wire.OpAssociatePhoneNumbersWithVoiceConnector, &wire.AssociatePhoneNumbersWithVoiceConnectorRequest{
		VoiceConnectorID: connector, E164PhoneNumbers: []wire.Sensitive{wire.Sensitive(number)},
	}, &done)
	if err == nil && len(done.PhoneNumberErrors) > 0 && done.PhoneNumberErrors[0].ErrorMessage != nil {
		err = trunk.Errorf(trunk.Conflict, "%s", *done.PhoneNumberErrors[0].ErrorMessage)
	}
	return err
}

// testCPS is more than a person starts in a second, which AWS's default of 1 is not.
const testCPS = 10

// putTermination lets a source call US numbers.
func (c *client) putTermination(ctx context.Context, id, source string) error {
	return c.aws(ctx, wire.OpPutVoiceConnectorTermination, &wire.PutVoiceConnectorTerminationRequest{
		VoiceConnectorID: id,
		Termination:      &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{source}, CPSLimit: new(int32(testCPS))},
	}, nil)
}

// importNumber gives a number to a connector.
func (c *client) importNumber(ctx context.Context, number, connector string) error {
	return c.own(ctx, http.MethodPost, v1.Numbers, v1.ImportNumbers{Numbers: []string{number}, ConnectorID: connector}, nil)
}
