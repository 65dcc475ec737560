package trunk

import (
	"slices"
	"strings"
	"time"
)

// Number is a phone number in E.164 with its plus sign, for example "+12065550100". The zero value is no number.
type Number string

// ParseNumber reads a number in E.164: an optional plus sign, then 2 to 15 digits of which the first is not 0
// (ITU-T E.164 section 6). Anything else, also separators, is refused: what is compared must be spelled one way.
func ParseNumber(s string) (Number, bool) {
	digits := strings.TrimPrefix(s, "+")
	if len(digits) < 2 || len(digits) > 15 || digits[0] == '0' {
		return "", false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return "", false
		}
	}
	return Number("+" + digits), true
}

// ParseDialled reads a number as a caller must dial it: in E.164 with the plus sign.
func ParseDialled(s string) (Number, bool) {
	if !strings.HasPrefix(s, "+") {
		return "", false
	}
	return ParseNumber(s)
}

// ProductType is what a number may be used for.
type ProductType string

// The product types. Only numbers of type ProductVoiceConnector can be associated with connectors and groups.
const (
	ProductVoiceConnector  ProductType = "VoiceConnector"
	ProductBusinessCalling ProductType = "BusinessCalling"
	ProductDialIn          ProductType = "SipMediaApplicationDialIn"
)

// DeletionQueue is how long a deleted number can be restored before it goes back to the pool.
const DeletionQueue = 7 * 24 * time.Hour

// PhoneNumber is a number of the installation's inventory.
type PhoneNumber struct {
	E164 Number
	// Account holds the number; empty while it is in the pool.
	Account string
	// ConnectorID is the connector, GroupID the group that takes its calls. At most one of them is set.
	ConnectorID, GroupID string
	// Associated is when that was said; zero for none.
	Associated time.Time
	// ProductType is empty, which means ProductVoiceConnector, until an account says otherwise.
	ProductType ProductType
	// Name is what its account calls the number; may be empty.
	Name string
	// CallingName is shown to the called party with the number; empty takes the account's.
	CallingName string
	// OrderID is the order that brought the number to its account; empty where an operator did.
	OrderID string
	// Deleted is when its account put the number into the deletion queue; zero for a number in use.
	Deleted time.Time
	// Tags are at most MaxTags, keys unique.
	Tags []Tag
	// Created and Updated are in UTC, to the millisecond.
	Created, Updated time.Time
}

// Product returns the product type, the default where none was said.
func (n *PhoneNumber) Product() ProductType {
	if n.ProductType == "" {
		return ProductVoiceConnector
	}
	return n.ProductType
}

// Queued reports whether the number is in the deletion queue at now.
func (n *PhoneNumber) Queued(now time.Time) bool {
	return !n.Deleted.IsZero() && now.Before(n.Deleted.Add(DeletionQueue))
}

// Lapsed reports whether the number's time in the deletion queue is over at now: it is nobody's, whatever Account says.
func (n *PhoneNumber) Lapsed(now time.Time) bool {
	return !n.Deleted.IsZero() && !n.Queued(now)
}

// HeldBy reports whether the account holds the number at now, in use or in the deletion queue.
func (n *PhoneNumber) HeldBy(account string, now time.Time) bool {
	return account != "" && n.Account == account && !n.Lapsed(now)
}

// Free reports whether the number is in the pool at now, or would be if what lapsed had been swept already.
func (n *PhoneNumber) Free(now time.Time) bool { return n.Account == "" || n.Lapsed(now) }

// IsAssociated reports whether a connector or a group takes the number's calls.
func (n *PhoneNumber) IsAssociated() bool { return n.ConnectorID != "" || n.GroupID != "" }

// ARN names the number as AWS does: arn:aws:chime:<region>:<account>:phone-number/<E.164>. Numbers have no region.
func (n *PhoneNumber) ARN() string {
	return "arn:aws:chime:" + string(DefaultRegion) + ":" + n.Account + ":phone-number/" + string(n.E164)
}

// Clone returns a copy that shares no memory that a writer could change.
func (n *PhoneNumber) Clone() *PhoneNumber {
	m := *n
	m.Tags = slices.Clone(n.Tags)
	return &m
}

// Release returns the number as it is once its account no longer holds it: in the pool, without a trace of it.
func (n *PhoneNumber) Release(now time.Time) *PhoneNumber {
	return &PhoneNumber{E164: n.E164, Created: n.Created, Updated: now}
}

// Order is an account's order of numbers from the pool. It is carried out at once and never changes.
type Order struct {
	// ID is a UUID.
	ID          string
	Account     string
	ProductType ProductType
	// Numbers are those asked for, in order, each once.
	Numbers []OrderedNumber
	// Created is in UTC, to the millisecond.
	Created time.Time
}

// OrderedNumber is one number of an order.
type OrderedNumber struct {
	E164 Number
	// Acquired is false for a number that was not in the pool.
	Acquired bool
}
