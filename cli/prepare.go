package cli

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/restjson"
	"carillon/trunk"
)

// found is a connector as a test call needs to know it.
type found struct{ id, host, account string }

// findConnector returns the connector with that id, or the account's first for "".
func (c *client) findConnector(ctx context.Context, id string) (found, error) {
	if id != "" {
		var got wire.GetVoiceConnectorResponse
		err := c.aws(ctx, wire.OpGetVoiceConnector, &wire.GetVoiceConnectorRequest{VoiceConnectorID: id}, &got)
		if err != nil {
			return found{}, err
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

func foundOf(v *wire.VoiceConnector) (found, error) {
	if v == nil || v.VoiceConnectorID == nil || v.OutboundHostName == nil || v.VoiceConnectorARN == nil {
		return found{}, errors.New("the API described a connector without id, host name and ARN")
	}
	parts := strings.Split(*v.VoiceConnectorARN, ":")
	if len(parts) != 6 {
		return found{}, errors.New("the API gave " + *v.VoiceConnectorARN + ", which is no ARN")
	}
	return found{*v.VoiceConnectorID, *v.OutboundHostName, parts[4]}, nil
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
		numbers, err := c.numbersInUse(ctx, via.account, connector)
		if err != nil {
			return "", err
		}
		if len(numbers) > 0 {
			return numbers[0].Number, nil
		}
	}
	return "", trunk.Errorf(trunk.NotFound, "The account has no number to call from; use carillon number import, --from or --prepare.")
}

// numbersInUse returns the numbers of an account, of one connector unless that is empty. What is in the deletion queue
// is no caller id.
func (c *client) numbersInUse(ctx context.Context, account, connector string) ([]v1.Number, error) {
	numbers, err := c.numbers(ctx, numberFilter{Account: account, Connector: connector})
	return slices.DeleteFunc(numbers, func(n v1.Number) bool { return n.Deleted != nil }), err
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

// prepare puts what a new connector lacks for a test call from this machine, and changes nothing that is there.
func (c *client) prepare(ctx context.Context, via found, target netip.AddrPort) error {
	t, err := c.termination(ctx, via)
	if err != nil {
		return err
	}
	if t == nil {
		source, err := sourceFor(target)
		if err != nil {
			return err
		}
		only := netip.PrefixFrom(source, source.BitLen()).String()
		if err := c.putTermination(ctx, via.id, only); err != nil {
			return err
		}
	}
	own, err := c.numbersInUse(ctx, via.account, "")
	if err != nil || len(own) > 0 {
		return err
	}
	all, err := c.numbers(ctx, numberFilter{})
	if err != nil {
		return err
	}
	for _, n := range all {
		if n.Account == "" {
			return c.importNumber(ctx, n.Number, via.id)
		}
	}
	return trunk.Errorf(trunk.NotFound, "There is no number left in the pool; use carillon number import.")
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
