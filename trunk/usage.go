package trunk

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
	// QuotaActiveCalls caps the calls that are up at a time in an account.
	QuotaActiveCalls = "Active Voice Connector calls"
)

// QuotaNames returns the names a Quota may have.
func QuotaNames() []string {
	return []string{QuotaConnectors, QuotaGroups, QuotaGroupMembers, QuotaNumbers, QuotaCPS, QuotaActiveCalls}
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
