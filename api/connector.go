package api

import (
	"errors"
	"time"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/trunk"
)

// connectorOperations are the operations of connectors and of their two directions.
func connectorOperations() offered {
	return offered{
		wire.OpCreateVoiceConnector: {anyConnector, awsHandler(createConnector)},
		wire.OpListVoiceConnectors:  {anyConnector, awsHandler(listConnectors)},
		wire.OpGetVoiceConnector:    {oneConnector, awsHandler(getConnector)},
		wire.OpUpdateVoiceConnector: {oneConnector, awsHandler(updateConnector)},
		wire.OpDeleteVoiceConnector: {oneConnector, awsHandler(deleteConnector)},

		wire.OpPutVoiceConnectorTermination:       {oneConnector, awsHandler(putTermination)},
		wire.OpGetVoiceConnectorTermination:       {oneConnector, awsHandler(getTermination)},
		wire.OpDeleteVoiceConnectorTermination:    {oneConnector, awsHandler(deleteTermination)},
		wire.OpGetVoiceConnectorTerminationHealth: {oneConnector, awsHandler(getHealth)},

		wire.OpPutVoiceConnectorTerminationCredentials:    {oneConnector, awsHandler(putCredentials)},
		wire.OpListVoiceConnectorTerminationCredentials:   {oneConnector, awsHandler(listCredentials)},
		wire.OpDeleteVoiceConnectorTerminationCredentials: {oneConnector, awsHandler(deleteCredentials)},

		wire.OpPutVoiceConnectorOrigination:    {oneConnector, awsHandler(putOrigination)},
		wire.OpGetVoiceConnectorOrigination:    {oneConnector, awsHandler(getOrigination)},
		wire.OpDeleteVoiceConnectorOrigination: {oneConnector, awsHandler(deleteOrigination)},
	}
}

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
func touch(c *trunk.Connector, now time.Time) { c.Updated = later(c.Updated, now) }

// later returns now, or the next millisecond behind updated where now is not behind it.
func later(updated, now time.Time) time.Time {
	if next := updated.Add(time.Millisecond); now.Before(next) {
		return next
	}
	return now
}

// errUnsettled refuses a delete whose associations this node cannot judge: its snapshot is not of the state that the
// transaction saw.
var errUnsettled = trunk.Errorf(trunk.Unavailable, "The resource is being changed. Try again.")

// settled runs fn as one transaction, with the snapshot in which it looks for what refers to the thing it deletes. Where
// the snapshot is behind, as on a node that has not yet heard of a change on another one, it catches up and tries once
// more.
func (r *request) settled(fn func(trunk.Tx, *directory.Snapshot) error) error {
	attempt := func() error {
		return r.update(func(tx trunk.Tx) error { return fn(tx, r.server.config.Directory.Snapshot()) })
	}
	err := attempt()
	if errors.Is(err, errUnsettled) {
		if err := r.catchUp(); err != nil {
			return err
		}
		err = attempt()
	}
	return err
}

// The ErrorCodes of the models for what stands in the way of a delete.
const (
	codeNumbers = "PhoneNumberAssociationsExist"
	codeGroups  = "VoiceConnectorGroupAssociationsExist"
)

func associated(code, detail string) error {
	return &trunk.Error{Kind: trunk.Conflict, Code: code, Detail: detail}
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
	found, next, err := pageOf(r, page{in.MaxResults, in.NextToken}, func(after string, limit int) []*trunk.Connector {
		return r.snapshot.Connectors(r.principal.Account, after, limit)
	}, directory.ConnectorCursor)
	if err != nil {
		return nil, err
	}
	answer := &wire.ListVoiceConnectorsResponse{VoiceConnectors: []wire.VoiceConnector{}, NextToken: next}
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
	return nil, r.settled(func(tx trunk.Tx, now *directory.Snapshot) error {
		c, ok, err := trunk.Get[*trunk.Connector](tx, key)
		if err != nil {
			return err
		}
		if !ok || c.Account != r.principal.Account {
			return notFound()
		}
		// Numbers and groups are found through the snapshot. Whoever associates them touches the connector, so a snapshot
		// that has this very state of it has all of them too.
		if seen, ok := now.Connector(c.ID); !ok || !seen.Updated.Equal(c.Updated) {
			return errUnsettled
		}
		switch {
		case len(now.Numbers(directory.NumberFilter{ConnectorID: c.ID}, "", 1)) > 0:
			return associated(codeNumbers, "Phone numbers are associated with the Voice Connector. Disassociate them first.")
		case len(now.GroupsOf(c.ID)) > 0:
			return associated(codeGroups, "The Voice Connector is in a Voice Connector group. Take it out of the group first.")
		}
		if err := r.givePlaces(tx, c.Account, trunk.QuotaConnectors, 1); err != nil {
			return err
		}
		tx.Delete(key)
		tx.Delete((&trunk.Health{ConnectorID: c.ID}).EntityKey())
		return nil
	})
}

// wireConnector translates a connector. What it returns points into c and is for reading only, as c is.
func wireConnector(c *trunk.Connector) *wire.VoiceConnector {
	w := &wire.VoiceConnector{
		AWSRegion:         (*wire.VoiceConnectorAWSRegion)(&c.Region),
		CreatedTimestamp:  (*wire.Timestamp)(&c.Created),
		Name:              &c.Name,
		NetworkType:       (*wire.NetworkType)(&c.NetworkType),
		OutboundHostName:  &c.HostName,
		RequireEncryption: &c.RequireEncryption,
		UpdatedTimestamp:  (*wire.Timestamp)(&c.Updated),
		VoiceConnectorARN: new(c.ARN()),
		VoiceConnectorID:  &c.ID,
	}
	if c.IntegrationType != "" {
		w.IntegrationType = (*wire.VoiceConnectorIntegrationType)(&c.IntegrationType)
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
