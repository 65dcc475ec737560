package trunk

import "time"

// AccountSettings are what an account has set for all of its connectors and numbers.
type AccountSettings struct {
	// Account is 12 digits.
	Account string
	// CdrBucket and BusinessCdrBucket name where call detail records go; empty for none. They are kept and answered:
	// records are exported to the node's own folder.
	CdrBucket, BusinessCdrBucket string
	// CallingName is shown with the account's numbers that have none of their own; may be empty.
	CallingName string
	// CallingNameUpdated is when CallingName was last put; zero for never.
	CallingNameUpdated time.Time
}

// CheckAccountSettings judges what an account has set but for its CallingName.
func CheckAccountSettings(a *AccountSettings) error {
	for _, bucket := range []string{a.CdrBucket, a.BusinessCdrBucket} {
		if !isLabel(bucket) {
			return Errorf(Invalid, "CdrBucket must have at most %d printable US-ASCII characters without spaces.", MaxNameLength)
		}
	}
	return nil
}
