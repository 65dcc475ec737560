package directory

// Accounts returns how many accounts have connectors.
func (s *Snapshot) Accounts() int { return s.counts.count }
