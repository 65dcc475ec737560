package directory

import (
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"carillon/iam"
	"carillon/trunk"
)

// builder turns one snapshot into the next. A tree's transaction is opened at its first change, so that a change
// of one entity opens only the trees it is in.
type builder struct {
	base        *Snapshot
	owner       *owner // of the nodes and pages made for this builder
	connectors  trie[*trunk.Connector]
	order       sorted[place]
	counts      trie[tally]
	hosts       *iradix.Txn[*trunk.Connector]
	numbers     *iradix.Txn[*trunk.PhoneNumber]
	owned       *iradix.Txn[*trunk.PhoneNumber]
	keys        *iradix.Txn[*iam.AccessKey]
	accountKeys *iradix.Txn[*iam.AccessKey]
	quotas      *iradix.Txn[int]
	health      *iradix.Txn[*trunk.Health]

	carriers        []*trunk.Carrier
	carriersChanged bool
	installation    *trunk.Installation
}

func newBuilder(base *Snapshot) *builder {
	return &builder{
		base: base, owner: new(owner), connectors: base.connectors, order: base.order, counts: base.counts,
		carriers: base.carriers.byName, installation: base.installation,
	}
}

func open[T any](txn **iradix.Txn[T], base *iradix.Tree[T]) *iradix.Txn[T] {
	if *txn == nil {
		*txn = base.Txn()
	}
	return *txn
}

func committed[T any](txn *iradix.Txn[T], base *iradix.Tree[T]) *iradix.Tree[T] {
	if txn == nil {
		return base
	}
	return txn.CommitOnly()
}

// build ends the builder: what it made is the snapshot's from now on and must not be changed any more.
func (b *builder) build(revision int64) *Snapshot {
	s := &Snapshot{
		revision:     revision,
		connectors:   b.connectors,
		hosts:        committed(b.hosts, b.base.hosts),
		order:        b.order,
		counts:       b.counts,
		numbers:      committed(b.numbers, b.base.numbers),
		owned:        committed(b.owned, b.base.owned),
		keys:         committed(b.keys, b.base.keys),
		accountKeys:  committed(b.accountKeys, b.base.accountKeys),
		quotas:       committed(b.quotas, b.base.quotas),
		health:       committed(b.health, b.base.health),
		carriers:     b.base.carriers,
		installation: b.installation,
	}
	if b.carriersChanged {
		s.carriers = newCarrierTables(b.carriers)
	}
	return s
}

// put adds or replaces an entity. Kinds that no reader of a snapshot asks for are left out.
func (b *builder) put(e trunk.Entity) {
	switch e := e.(type) {
	case *trunk.Connector:
		b.putConnector(e)
	case *trunk.PhoneNumber:
		b.putNumber(e)
	case *trunk.Carrier:
		b.carriers, b.carriersChanged = withCarrier(b.carriers, e), true
	case *iam.AccessKey:
		b.putAccessKey(e)
	case *trunk.Quota:
		open(&b.quotas, b.base.quotas).Insert(quotaKey(e.Account, e.Name), e.Value)
	case *trunk.Health:
		open(&b.health, b.base.health).Insert([]byte(e.ConnectorID), e)
	case *trunk.Installation:
		b.installation = e
	}
}

func (b *builder) remove(k trunk.EntityKey) {
	switch k.Kind {
	case trunk.KindConnector:
		if old, ok := b.connectors.remove(b.owner, k.ID); ok {
			b.unindexConnector(old)
		}
	case trunk.KindNumber:
		if old, ok := open(&b.numbers, b.base.numbers).Delete([]byte(k.ID)); ok {
			b.unindexNumber(old)
		}
	case trunk.KindCarrier:
		b.carriers, b.carriersChanged = withoutCarrier(b.carriers, k.ID), true
	case iam.KindAccessKey:
		if old, ok := open(&b.keys, b.base.keys).Delete([]byte(k.ID)); ok {
			open(&b.accountKeys, b.base.accountKeys).Delete(accountKeyKey(old.Account, old.ID))
		}
	case trunk.KindQuota:
		account, name, _ := strings.Cut(k.ID, "/")
		open(&b.quotas, b.base.quotas).Delete(quotaKey(account, name))
	case trunk.KindHealth:
		open(&b.health, b.base.health).Delete([]byte(k.ID))
	case trunk.KindInstallation:
		b.installation = nil
	}
}

func (b *builder) putConnector(c *trunk.Connector) {
	old, replaced := b.connectors.put(b.owner, c)
	moved := replaced && placeOf(old) != placeOf(c)
	switch {
	case moved:
		b.unindexConnector(old)
	case replaced && old.HostName != c.HostName:
		b.unindexHost(old)
	}
	if !replaced || moved {
		b.order.put(b.owner, placeOf(c))
		b.count(c.Account, 1)
	}
	if !hostBeginsWithID(c) {
		open(&b.hosts, b.base.hosts).Insert([]byte(normalHost(c.HostName)), c)
	}
}

func (b *builder) unindexConnector(old *trunk.Connector) {
	b.order.remove(b.owner, placeOf(old))
	b.unindexHost(old)
	b.count(old.Account, -1)
}

func (b *builder) unindexHost(old *trunk.Connector) {
	if hostBeginsWithID(old) {
		return
	}
	hosts, key := open(&b.hosts, b.base.hosts), []byte(normalHost(old.HostName))
	// The name may meanwhile be another connector's.
	if holder, ok := hosts.Get(key); ok && holder.ID == old.ID {
		hosts.Delete(key)
	}
}

func (b *builder) count(account string, by int) {
	t, _ := b.counts.get(account)
	if t.connectors += by; t.connectors == 0 {
		b.counts.remove(b.owner, account)
		return
	}
	t.account = account
	b.counts.put(b.owner, t)
}

func (b *builder) putNumber(n *trunk.PhoneNumber) {
	old, replaced := open(&b.numbers, b.base.numbers).Insert([]byte(n.E164), n)
	if replaced {
		b.unindexNumber(old)
	}
	if n.Account != "" {
		open(&b.owned, b.base.owned).Insert(numberKey(byAccount, n.Account, n.E164), n)
	}
	if n.ConnectorID != "" {
		open(&b.owned, b.base.owned).Insert(numberKey(byConnector, n.ConnectorID, n.E164), n)
	}
}

func (b *builder) unindexNumber(old *trunk.PhoneNumber) {
	if old.Account != "" {
		open(&b.owned, b.base.owned).Delete(numberKey(byAccount, old.Account, old.E164))
	}
	if old.ConnectorID != "" {
		open(&b.owned, b.base.owned).Delete(numberKey(byConnector, old.ConnectorID, old.E164))
	}
}

func (b *builder) putAccessKey(k *iam.AccessKey) {
	old, replaced := open(&b.keys, b.base.keys).Insert([]byte(k.ID), k)
	if replaced && old.Account != k.Account {
		open(&b.accountKeys, b.base.accountKeys).Delete(accountKeyKey(old.Account, old.ID))
	}
	open(&b.accountKeys, b.base.accountKeys).Insert(accountKeyKey(k.Account, k.ID), k)
}
