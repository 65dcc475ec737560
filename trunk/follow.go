package trunk

import "time"

// Change is what a store tells those who follow it: the state after Revision differs from the state before by it.
type Change struct {
	// Revision is the store's revision once this change is applied. It never goes back.
	Revision int64
	// Reset is set on the first part of a complete list: everything known before is void.
	Reset bool
	// Partial is set when more parts of the same revision follow. Only a complete state may be shown to readers.
	Partial bool
	// Put are entities that are new or have changed, secrets opened. They are shared by all readers and never changed.
	Put []Entity
	// Deleted are the keys of entities that are gone.
	Deleted []EntityKey
}

// KindInstallation is the kind of the one Installation.
const KindInstallation EntityKind = "installation"

// KindDedup is the kind of Dedup.
const KindDedup EntityKind = "dedup"

// Installation is what all nodes of one installation agree on.
type Installation struct {
	// Domain is the parent of every new connector's host name, lower-case, without a trailing dot.
	Domain string
	// Account is the operator's account; 12 digits.
	Account string
	// Created is in UTC, to the millisecond.
	Created time.Time
}

// EntityKey implements Entity. There is one installation in a store.
func (*Installation) EntityKey() EntityKey { return EntityKey{KindInstallation, "this"} }

// Dedup remembers the outcome of a create, so that a client's retry of it gets the first answer and makes nothing new.
type Dedup struct {
	// Key identifies the request: who sent it, which operation, which invocation, which body.
	Key string
	// ResultID is the id of what the first request made.
	ResultID string
	// Expires is when it may be forgotten; the store forgets it by itself soon after.
	Expires time.Time
}

// EntityKey implements Entity.
func (d *Dedup) EntityKey() EntityKey { return EntityKey{KindDedup, d.Key} }
