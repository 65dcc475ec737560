package directory

import (
	"math"
	"net/netip"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"carillon/iam"
	"carillon/trunk"
)

// Snapshot is the state of the store at one revision. It never changes; all methods are safe for concurrent use and
// none does I/O. What they return is shared: see the package text.
type Snapshot struct {
	revision int64
	// connectors are by id. hosts has only those whose host name does not begin with their id: the others are found
	// by the id, which saves an index entry each.
	connectors trie[*trunk.Connector]
	hosts      *iradix.Tree[*trunk.Connector]
	// order has the connectors' places in lists, counts their number by account.
	order  sorted[place]
	counts trie[tally]
	// numbers are by number; owned by numberKey under account, connector, group, pool and deletion queue.
	numbers *iradix.Tree[*trunk.PhoneNumber]
	owned   *iradix.Tree[*trunk.PhoneNumber]
	// keys are by id, accountKeys by account and id.
	keys        *iradix.Tree[*iam.AccessKey]
	accountKeys *iradix.Tree[*iam.AccessKey]
	// groups, orders and rules are what accounts list; members has each group under each of its connectors, triggers each
	// rule about a phone number under its account and that number.
	groups   listed[*trunk.Group]
	orders   listed[*trunk.Order]
	rules    listed[*trunk.SIPRule]
	members  *iradix.Tree[*trunk.Group]
	triggers *iradix.Tree[*trunk.SIPRule]
	accounts *iradix.Tree[*trunk.AccountSettings]
	quotas   *iradix.Tree[int]
	health   *iradix.Tree[*trunk.Health]
	// carriers are few: their tables are made anew when one changes.
	carriers     *carrierTables
	installation *trunk.Installation
}

func emptySnapshot() *Snapshot {
	return &Snapshot{
		connectors: *newTrie(func(c *trunk.Connector) string { return c.ID }), hosts: iradix.New[*trunk.Connector](),
		order:   sorted[place]{compare: comparePlaces},
		counts:  *newTrie(func(t tally) string { return t.account }),
		numbers: iradix.New[*trunk.PhoneNumber](), owned: iradix.New[*trunk.PhoneNumber](),
		keys: iradix.New[*iam.AccessKey](), accountKeys: iradix.New[*iam.AccessKey](),
		groups: newListed[*trunk.Group](), orders: newListed[*trunk.Order](), rules: newListed[*trunk.SIPRule](),
		members: iradix.New[*trunk.Group](), triggers: iradix.New[*trunk.SIPRule](), accounts: iradix.New[*trunk.AccountSettings](),
		quotas: iradix.New[int](), health: iradix.New[*trunk.Health](),
		carriers: newCarrierTables(nil),
	}
}

// Revision is the store revision whose state this is; 0 before the first complete state.
func (s *Snapshot) Revision() int64 { return s.revision }

// Connector returns the connector with that id.
func (s *Snapshot) Connector(id string) (*trunk.Connector, bool) {
	return s.connectors.get(id)
}

// ConnectorByHost returns the connector whose host name that is, whatever the case and with or without the
// trailing dot of a DNS name.
func (s *Snapshot) ConnectorByHost(host string) (*trunk.Connector, bool) {
	host = normalHost(host)
	label, _, _ := strings.Cut(host, ".")
	if c, ok := s.connectors.get(label); ok && c.HostName == host {
		return c, true
	}
	return s.hosts.Get([]byte(host))
}

func normalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// hostBeginsWithID reports whether ConnectorByHost finds c through its id.
func hostBeginsWithID(c *trunk.Connector) bool {
	label, _, _ := strings.Cut(c.HostName, ".")
	return label == c.ID && c.HostName == normalHost(c.HostName)
}

// CountConnectors returns how many connectors the account has; of all accounts together when it is empty.
func (s *Snapshot) CountConnectors(account string) int {
	if account == "" {
		return s.connectors.count
	}
	t, _ := s.counts.get(account)
	return t.connectors
}

// tally counts what an account has.
type tally struct {
	account    string
	connectors int
}

// Number returns a number of the inventory.
func (s *Snapshot) Number(n trunk.Number) (*trunk.PhoneNumber, bool) {
	return s.numbers.Get([]byte(n))
}

// OwnsNumber reports whether the number is held by that account and not in the deletion queue.
func (s *Snapshot) OwnsNumber(account string, n trunk.Number) bool {
	p, ok := s.Number(n)
	return ok && account != "" && p.Account == account && p.Deleted.IsZero()
}

// Carrier returns the carrier with that name.
func (s *Snapshot) Carrier(name string) (*trunk.Carrier, bool) {
	for _, c := range s.carriers.byName {
		if c.Name == name {
			return c, true
		}
	}
	return nil, false
}

// Carriers returns all carriers by name. The slice is shared and must not be changed.
func (s *Snapshot) Carriers() []*trunk.Carrier { return s.carriers.byName }

// CarrierFor returns the carriers that take the number, the one to try first first: the longest matching prefix wins,
// then the name. A carrier without prefixes takes every number, with a match of length 0.
func (s *Snapshot) CarrierFor(n trunk.Number) []*trunk.Carrier { return s.carriers.route(n) }

// CarrierBySource returns the carrier whose calls come from that address: the one with this very target, else the one
// with the longest of the carriers' Sources and literal targets that holds the address, among equals the first by name.
// An IPv4 address that arrives in IPv6 clothes is judged as IPv4.
func (s *Snapshot) CarrierBySource(from netip.AddrPort) (*trunk.Carrier, bool) {
	return s.carriers.bySource(from)
}

// AccessKey returns the access key with that id, usable or not.
func (s *Snapshot) AccessKey(id string) (*iam.AccessKey, bool) { return s.keys.Get([]byte(id)) }

// Quota returns the limit of that name for the account: its own value, else the one for every account. Without
// either there is no limit and the answer is false. A limit that was unset is one of math.MaxInt: what it caps is still
// counted.
func (s *Snapshot) Quota(account, name string) (int, bool) {
	var room [96]byte // every request asks
	v, own := s.quotas.Get(appendQuotaKey(room[:0], account, name))
	if own && v != trunk.Unset {
		return v, true
	}
	v, every := s.quotas.Get(appendQuotaKey(room[:0], "", name))
	if every && v != trunk.Unset {
		return v, true
	}
	if own || every {
		return math.MaxInt, true
	}
	return 0, false
}

// Health returns the last proof of life of the connector's customer.
func (s *Snapshot) Health(connectorID string) (*trunk.Health, bool) {
	return s.health.Get([]byte(connectorID))
}

// Installation returns what all nodes agree on; false before it is created.
func (s *Snapshot) Installation() (*trunk.Installation, bool) {
	return s.installation, s.installation != nil
}
