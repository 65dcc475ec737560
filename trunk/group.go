package trunk

import (
	"cmp"
	"slices"
	"time"
)

// Limits of a group.
const (
	// MaxGroupMembers is the most connectors of a group; a quota may set less.
	MaxGroupMembers = 3
	// MaxMemberPriority bounds the priority of a member, which begins at 1.
	MaxMemberPriority = 99
)

// Distribution is how a group spreads calls over its connectors.
type Distribution string

// The distributions.
const (
	// PriorityWeighted tries the connectors by priority; those of the same priority in a random order.
	PriorityWeighted Distribution = "PriorityWeightedDistribution"
	// LoadBalanced tries all connectors in a random order, whatever their priority.
	LoadBalanced Distribution = "LoadBalancedDistribution"
)

// Group is an AWS Voice Connector group: connectors that take over each other's inbound calls.
type Group struct {
	// ID is 22 lower-case letters and digits.
	ID string
	// Account owns the group and every connector in it; 12 digits.
	Account string
	// Name is 1 to 256 characters.
	Name         string
	Distribution Distribution
	// Members are at most MaxGroupMembers, connectors unique, in the order given.
	Members []Member
	// Tags are at most MaxTags, keys unique.
	Tags []Tag
	// Created and Updated are in UTC, to the millisecond.
	Created, Updated time.Time
}

// Member is one connector of a group.
type Member struct {
	ConnectorID string
	// Priority is 1 (first) to MaxMemberPriority.
	Priority int
}

// ARN names the group: arn:aws:chime:<region>:<account>:vcg/<id>. Groups span regions, so the region is always
// DefaultRegion.
func (g *Group) ARN() string { return GroupARN(g.Account, g.ID) }

// GroupARN returns the ARN of the group with that id.
func GroupARN(account, id string) string {
	return "arn:aws:chime:" + string(DefaultRegion) + ":" + account + ":vcg/" + id
}

// Clone returns a copy that shares no memory that a writer could change.
func (g *Group) Clone() *Group {
	h := *g
	h.Members, h.Tags = slices.Clone(g.Members), slices.Clone(g.Tags)
	return &h
}

// Has reports whether the connector is in the group.
func (g *Group) Has(connectorID string) bool {
	return slices.ContainsFunc(g.Members, func(m Member) bool { return m.ConnectorID == connectorID })
}

// CheckGroup judges a group, but not whether its connectors exist.
func CheckGroup(g *Group) error {
	if err := CheckName(g.Name); err != nil {
		return err
	}
	if g.Distribution != PriorityWeighted && g.Distribution != LoadBalanced {
		return Errorf(Invalid, "CallDistributionType must be %s or %s.", PriorityWeighted, LoadBalanced)
	}
	if len(g.Members) > MaxGroupMembers {
		return Errorf(Invalid, "VoiceConnectorItems has %d entries; at most %d are allowed.", len(g.Members), MaxGroupMembers)
	}
	for i, m := range g.Members {
		if m.Priority < 1 || m.Priority > MaxMemberPriority {
			return Errorf(Invalid, "Priority %d is not between 1 and %d.", m.Priority, MaxMemberPriority)
		}
		if slices.ContainsFunc(g.Members[:i], func(o Member) bool { return o.ConnectorID == m.ConnectorID }) {
			return Errorf(Invalid, "VoiceConnectorItems names one Voice Connector twice.")
		}
	}
	return nil
}

// ByPriority returns the members, those with the lowest number first; equal ones keep their order.
func (g *Group) ByPriority() []Member {
	sorted := slices.Clone(g.Members)
	slices.SortStableFunc(sorted, func(a, b Member) int { return cmp.Compare(a.Priority, b.Priority) })
	return sorted
}
