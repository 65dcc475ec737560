package trunk

import "strings"

// Names of quotas, as AWS has them in its service quotas.
const (
	// QuotaConnectors caps the connectors of an account.
	QuotaConnectors = "Voice Connectors per account"
	// QuotaGroups caps the connector groups of an account.
	QuotaGroups = "Voice Connector groups per account"
	// QuotaGroupMembers caps the connectors of each group of an account. MaxGroupMembers caps it in any case.
	QuotaGroupMembers = "Voice Connectors per group"
	// QuotaNumbers caps the phone numbers of an account, those in the deletion queue left out.
	QuotaNumbers = "Provisioned phone numbers per account"
	// QuotaCPS caps the CpsLimit of each connector of an account.
	QuotaCPS = "Calls per second per Voice Connector"
	// QuotaAccountCPS caps the calls that an account's connectors together may place in a second, on each node.
	QuotaAccountCPS = "Calls per second per account"
	// QuotaActiveCalls caps the calls that are up at a time in an account.
	QuotaActiveCalls = "Active Voice Connector calls"
	// QuotaConnectorCalls caps those of each connector of an account, placed and received.
	QuotaConnectorCalls = "Active calls per Voice Connector"
	// QuotaAPIRate caps how often an account, and each operator's key for itself, may call each operation, on each node. An operation with a rate of its own,
	// see APIRateOf, is held to that instead.
	QuotaAPIRate = "API requests per second"
)

// Bounds of what no quota caps.
const (
	// MaxSIPRules is how many SIP rules an account has; a create beyond it is refused.
	MaxSIPRules = 1000
	// MaxOrders is how many phone number orders of an account are remembered; the oldest is forgotten for one more. All
	// are finished.
	MaxOrders = 10_000
)

// Unset is the value of a quota that an operator has taken away again and that is counted: the count goes on, so that
// it is right when the quota comes back.
const Unset = -1

// QuotaNames returns the names a Quota may have, besides those of APIRateOf.
func QuotaNames() []string {
	return []string{QuotaConnectors, QuotaGroups, QuotaGroupMembers, QuotaNumbers, QuotaCPS, QuotaAccountCPS, QuotaActiveCalls, QuotaConnectorCalls, QuotaAPIRate}
}

// APIRateOf returns the name of the quota for one operation of the API.
func APIRateOf(operation string) string { return QuotaAPIRate + ": " + operation }

// QuotaNamed returns the quota that is meant by a name: one of QuotaNames, or AWS's spelling in its service quotas. Small
// and capital letters are the same.
func QuotaNamed(name string) (string, bool) {
	for _, q := range QuotaNames() {
		if strings.EqualFold(name, q) {
			return q, true
		}
	}
	for _, alias := range [][2]string{
		{"Voice Connectors", QuotaConnectors},
		{"Voice Connectors per region", QuotaConnectors},
		{"Voice Connector groups", QuotaGroups},
		{"Provisioned phone numbers", QuotaNumbers},
		{"Phone numbers", QuotaNumbers},
		{"Calls per second per connector", QuotaCPS},
		{"Calls per second per connector per region", QuotaCPS},
		{"Active Voice Connector calls per account", QuotaActiveCalls},
	} {
		if strings.EqualFold(name, alias[0]) {
			return alias[1], true
		}
	}
	return "", false
}

// Counted reports whether usage is kept of what the quota caps.
func Counted(quota string) bool {
	return quota == QuotaConnectors || quota == QuotaGroups || quota == QuotaNumbers
}

// Usage counts what an account has of that which a quota caps, so that two creates at the same moment cannot both take
// the last place. It exists only for accounts with that quota: without one, creates never contend for it. The first
// create under a new quota starts it from a count.
type Usage struct {
	// Account is 12 digits.
	Account string
	// Name is the quota's: QuotaConnectors, QuotaGroups or QuotaNumbers.
	Name string
	// Count is at least 0.
	Count int
}

// EntityKey implements Entity.
func (u *Usage) EntityKey() EntityKey { return EntityKey{KindUsage, u.Account + "/" + u.Name} }
