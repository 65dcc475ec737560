package v1

import (
	"encoding/json"
	"net/netip"
	"time"
)

// AuditEntry is one write of the API. A caller who is no operator sees of what others did to what is its account's own
// that part alone, and not who did it.
type AuditEntry struct {
	// ID is the entry's own.
	ID string `json:"id"`
	// Time is when the request came, in UTC and milliseconds.
	Time time.Time `json:"time"`
	// RequestID is the x-amzn-RequestId of its answer.
	RequestID string `json:"request_id"`
	// Operation is what was asked for, Action what a policy must allow for it.
	Operation string `json:"operation"`
	Action    string `json:"action"`
	// AccountID, Principal and AccessKeyID say who signed; Operator that it was an operator.
	AccountID   string `json:"account_id,omitempty"`
	Principal   string `json:"principal,omitempty"`
	AccessKeyID string `json:"access_key_id,omitempty"`
	Operator    bool   `json:"operator,omitempty"`
	// Source and UserAgent are where it came from.
	Source    netip.AddrPort `json:"source,omitzero"`
	UserAgent string         `json:"user_agent,omitempty"`
	// Resource is the ARN that the policy was asked about.
	Resource string `json:"resource,omitempty"`
	// Changes are what was written, and Omitted counts those there was no room for.
	Changes []AuditChange `json:"changes"`
	Omitted int           `json:"omitted,omitempty"`
}

// AuditChange is what became of one thing.
type AuditChange struct {
	// Kind is "connector", "number", "carrier" and so on; ID names one of them, ARN too where AWS has a form for it.
	Kind string `json:"kind"`
	ID   string `json:"id"`
	ARN  string `json:"arn,omitempty"`
	// AccountID holds it, or held it until now; empty for what is the installation's.
	AccountID string `json:"account_id,omitempty"`
	// Before and After are objects. What is new has no Before, what is gone no After; of what stays both have the members
	// that changed, and none where only its time did. A secret is "(set)" or "(changed)", never shown.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Cut says that the members are left out because they are too many.
	Cut bool `json:"cut,omitempty"`
}

// AuditList is the answer of ListAudit: newest first. A page may have fewer entries than asked for, or none, though there
// is a next one.
type AuditList struct {
	Entries []AuditEntry `json:"entries"`
	// NextToken asks for the next page; null on the last one.
	NextToken *string `json:"next_token"`
}
