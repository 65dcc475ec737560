package trunk

import "context"

// EntityKind names a sort of stored entity.
type EntityKind string

// The kinds of entity this package defines. Others, such as access keys, are defined beside their types.
const (
	KindConnector EntityKind = "connector"
	KindNumber    EntityKind = "number"
	KindCarrier   EntityKind = "carrier"
	KindQuota     EntityKind = "quota"
	KindHealth    EntityKind = "health"
	KindUsage     EntityKind = "usage"
	KindGroup     EntityKind = "group"
	KindOrder     EntityKind = "order"
	KindSIPRule   EntityKind = "siprule"
	KindAccount   EntityKind = "account"
)

// EntityKey is the one name of a stored entity.
type EntityKey struct {
	Kind EntityKind
	ID   string
}

// Entity is something the store keeps.
type Entity interface{ EntityKey() EntityKey }

// EntityKey implements Entity.
func (c *Connector) EntityKey() EntityKey { return EntityKey{KindConnector, c.ID} }

// EntityKey implements Entity.
func (n *PhoneNumber) EntityKey() EntityKey { return EntityKey{KindNumber, string(n.E164)} }

// EntityKey implements Entity.
func (c *Carrier) EntityKey() EntityKey { return EntityKey{KindCarrier, c.Name} }

// EntityKey implements Entity.
func (q *Quota) EntityKey() EntityKey { return EntityKey{KindQuota, q.Account + "/" + q.Name} }

// EntityKey implements Entity.
func (h *Health) EntityKey() EntityKey { return EntityKey{KindHealth, h.ConnectorID} }

// EntityKey implements Entity.
func (g *Group) EntityKey() EntityKey { return EntityKey{KindGroup, g.ID} }

// EntityKey implements Entity.
func (o *Order) EntityKey() EntityKey { return EntityKey{KindOrder, o.ID} }

// EntityKey implements Entity.
func (r *SIPRule) EntityKey() EntityKey { return EntityKey{KindSIPRule, r.ID} }

// EntityKey implements Entity.
func (s *AccountSettings) EntityKey() EntityKey { return EntityKey{KindAccount, s.Account} }

// Tx is one transaction. What it read must not have changed when it commits; otherwise the whole function runs again.
type Tx interface {
	// Get returns the entity, or nil when there is none. The caller must not change it: put a clone.
	Get(EntityKey) (Entity, error)
	// Absent makes the commit hold only while there is no entity of that key, without reading it: Update fails with
	// ErrPresent when there is one.
	Absent(EntityKey)
	// Create writes an entity that must not exist yet; the commit fails with Conflict when it does.
	Create(Entity)
	// Put writes an entity, new or not.
	Put(Entity)
	// Delete removes an entity if it is there.
	Delete(EntityKey)
}

// ErrPresent says that there is an entity which a transaction wanted to be absent: what its caller knows is old.
var ErrPresent = Errorf(Unavailable, "The resource is being changed. Try again.")

// Store keeps entities. A write that was answered is on disk, or on a quorum of disks.
type Store interface {
	// Update runs fn and commits what it wrote as one transaction; the revision is the commit's. fn may run more than
	// once and must do nothing but read and write tx. An error of fn is returned as it is and nothing is written.
	// A store that cannot be reached gives an Error of kind Unavailable.
	Update(ctx context.Context, fn func(tx Tx) error) (revision int64, err error)
}

// Get reads an entity of type T, reporting whether there is one.
func Get[T Entity](tx Tx, key EntityKey) (T, bool, error) {
	var none T
	e, err := tx.Get(key)
	if err != nil || e == nil {
		return none, false, err
	}
	t, ok := e.(T)
	if !ok {
		return none, false, Errorf(Internal, "%s %q is stored as a %T", key.Kind, key.ID, e)
	}
	return t, true, nil
}
