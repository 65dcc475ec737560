package api

import (
	"time"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/trunk"
)

// defaultPage is the size of a page when the request names none: the largest that both namespaces allow, because AWS
// CLIs do not turn pages here.
const defaultPage = 99

// notFound is the same for another account's connector and for one that never was.
func notFound() error { return trunk.Errorf(trunk.NotFound, "Unable to find the requested identifier") }

// connector returns the caller's connector with that id from the snapshot.
func (r *request) connector(id string) (*trunk.Connector, error) {
	c, ok := r.snapshot.Connector(id)
	if !ok || c.Account != r.principal.Account {
		return nil, notFound()
	}
	return c, nil
}

// change runs fn on a copy of the caller's connector with that id and stores the copy, in one transaction.
func (r *request) change(id string, fn func(*trunk.Connector) error) (*trunk.Connector, error) {
	var changed *trunk.Connector
	err := r.update(func(tx trunk.Tx) error {
		c, ok, err := trunk.Get[*trunk.Connector](tx, trunk.EntityKey{Kind: trunk.KindConnector, ID: id})
		if err != nil {
			return err
		}
		if !ok || c.Account != r.principal.Account {
			return notFound()
		}
		changed = c.Clone()
		if err := fn(changed); err != nil {
			return err
		}
		tx.Put(changed)
		return nil
	})
	return changed, err
}

// touch stamps a change. Updated always grows, so that two states of a connector never share it: deleteConnector
// tells by it whether the snapshot is the state it is about to delete.
func touch(c *trunk.Connector, now time.Time) {
	if next := c.Updated.Add(time.Millisecond); now.Before(next) {
		now = next
	}
	c.Updated = now
}

func createConnector(r *request, in *wire.CreateVoiceConnectorRequest) (any, error) {
	c, err := r.newConnector(in)
	if err != nil {
		return nil, err
	}
	made, err := createOnce(r, creation[*trunk.Connector]{
		made: c, noun: "Voice Connector", reads: r.limited(c.Account, trunk.QuotaConnectors),
		write: func(tx trunk.Tx) error {
			tx.Create(c)
			return r.takePlaces(tx, c.Account, trunk.QuotaConnectors, 1)
		},
	})
	if err != nil {
		return nil, err
	}
	return &wire.CreateVoiceConnectorResponse{VoiceConnector: wireConnector(made)}, nil
}

func (r *request) newConnector(in *wire.CreateVoiceConnectorRequest) (*trunk.Connector, error) {
	installation, ok := r.snapshot.Installation()
	if !ok {
		return nil, trunk.Errorf(trunk.Unavailable, "The installation is still being set up. Try again.")
	}
	c := &trunk.Connector{
		Account: r.principal.Account, Name: *in.Name, Region: trunk.DefaultRegion, RequireEncryption: *in.RequireEncryption,
		NetworkType: trunk.IPv4Only, Created: r.now, Updated: r.now, Tags: domainTags(in.Tags),
	}
	if in.AWSRegion != nil {
		c.Region = trunk.Region(*in.AWSRegion)
	}
	if in.NetworkType != nil {
		c.NetworkType = trunk.NetworkType(*in.NetworkType)
	}
	if in.IntegrationType != nil {
		c.IntegrationType = string(*in.IntegrationType)
	}
	if c.NetworkType == trunk.DualStack && !r.server.config.DualStack {
		return nil, trunk.Errorf(trunk.Invalid, "NetworkType DUAL_STACK needs IPv6, which this installation does not serve. Use IPV4_ONLY.")
	}
	if err := trunk.CheckName(c.Name); err != nil {
		return nil, err
	}
	if err := trunk.CheckTags(c.Tags); err != nil {
		return nil, err
	}
	id, err := trunk.NewID(r.server.config.Random)
	if err != nil {
		return nil, err
	}
	c.ID, c.HostName = id, c.Region.HostName(id, installation.Domain)
	return c, nil
}

