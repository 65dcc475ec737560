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
	groups      listedTxn[*trunk.Group]
	orders      listedTxn[*trunk.Order]
	rules       listedTxn[*trunk.SIPRule]
	members     *iradix.Txn[*trunk.Group]
	triggers    *iradix.Txn[*trunk.SIPRule]
	accounts    *iradix.Txn[*trunk.AccountSettings]
	quotas      *iradix.Txn[int]
	health      *iradix.Txn[*trunk.Health]

	carriers        []*trunk.Carrier
	carriersChanged bool
	installation    *trunk.Installation
}

func newBuilder(base *Snapshot) *builder {
	return &builder{
		base: base, owner: new(owner), connectors: base.connectors, order: base.order, counts: base.counts,
		groups:   listedTxn[*trunk.Group]{base: base.groups, standing: groupStanding},
		orders:   listedTxn[*trunk.Order]{base: base.orders, standing: orderStanding},
		rules:    listedTxn[*trunk.SIPRule]{base: base.rules, standing: ruleStanding},
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
		groups:       b.groups.commit(),
		orders:       b.orders.commit(),
		rules:        b.rules.commit(),
		members:      committed(b.members, b.base.members),
		triggers:     committed(b.triggers, b.base.triggers),
		accounts:     committed(b.accounts, b.base.accounts),
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
	case *trunk.Group:
		b.putGroup(e)
	case *trunk.Order:
		b.orders.put(e)
	case *trunk.SIPRule:
		b.putRule(e)
	case *trunk.AccountSettings:
		open(&b.accounts, b.base.accounts).Insert([]byte(e.Account), e)
	case *trunk.Quota:
		open(&b.quotas, b.base.quotas).Insert(appendQuotaKey(nil, e.Account, e.Name), e.Value)
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
	case trunk.KindGroup:
		b.removeGroup(k.ID)
	case trunk.KindOrder:
		b.orders.remove(k.ID)
	case trunk.KindSIPRule:
		if old, ok := b.rules.remove(k.ID); ok {
			b.unindexTrigger(old)
		}
	case trunk.KindAccount:
		open(&b.accounts, b.base.accounts).Delete([]byte(k.ID))
	case trunk.KindQuota:
		account, name, _ := strings.Cut(k.ID, "/")
		open(&b.quotas, b.base.quotas).Delete(appendQuotaKey(nil, account, name))
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

func (b *builder) putGroup(g *trunk.Group) {
	if old, ok := b.groups.current(g.ID); ok {
		b.unindexMembers(old)
	}
	b.groups.put(g)
	for _, m := range g.Members {
		open(&b.members, b.base.members).Insert(memberKey(m.ConnectorID, g.ID), g)
	}
}

func (b *builder) removeGroup(id string) {
	if old, ok := b.groups.remove(id); ok {
		b.unindexMembers(old)
	}
}

func (b *builder) unindexMembers(old *trunk.Group) {
	for _, m := range old.Members {
		open(&b.members, b.base.members).Delete(memberKey(m.ConnectorID, old.ID))
	}
}

func (b *builder) putRule(r *trunk.SIPRule) {
	if old, ok := b.rules.current(r.ID); ok {
		b.unindexTrigger(old)
	}
	b.rules.put(r)
	if r.Trigger == trunk.ToPhoneNumber {
		open(&b.triggers, b.base.triggers).Insert(triggerKey(r.Account, r.TriggerValue, r.ID), r)
	}
}

func (b *builder) unindexTrigger(old *trunk.SIPRule) {
	if old.Trigger == trunk.ToPhoneNumber {
		open(&b.triggers, b.base.triggers).Delete(triggerKey(old.Account, old.TriggerValue, old.ID))
	}
}

func triggerKey(account, number, ruleID string) []byte {
	return []byte(account + "\x00" + number + "\x00" + ruleID)
}

func memberKey(connectorID, groupID string) []byte { return []byte(connectorID + "\x00" + groupID) }

func (b *builder) putNumber(n *trunk.PhoneNumber) {
	old, replaced := open(&b.numbers, b.base.numbers).Insert([]byte(n.E164), n)
	if replaced {
		b.unindexNumber(old)
	}
	for _, key := range ownedKeys(n) {
		open(&b.owned, b.base.owned).Insert(key, n)
	}
}

func (b *builder) unindexNumber(old *trunk.PhoneNumber) {
	for _, key := range ownedKeys(old) {
		open(&b.owned, b.base.owned).Delete(key)
	}
}

// ownedKeys are the places of a number in the index by owner.
func ownedKeys(n *trunk.PhoneNumber) [][]byte {
	keys := make([][]byte, 0, 3)
	if n.Account == "" {
		return append(keys, numberKey(byPool, "", n.E164))
	}
	keys = append(keys, numberKey(byAccount, n.Account, n.E164))
	if n.ConnectorID != "" {
		keys = append(keys, numberKey(byConnector, n.ConnectorID, n.E164))
	}
	if n.GroupID != "" {
		keys = append(keys, numberKey(byGroup, n.GroupID, n.E164))
	}
	if !n.Deleted.IsZero() {
		keys = append(keys, numberKey(byDeletion, "", n.E164))
	}
	return keys
}

func (b *builder) putAccessKey(k *iam.AccessKey) {
	old, replaced := open(&b.keys, b.base.keys).Insert([]byte(k.ID), k)
	if replaced && old.Account != k.Account {
		open(&b.accountKeys, b.base.accountKeys).Delete(accountKeyKey(old.Account, old.ID))
	}
	open(&b.accountKeys, b.base.accountKeys).Insert(accountKeyKey(k.Account, k.ID), k)
}
