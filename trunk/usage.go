package trunk

import "time"

// QuotaConnectors is AWS's name of the quota that caps the connectors of an account.
const QuotaConnectors = "Voice Connectors per account"

// QuotaNames returns the names a Quota may have.
func QuotaNames() []string { return []string{QuotaConnectors} }

// Usage counts what a quota caps. It exists only for an account whose quota is set, so that accounts without one
// never contend for it: the first create under the quota starts it from a count, setting or dropping the quota
// removes it.
type Usage struct {
	// Account is 12 digits.
	Account string
	// Name is one of QuotaNames.
	Name string
	// Count is at least 0.
	Count int
}

// EntityKey implements Entity.
func (u *Usage) EntityKey() EntityKey { return EntityKey{KindUsage, u.Account + "/" + u.Name} }

// Receipt remembers the result of a create that its client may send again after a lost answer. It is written in the
// transaction of the create.
type Receipt struct {
	// ID is a digest of who sent what, in lower-case hex.
	ID string
	// ConnectorID is what the request made.
	ConnectorID string
	// Expires is when the same request counts as a new one.
	Expires time.Time
}

// EntityKey implements Entity.
func (r *Receipt) EntityKey() EntityKey { return EntityKey{KindReceipt, r.ID} }

// ExpiresAt implements Expiring.
func (r *Receipt) ExpiresAt() time.Time { return r.Expires }

// Expiring is an Entity that a store may remove by itself once its time has passed. A store may do so late, so
// readers compare the time themselves.
type Expiring interface {
	Entity
	ExpiresAt() time.Time
}
