package api

import (
	"slices"
	"time"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/trunk"
)

// groupOperations are the operations of groups but for their phone numbers.
func groupOperations() offered {
	return offered{
		wire.OpCreateVoiceConnectorGroup: {anyGroup, awsHandler(createGroup)},
		wire.OpListVoiceConnectorGroups:  {anyGroup, awsHandler(listGroups)},
		wire.OpGetVoiceConnectorGroup:    {oneGroup, awsHandler(getGroup)},
		wire.OpUpdateVoiceConnectorGroup: {oneGroup, awsHandler(updateGroup)},
		wire.OpDeleteVoiceConnectorGroup: {oneGroup, awsHandler(deleteGroup)},
	}
}

// anyGroup is the resource of operations about groups in general.
func anyGroup(r *request) string { return trunk.GroupARN(r.principal.Account, "*") }

// oneGroup is the resource of operations about the group in the path, whether there is one or not.
func oneGroup(r *request) string {
	return trunk.GroupARN(r.principal.Account, r.labels["voiceConnectorGroupId"])
}

// touchGroup stamps a change like touch does a connector's: deleteGroup tells by it whether the snapshot is the state it
// is about to delete.
func touchGroup(g *trunk.Group, now time.Time) { g.Updated = later(g.Updated, now) }

func createGroup(r *request, in *wire.CreateVoiceConnectorGroupRequest) (any, error) {
	g := &trunk.Group{
		Account: r.principal.Account, Name: *in.Name, Distribution: trunk.PriorityWeighted,
		Members: domainMembers(in.VoiceConnectorItems), Created: r.now, Updated: r.now,
	}
	if in.CallDistributionType != nil {
		g.Distribution = trunk.Distribution(*in.CallDistributionType)
	}
	if err := r.checkGroup(g); err != nil {
		return nil, err
	}
	var err error
	if g.ID, err = trunk.NewID(r.server.config.Random); err != nil {
		return nil, err
	}
	made, err := createOnce(r, creation[*trunk.Group]{
		made: g, noun: "Voice Connector group", reads: len(g.Members) > 0 || r.limited(g.Account, trunk.QuotaGroups),
		write: func(tx trunk.Tx) error {
			if err := r.touchMembers(tx, g.Members, nil); err != nil {
				return err
			}
			tx.Create(g)
			return r.takePlaces(tx, g.Account, trunk.QuotaGroups, 1)
		},
	})
	if err != nil {
		return nil, err
	}
	return &wire.CreateVoiceConnectorGroupResponse{VoiceConnectorGroup: wireGroup(made)}, nil
}

// checkGroup judges a group without a look at its connectors.
func (r *request) checkGroup(g *trunk.Group) error {
	if err := trunk.CheckGroup(g); err != nil {
		return err
	}
	if most, ok := r.snapshot.Quota(g.Account, trunk.QuotaGroupMembers); ok && len(g.Members) > most {
		return trunk.Errorf(trunk.LimitExceeded, "VoiceConnectorItems has %d entries; the account's quota is %d for a group.", len(g.Members), most)
	}
	return nil
}

// touchMembers touches the connectors that are in one of the lists and not in the other, and refuses when one that
// joins is not the account's. Whoever deletes a connector at this moment must see which groups it is in.
func (r *request) touchMembers(tx trunk.Tx, members, before []trunk.Member) error {
	for _, m := range slices.Concat(members, before) {
		joins, was := hasMember(members, m.ConnectorID), hasMember(before, m.ConnectorID)
		if joins && was {
			continue
		}
		c, ok, err := trunk.Get[*trunk.Connector](tx, trunk.EntityKey{Kind: trunk.KindConnector, ID: m.ConnectorID})
		if err != nil {
			return err
		}
		if !ok || c.Account != r.principal.Account {
			return trunk.Errorf(trunk.NotFound, "VoiceConnectorItems names a Voice Connector that the account does not have.")
		}
		if err := r.notForbidden(c.ARN()); err != nil {
			return err
		}
		c = c.Clone()
		touch(c, r.now)
		tx.Put(c)
	}
	return nil
}

func hasMember(members []trunk.Member, connectorID string) bool {
	return slices.ContainsFunc(members, func(m trunk.Member) bool { return m.ConnectorID == connectorID })
}

func getGroup(r *request, in *wire.GetVoiceConnectorGroupRequest) (any, error) {
	g, ok := r.snapshot.Group(in.VoiceConnectorGroupID)
	if !ok || g.Account != r.principal.Account {
		return nil, notFound()
	}
	return &wire.GetVoiceConnectorGroupResponse{VoiceConnectorGroup: wireGroup(g)}, nil
}

