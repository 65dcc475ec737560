// Package v1 holds the shapes of the API under /carillon/v1/: what AWS has no operation for.
//
// The API's handlers, the command line and the console share them. Bodies are JSON objects; a request with a member
// that is not here is refused. Errors have the same form as those of the AWS operations.
package v1

import (
	"time"

	"carillon/call"
)

// Base is the path all operations are under.
const Base = "/carillon/v1"

// Paths of the collections. One of them is Path + "/" + its name, percent-encoded.
const (
	Carriers   = Base + "/carriers"   // GET lists; PUT, DELETE of one
	Numbers    = Base + "/numbers"    // GET lists; POST imports, with ?operation=release releases
	Keys       = Base + "/keys"       // GET lists; POST creates; DELETE of one; POST of one with ?operation=disable, enable or rotate
	Connectors = Base + "/connectors" // GET, PUT of one + "/settings"
	Quotas     = Base + "/quotas"     // GET lists; PUT, DELETE of one
	Calls      = Base + "/calls"      // GET lists; GET of one
	Rehearsals = Base + "/rehearse"   // POST asks
	Audit      = Base + "/audit"      // GET lists
)

// Query parameters of the lists.
const (
	QueryAccount   = "account"     // 12 digits; operators only, others always mean their own
	QueryConnector = "connector"   // connector id
	QueryGroup     = "group"       // connector group id
	QueryMax       = "max-results" // 1 to MaxPage
	QueryToken     = "next-token"  // NextToken of the page before
	QueryOperation = "operation"   // name of an operation, with or without its service
	QueryResource  = "resource"    // id or ARN of what was written
	QueryNumber    = "number"      // the caller's or the called number, whole
	QueryReason    = "reason"      // name of a reason, as a record has it
	QuerySince     = "since"       // RFC 3339, included
	QueryUntil     = "until"       // RFC 3339, included
)

// Bounds of requests and pages.
const (
	// MaxPage is the most entries of a page, DefaultPage the number without max-results.
	MaxPage, DefaultPage = 1000, 100
	// MaxImport is the most numbers of one import: a transaction of the store takes no more.
	MaxImport = 100
	// MaxPrefixes, MaxSources and MaxPeers bound the lists of a carrier and of a connector's settings.
	MaxPrefixes, MaxSources, MaxPeers = 200, 100, 20
)

// Carrier is a SIP peer that leads to the public network. PutCarrier takes it, ListCarriers gives it.
type Carrier struct {
	// Name is in the path of a put; in the body it may be left out and must be the same.
	Name string `json:"name,omitempty"`
	// Targets are 1 to 20, tried in order: "sip:HOST:PORT;transport=udp|tcp|tls".
	Targets []string `json:"targets"`
	// Prefixes are the numbers it takes, "+1" and so on; empty takes all.
	Prefixes []string `json:"prefixes,omitempty"`
	// SRTP is "off" (default), "offer" or "require".
	SRTP string `json:"srtp,omitempty"`
	// Sources are the networks its calls come from besides the targets' own addresses.
	Sources []string `json:"sources,omitempty"`
	// ProbeSeconds is how often OPTIONS is sent to each target; 0 is never.
	ProbeSeconds int `json:"probe_seconds,omitempty"`
	// User and Password answer the carrier's challenge. The password is never given back; a put without one keeps
	// the one that is stored, as long as User stays the same.
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// Lab marks the built-in lab carrier, which cannot be put or deleted.
	Lab bool `json:"lab,omitempty"`
}

// CarrierList is the answer of ListCarriers: all of them, by name.
type CarrierList struct {
	Carriers []Carrier `json:"carriers"`
}

// ImportNumbers is the request of that name. Without account and connector the numbers go to the pool if they are
// new and stay as they are if not. An account that has a number already keeps its name, tags and association as far as
// the request does not change them; another one gets it bare. No quota refuses an import.
type ImportNumbers struct {
	// Numbers are 1 to MaxImport in E.164.
	Numbers []string `json:"numbers"`
	// Account gets the numbers.
	Account string `json:"account,omitempty"`
	// ConnectorID takes their calls; its account gets the numbers.
	ConnectorID string `json:"connector_id,omitempty"`
}

// ReleaseNumbers is the request of that name: the numbers go to the pool at once, from whoever has them.
type ReleaseNumbers struct {
	// Numbers are 1 to MaxImport in E.164; all of them must be of this installation.
	Numbers []string `json:"numbers"`
	// Remove takes them out of the installation instead.
	Remove bool `json:"remove,omitempty"`
}

