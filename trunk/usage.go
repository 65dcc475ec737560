package trunk

// Names of quotas, as AWS has them in its service quotas.
const (
	// QuotaConnectors caps the connectors of an account.
	QuotaConnectors = "Voice Connectors per account"
	// QuotaCPS caps the CpsLimit of each connector of an account.
	QuotaCPS = "Calls per second per Voice Connector"
	// QuotaActiveCalls caps the calls that are up at a time in an account.
	QuotaActiveCalls = "Active Voice Connector calls"
)

// QuotaNames returns the names a Quota may have.
func QuotaNames() []string { return []string{QuotaConnectors, QuotaCPS, QuotaActiveCalls} }

// Usage counts the connectors of an account under QuotaConnectors, so that two creates at the same moment cannot both
// take the last place. It exists only for accounts with that quota: without one, creates never contend for it. The
// first create under a new quota starts it from a count.
type Usage struct {
	// Account is 12 digits.
	Account string
	// Connectors is at least 0.
	Connectors int
}

// EntityKey implements Entity.
func (u *Usage) EntityKey() EntityKey { return EntityKey{KindUsage, u.Account} }