func listGroups(r *request, in *wire.ListVoiceConnectorGroupsRequest) (any, error) {
	found, next, err := pageOf(r, page{in.MaxResults, in.NextToken}, func(after string, limit int) []*trunk.Group {
		return r.snapshot.Groups(r.principal.Account, after, limit)
	}, directory.GroupCursor)
	if err != nil {
		return nil, err
	}
	answer := &wire.ListVoiceConnectorGroupsResponse{VoiceConnectorGroups: []wire.VoiceConnectorGroup{}, NextToken: next}
	for _, g := range found {
		answer.VoiceConnectorGroups = append(answer.VoiceConnectorGroups, *wireGroup(g))
	}
	return answer, nil
}

// group returns the caller's group with that id, as the transaction sees it.
func (r *request) group(tx trunk.Tx, id string) (*trunk.Group, error) {
	g, ok, err := trunk.Get[*trunk.Group](tx, trunk.EntityKey{Kind: trunk.KindGroup, ID: id})
	if err == nil && (!ok || g.Account != r.principal.Account) {
		err = notFound()
	}
	return g, err
}

// updateGroup replaces the members as a whole: an empty list empties the group.
func updateGroup(r *request, in *wire.UpdateVoiceConnectorGroupRequest) (any, error) {
	var g *trunk.Group
	err := r.update(func(tx trunk.Tx) error {
		old, err := r.group(tx, in.VoiceConnectorGroupID)
		if err != nil {
			return err
		}
		g = old.Clone()
		g.Name, g.Members = *in.Name, domainMembers(in.VoiceConnectorItems)
		if in.CallDistributionType != nil {
			g.Distribution = trunk.Distribution(*in.CallDistributionType)
		}
		if err := r.checkGroup(g); err != nil {
			return err
		}
		if err := r.touchMembers(tx, g.Members, old.Members); err != nil {
			return err
		}
		touchGroup(g, r.now)
		tx.Put(g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.UpdateVoiceConnectorGroupResponse{VoiceConnectorGroup: wireGroup(g)}, nil
}

func deleteGroup(r *request, in *wire.DeleteVoiceConnectorGroupRequest) (any, error) {
	return nil, r.settled(func(tx trunk.Tx, now *directory.Snapshot) error {
		g, err := r.group(tx, in.VoiceConnectorGroupID)
		if err != nil {
			return err
		}
		// Whoever associates numbers with a group touches it.
		if seen, ok := now.Group(g.ID); !ok || !seen.Updated.Equal(g.Updated) {
			return errUnsettled
		}
		switch {
		case len(now.Numbers(directory.NumberFilter{GroupID: g.ID}, "", 1)) > 0:
			return associated(codeNumbers, "Phone numbers are associated with the Voice Connector group. Disassociate them first.")
		case len(g.Members) > 0:
			return trunk.Errorf(trunk.Conflict, "Voice Connectors are in the group. Update it with empty VoiceConnectorItems first.")
		}
		tx.Delete(g.EntityKey())
		return r.givePlaces(tx, g.Account, trunk.QuotaGroups, 1)
	})
}

// domainMembers translates members; Priority, which chime-sdk-voice does not require, is 1 where it is left out.
func domainMembers(items []wire.VoiceConnectorItem) []trunk.Member {
	var members []trunk.Member
	for _, w := range items {
		m := trunk.Member{ConnectorID: *w.VoiceConnectorID, Priority: 1}
		if w.Priority != nil {
			m.Priority = int(*w.Priority)
		}
		members = append(members, m)
	}
	return members
}

func wireGroup(g *trunk.Group) *wire.VoiceConnectorGroup {
	w := &wire.VoiceConnectorGroup{
		CallDistributionType:   new(wire.CallDistributionType(g.Distribution)),
		CreatedTimestamp:       wire.At(g.Created),
		Name:                   new(g.Name),
		UpdatedTimestamp:       wire.At(g.Updated),
		VoiceConnectorGroupARN: new(g.ARN()),
		VoiceConnectorGroupID:  new(g.ID),
		VoiceConnectorItems:    []wire.VoiceConnectorItem{},
	}
	for _, m := range g.Members {
		w.VoiceConnectorItems = append(w.VoiceConnectorItems, wire.VoiceConnectorItem{
			Priority: new(int32(m.Priority)), VoiceConnectorID: new(m.ConnectorID),
		})
	}
	return w
}