// Number is a phone number of the inventory.
type Number struct {
	// Number is in E.164.
	Number string `json:"number"`
	// Account holds it; empty while it is in the pool.
	Account string `json:"account,omitempty"`
	// ConnectorID takes its calls; empty for none.
	ConnectorID string `json:"connector_id,omitempty"`
	// GroupID takes its calls; empty for none.
	GroupID string `json:"group_id,omitempty"`
	// Deleted is when its account put it into the deletion queue; left out for a number in use.
	Deleted *time.Time `json:"deleted,omitempty"`
	// Created and Updated are in UTC.
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// NumberList is the answer of ListNumbers, and of ImportNumbers and ReleaseNumbers with the numbers as they are now.
type NumberList struct {
	Numbers []Number `json:"numbers"`
	// NextToken asks for the next page; null on the last one.
	NextToken *string `json:"next_token"`
}

// CreateKey is the request of that name.
type CreateKey struct {
	// Account is the key's; empty is the caller's.
	Account string `json:"account,omitempty"`
	// Name is what the key is called; at most 64 characters.
	Name string `json:"name,omitempty"`
	// Policy is an IAM policy as JSON text; without one the key may use chime:* in the account, or everything as an
	// operator. An empty text is refused: it is what a program leaves that failed to write one.
	Policy *string `json:"policy,omitempty"`
	// ExpiresSeconds makes a temporary key, which has a session token; 0 is never.
	ExpiresSeconds int64 `json:"expires_seconds,omitempty"`
	// Operator keys may use what belongs to the installation.
	Operator bool `json:"operator,omitempty"`
}

// RotateKey is the request of that name; its body may be left out.
type RotateKey struct {
	// GraceSeconds is how long the old key works beside the new one; with 0 it is disabled at once.
	GraceSeconds int64 `json:"grace_seconds,omitempty"`
}

// Credentials is the answer of CreateKey and RotateKey, and the only place where a secret is ever shown.
type Credentials struct {
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
	AccountID       string `json:"account_id"`
	// SessionToken must be sent along with a temporary key.
	SessionToken string `json:"session_token,omitempty"`
	// Expires is when a temporary key stops working.
	Expires *time.Time `json:"expires,omitempty"`
}

// Key is an access key without its secret.
type Key struct {
	AccessKeyID string    `json:"access_key_id"`
	AccountID   string    `json:"account_id"`
	Name        string    `json:"name,omitempty"`
	Created     time.Time `json:"created"`
	// Expires is null for a key that does not.
	Expires  *time.Time `json:"expires"`
	Disabled bool       `json:"disabled"`
	Operator bool       `json:"operator"`
	Policy   string     `json:"policy,omitempty"`
}

// KeyList is the answer of ListKeys.
type KeyList struct {
	Keys []Key `json:"keys"`
}

// Settings are those of a connector that AWS has no field for. In a put, a member that is left out stays as it is.
type Settings struct {
	// Digest is the list of algorithms offered, first to last: "md5", "sha-256"; empty is the default, both.
	Digest *[]string `json:"digest,omitempty"`
	// Peers says by route host how the peer's certificate is checked. A put replaces all of them.
	Peers *map[string]Peer `json:"peers,omitempty"`
	// PlainEmergency admits emergency calls in the clear on an encrypted connector; operators only.
	PlainEmergency *bool `json:"plain_emergency,omitempty"`
	// Premium admits calls to premium, satellite and international networks; operators only.
	Premium *bool `json:"premium,omitempty"`
	// ClientCertificates asks TLS clients for a certificate; one that names a route's host gets that route's calls on
	// its own connection.
	ClientCertificates *bool `json:"client_certificates,omitempty"`
	// Redirects is "refuse" (default) or "follow": what is done when a host that is called answers 3xx.
	Redirects *string `json:"redirects,omitempty"`
	// Transfers is "refuse" (default), "relay" or "execute": what is done with REFER and Replaces.
	Transfers *string `json:"transfers,omitempty"`
	// Headers are the custom headers that cross a call, by default ["X-*"].
	Headers *[]string `json:"headers,omitempty"`
}

// Peer is how one host's certificate is checked.
type Peer struct {
	// Pin is the SHA-256 of the peer's public key (SPKI) in hex.
	Pin string `json:"pin,omitempty"`
	// NoVerify accepts any certificate.
	NoVerify bool `json:"no_verify,omitempty"`
}

// Quota is a limit that an operator has set. PutQuota takes Account and Value, the name is in the path; DeleteQuota takes
// the account in the query.
type Quota struct {
	// Name is one of the names of QuotaList, or AWS's in its service quotas; capitals do not matter.
	Name string `json:"name,omitempty"`
	// Account is empty for every account without a value of its own.
	Account string `json:"account,omitempty"`
	// Value is at least 0, and 1 for a rate. Null, in Defaults alone, is no limit.
	Value *int `json:"value"`
}

// QuotaList is the answer of ListQuotas.
type QuotaList struct {
	Quotas []Quota `json:"quotas"`
	// Names are those that can be set. "API requests per second: OPERATION" can be too, for each operation.
	Names []string `json:"names"`
	// Defaults are what applies where nothing is set.
	Defaults []Quota `json:"defaults"`
}

// Call is the answer of GetCall: the record of one call.
type Call = call.Record

// CallList is the answer of ListCalls: newest first.
type CallList struct {
	Calls []Call `json:"calls"`
	// NextToken asks for the next page; null on the last one.
	NextToken *string `json:"next_token"`
}

// Rehearse asks what would happen to an INVITE.
type Rehearse struct {
	// From and To are the caller id and the number dialled; To is required.
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	// Source is the address it would come from, with or without a port.
	Source string `json:"source"`
	// Transport is "udp", "tcp" or "tls" (default).
	Transport string `json:"transport,omitempty"`
	// SRTP says that media would be offered encrypted; left out, it would over TLS and not otherwise.
	SRTP *bool `json:"srtp,omitempty"`
	// SIPS says that the Request-URI would be a sips URI.
	SIPS bool `json:"sips,omitempty"`
	// User is the digest user whose right password would come with it.
	User string `json:"user,omitempty"`
	// ConnectorID is the connector it would be sent to. Left out: the one that takes From's calls, else the account's
	// only one.
	ConnectorID string `json:"connector_id,omitempty"`
	// Inbound says that it would come from a carrier.
	Inbound bool `json:"inbound,omitempty"`
}

// Rehearsal is what would happen.
type Rehearsal = call.Rehearsal
