package iam

import (
	"time"

	"carillon/trunk"
)

// KindAccessKey is the kind of AccessKey in a store.
const KindAccessKey trunk.EntityKind = "accesskey"

// AccessKey lets a client of the API prove who it is.
type AccessKey struct {
	// ID is what a request names: 16 to 128 letters and digits.
	ID string
	// Account is the account the key acts in; 12 digits.
	Account string
	// Name is what its creator calls it; may be empty.
	Name string
	// Secret signs requests. It is shown once, when the key is made.
	Secret trunk.Secret
	// SessionToken must come with each request of a temporary key; empty for a key that is not.
	SessionToken trunk.Secret
	// Created is in UTC, to the millisecond.
	Created time.Time
	// Expires is when the key stops working; zero is never.
	Expires time.Time
	// Disabled keys are refused like unknown ones.
	Disabled bool
	// Operator keys may do everything in every account.
	Operator bool
	// Bootstrap keys are the one that was made with the installation and those that took its place by rotation. Only such a
	// key is written where the machine's owner finds it: any other is the secret of whoever made it.
	Bootstrap bool
	// Policy is the key's IAM policy as JSON; empty allows chime:* in the key's account.
	Policy string
}

// EntityKey implements trunk.Entity.
func (k *AccessKey) EntityKey() trunk.EntityKey {
	return trunk.EntityKey{Kind: KindAccessKey, ID: k.ID}
}

// Usable reports whether the key may be used at now.
func (k *AccessKey) Usable(now time.Time) bool {
	return !k.Disabled && (k.Expires.IsZero() || now.Before(k.Expires))
}