func getConnector(r *request, in *wire.GetVoiceConnectorRequest) (any, error) {
	c, err := r.connector(in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	return &wire.GetVoiceConnectorResponse{VoiceConnector: wireConnector(c)}, nil
}

func listConnectors(r *request, in *wire.ListVoiceConnectorsRequest) (any, error) {
	limit, after := defaultPage, ""
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	// Shells send an empty token for a variable that is not set.
	if in.NextToken != nil && *in.NextToken != "" {
		var err error
		if after, err = r.readToken("ListVoiceConnectors", *in.NextToken); err != nil {
			return nil, err
		}
	}
	// One more than asked for tells whether there is another page.
	found := r.snapshot.Connectors(r.principal.Account, after, limit+1)
	answer := &wire.ListVoiceConnectorsResponse{VoiceConnectors: []wire.VoiceConnector{}}
	if len(found) > limit {
		found = found[:limit]
		answer.NextToken = new(r.token("ListVoiceConnectors", directory.ConnectorCursor(found[limit-1])))
	}
	for _, c := range found {
		answer.VoiceConnectors = append(answer.VoiceConnectors, *wireConnector(c))
	}
	return answer, nil
}

func updateConnector(r *request, in *wire.UpdateVoiceConnectorRequest) (any, error) {
	if err := trunk.CheckName(*in.Name); err != nil {
		return nil, err
	}
	c, err := r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		c.Name, c.RequireEncryption = *in.Name, *in.RequireEncryption
		touch(c, r.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.UpdateVoiceConnectorResponse{VoiceConnector: wireConnector(c)}, nil
}

func deleteConnector(r *request, in *wire.DeleteVoiceConnectorRequest) (any, error) {
	key := trunk.EntityKey{Kind: trunk.KindConnector, ID: in.VoiceConnectorID}
	return nil, r.update(func(tx trunk.Tx) error {
		c, ok, err := trunk.Get[*trunk.Connector](tx, key)
		if err != nil {
			return err
		}
		if !ok || c.Account != r.principal.Account {
			return notFound()
		}
		// Numbers are found through the snapshot. importNumbers touches the connector, so a snapshot that has this very
		// state of it has all of its numbers too.
		now := r.server.config.Directory.Snapshot()
		if seen, ok := now.Connector(c.ID); !ok || !seen.Updated.Equal(c.Updated) {
			return trunk.Errorf(trunk.Unavailable, "The Voice Connector is being changed. Try again.")
		}
		if len(now.Numbers(directory.NumberFilter{ConnectorID: c.ID}, "", 1)) > 0 {
			return &trunk.Error{
				Kind: trunk.Conflict, Code: "PhoneNumberAssociationsExist",
				Detail: "Phone numbers are associated with the Voice Connector. Disassociate them first.",
			}
		}
		if err := r.givePlaces(tx, c.Account, trunk.QuotaConnectors, 1); err != nil {
			return err
		}
		tx.Delete(key)
		tx.Delete((&trunk.Health{ConnectorID: c.ID}).EntityKey())
		return nil
	})
}

// wireConnector translates a connector.
func wireConnector(c *trunk.Connector) *wire.VoiceConnector {
	w := &wire.VoiceConnector{
		AWSRegion:         new(wire.VoiceConnectorAWSRegion(c.Region)),
		CreatedTimestamp:  wire.At(c.Created),
		Name:              new(c.Name),
		NetworkType:       new(wire.NetworkType(c.NetworkType)),
		OutboundHostName:  new(c.HostName),
		RequireEncryption: new(c.RequireEncryption),
		UpdatedTimestamp:  wire.At(c.Updated),
		VoiceConnectorARN: new(c.ARN()),
		VoiceConnectorID:  new(c.ID),
	}
	if c.IntegrationType != "" {
		w.IntegrationType = new(wire.VoiceConnectorIntegrationType(c.IntegrationType))
	}
	return w
}

func domainTags(tags []wire.Tag) []trunk.Tag {
	var all []trunk.Tag
	for _, t := range tags {
		all = append(all, trunk.Tag{Key: string(*t.Key), Value: string(*t.Value)})
	}
	return all
}
