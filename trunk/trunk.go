// Package trunk holds what is configured: connectors with their termination, origination and credentials,
// phone numbers and carriers, and the rules a valid one obeys.
//
// Its types are plain values without tags of any wire or storage format: the API's shapes stop at its handlers
// and the store has its own. What happens on a trunk is in package call.
package trunk

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carillon/call"
)

// Region is an AWS region in which a connector may be created. The region is a label: it chooses the form of
// the host name and of the ARN.
type Region string

// Regions returns every region a connector may name, in AWS's order.
func Regions() []Region {
	return []Region{
		"us-east-1", "us-west-2", "ca-central-1", "eu-central-1", "eu-west-1", "eu-west-2",
		"ap-northeast-2", "ap-northeast-1", "ap-southeast-1", "ap-southeast-2",
	}
}

// DefaultRegion is the region of a connector whose creator names none.
const DefaultRegion Region = "us-east-1"

// HostName returns the OutboundHostName of a connector: <id>.voiceconnector.<domain> in the two regions with
// access to the public network, <id>.<region>.vc.<domain> elsewhere.
func (r Region) HostName(id, domain string) string {
	if r == "us-east-1" || r == "us-west-2" {
		return id + ".voiceconnector." + domain
	}
	return id + "." + string(r) + ".vc." + domain
}

// NetworkType is the address families a connector serves.
type NetworkType string

// The two network types.
const (
	IPv4Only  NetworkType = "IPV4_ONLY"
	DualStack NetworkType = "DUAL_STACK"
)

// Tag is one label of a resource.
type Tag struct{ Key, Value string }

// Connector is an AWS Voice Connector: one SIP trunk of one account.
type Connector struct {
	// ID is 22 lower-case letters and digits.
	ID string
	// Account owns the connector; 12 digits.
	Account string
	// Name is 1 to 256 characters.
	Name string
	// Region never changes after creation.
	Region Region
	// HostName is fixed at creation; it is also the digest realm of the connector's credentials.
	HostName string
	// RequireEncryption admits only TLS for signalling and SRTP for media on the customer's side.
	RequireEncryption bool
	// NetworkType never changes after creation.
	NetworkType NetworkType
	// IntegrationType is kept and answered as given; it has no effect on calls.
	IntegrationType string
	// Created and Updated are in UTC, to the millisecond.
	Created, Updated time.Time
	// Tags are at most 50, keys unique.
	Tags []Tag
	// Termination is nil until it is put.
	Termination *Termination
	// Origination is nil until it is put.
	Origination *Origination
	// Credentials are sorted by user name.
	Credentials []Credential
	// Services are the other parts; nil until one is put.
	Services *Services
	// Settings are those AWS has no field for.
	Settings Settings
}

// ARN names the connector as AWS does: arn:aws:chime:<region>:<account>:vc/<id>.
func (c *Connector) ARN() string { return ConnectorARN(c.Region, c.Account, c.ID) }

// ConnectorARN returns the ARN of the connector with that id.
func ConnectorARN(r Region, account, id string) string {
	return "arn:aws:chime:" + string(r) + ":" + account + ":vc/" + id
}

// Clone returns a copy that shares no memory that a writer could change.
func (c *Connector) Clone() *Connector {
	d := *c
	d.Tags = slices.Clone(c.Tags)
	d.Credentials = slices.Clone(c.Credentials)
	d.Settings = c.Settings.clone()
	if c.Services != nil {
		d.Services = new(c.Services.clone())
	}
	if c.Termination != nil {
		t := *c.Termination
		t.CallingRegions = slices.Clone(t.CallingRegions)
		t.CidrAllowedList = slices.Clone(t.CidrAllowedList)
		d.Termination = &t
	}
	if c.Origination != nil {
		o := *c.Origination
		o.Routes = slices.Clone(o.Routes)
		d.Origination = &o
	}
	return &d
}

// Emergency returns the connector's emergency numbers; nil for none.
func (c *Connector) Emergency() *Emergency {
	if c.Services == nil {
		return nil
	}
	return c.Services.Emergency
}

// Termination is what admits calls from the customer to a carrier: they terminate in the public network.
type Termination struct {
	// CallingRegions are the countries that may be called, ISO 3166-1 alpha-2, in the order given.
	CallingRegions []string
	// CidrAllowedList are the sources that may call.
	CidrAllowedList []CIDR
	// CpsLimit is the number of calls that may start in a second; at least 1.
	CpsLimit int
	// DefaultPhoneNumber replaces a caller id that is missing or not owned; empty when unset. It is kept as given.
	DefaultPhoneNumber string
	// Disabled stops calls in this direction.
	Disabled bool
}

// Allows reports whether src is in CidrAllowedList. An IPv4 address that arrives in IPv6 clothes is judged as IPv4.
func (t *Termination) Allows(src netip.Addr) bool {
	src = src.Unmap().WithZone("")
	for i := range t.CidrAllowedList {
		if t.CidrAllowedList[i].Prefix.Contains(src) {
			return true
		}
	}
	return false
}

// CIDR is one entry of an allow list, kept with the text it was given in.
type CIDR struct {
	Text   string
	Prefix netip.Prefix
}

// Origination is where calls from a carrier to the customer go.
type Origination struct {
	// Routes are at most 20.
	Routes []Route
	// Disabled stops calls in this direction.
	Disabled bool
}

// Route is one host of the customer that takes calls.
type Route struct {
	// Host is a host name or an IP address.
	Host string
	// Port is 1 to 65535, or 0 when it was left out.
	Port uint16
	// Protocol is "TCP" or "UDP" as given; on a connector that requires encryption it has no effect.
	Protocol string
	// Priority is 1 (first) to 100, Weight 1 to 100.
	Priority, Weight int
}

// Credential is one digest user of a connector. The password itself is never kept.
type Credential struct {
	Username string
	// Realm is the host name of the connector when the credential was put.
	Realm string
	// MD5 and SHA256 are the HA1 values in lower-case hex (RFC 7616 section 3.4.2).
	MD5, SHA256 Secret
}

// DigestMode is an algorithm offered in a challenge.
type DigestMode string

// The algorithms of RFC 8760 that are offered.
const (
	DigestMD5    DigestMode = "md5"
	DigestSHA256 DigestMode = "sha-256"
)

// Settings are the extensions of a connector that AWS has no field for.
type Settings struct {
	// Digest is the list of algorithms offered, first to last; empty means md5, then sha-256.
	Digest []DigestMode
	// Peers says by route host how the peer's certificate is checked; absent hosts are verified.
	Peers map[string]PeerPolicy
	// PlainEmergency admits emergency calls in the clear on a connector that requires encryption.
	PlainEmergency bool
	// Premium admits calls to ranges that bill for more than a call: premium, satellite and international networks.
	Premium bool
	// ClientCertificates asks TLS clients of the connector for a certificate. One that proves the host of a route may
	// have that route's calls on its own connection (RFC 5923).
	ClientCertificates bool
	// Redirects says what happens when a host that is called answers 3xx; empty is RefuseRedirects.
	Redirects RedirectPolicy
	// Transfers says what happens to REFER and Replaces; empty is RefuseTransfers.
	Transfers TransferPolicy
	// Headers are the custom headers that cross from one side of a call to the other, each a name beginning with "X-"
	// or such a beginning and "*". Nil is DefaultHeaders; none cross where it is empty.
	Headers []string
}

// RedirectPolicy is what is done with a 3xx answer.
type RedirectPolicy string

// The redirect policies.
const (
	// RefuseRedirects passes none on: the caller gets 480.
	RefuseRedirects RedirectPolicy = "refuse"
	// FollowRedirects tries the hosts that the answer names, under the rules of the one that named them.
	FollowRedirects RedirectPolicy = "follow"
)

// TransferPolicy is what is done with REFER (RFC 3515) and the Replaces in its target (RFC 3891).
type TransferPolicy string

// The transfer policies.
const (
	// RefuseTransfers answers REFER with 405.
	RefuseTransfers TransferPolicy = "refuse"
	// RelayTransfers carries REFER to the other side, which is then the one to place the new call.
	RelayTransfers TransferPolicy = "relay"
	// ExecuteTransfers lets the customer's side transfer: the node places the new call itself, under the connector's own
	// rules, and joins the party that stays with it.
	ExecuteTransfers TransferPolicy = "execute"
)

// RedirectPolicies returns the policies a connector may have.
func RedirectPolicies() []RedirectPolicy { return []RedirectPolicy{RefuseRedirects, FollowRedirects} }

// TransferPolicies returns the policies a connector may have.
func TransferPolicies() []TransferPolicy {
	return []TransferPolicy{RefuseTransfers, RelayTransfers, ExecuteTransfers}
}

// PeerPolicy is how the certificate of one origination host is checked.
type PeerPolicy struct {
	// Pin is the SHA-256 of the peer's public key (SPKI) in lower-case hex; empty for none.
	Pin string
	// NoVerify accepts any certificate. The leg is then recorded as encrypted, peer not verified.
	NoVerify bool
}

// DefaultHeaders are the custom headers that cross where a connector says nothing.
func DefaultHeaders() []string { return []string{"X-*"} }

// CustomHeaders returns the custom headers that may cross.
func (s *Settings) CustomHeaders() []string {
	if s.Headers == nil {
		return DefaultHeaders()
	}
	return s.Headers
}

// DigestModes returns the algorithms to offer, in order.
func (s *Settings) DigestModes() []DigestMode {
	if len(s.Digest) == 0 {
		return []DigestMode{DigestMD5, DigestSHA256}
	}
	return s.Digest
}

func (s Settings) clone() Settings {
	s.Digest, s.Headers = slices.Clone(s.Digest), slices.Clone(s.Headers)
	if s.Peers != nil {
		peers := make(map[string]PeerPolicy, len(s.Peers))
		for host, p := range s.Peers {
			peers[host] = p
		}
		s.Peers = peers
	}
	return s
}

// Carrier is a SIP peer that leads to the public network. Carriers belong to the installation.
type Carrier struct {
	// Name is 1 to 64 letters, digits, dots, dashes and underscores.
	Name string
	// Targets are tried in order.
	Targets []Target
	// Prefixes are the numbers it takes, each "+" and digits; empty takes every number.
	Prefixes []string
	// SRTP is the policy of the carrier's legs.
	SRTP call.SRTP
	// Sources are the addresses its calls come from, besides its targets' own literal addresses.
	Sources []netip.Prefix
	// Probe is how often OPTIONS is sent to each target; 0 is never.
	Probe time.Duration
	// User and Password answer the carrier's challenge; empty for none.
	User     string
	Password Secret
	// Lab marks the built-in lab carrier.
	Lab bool
}

// Transport is how SIP reaches a target.
type Transport string

// The transports.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
	TLS Transport = "tls"
	// AnyTransport leaves the choice to the DNS of the target's host name (RFC 3263 section 4.1).
	AnyTransport Transport = ""
)

// Target is one address of a carrier.
type Target struct {
	Host string
	// Port is 1 to 65535, or 0 when it was left out.
	Port      uint16
	Transport Transport
}

// EffectivePort is Port, or the default of the transport where it was left out (RFC 3261 section 19.1.2).
func (t Target) EffectivePort() uint16 {
	switch {
	case t.Port != 0:
		return t.Port
	case t.Transport == TLS:
		return 5061
	}
	return 5060
}

// String returns the target as a SIP URI.
func (t Target) String() string {
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.Port != 0 {
		host = fmt.Sprintf("%s:%d", host, t.Port)
	}
	if t.Transport == AnyTransport {
		return "sip:" + host
	}
	return fmt.Sprintf("sip:%s;transport=%s", host, t.Transport)
}

// Quota is a limit an operator has set for an account.
type Quota struct {
	// Account is 12 digits; empty applies to every account without a value of its own.
	Account string
	// Name is one of QuotaNames, or of APIRateOf.
	Name string
	// Value is at least 0, or Unset.
	Value int
}

// Health is the last OPTIONS of a customer that an INVITE from there would have been let in with.
type Health struct {
	ConnectorID string
	Source      netip.Addr
	Time        time.Time
}

// NewID returns a fresh connector id from random.
func NewID(random io.Reader) (string, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 0, idLength)
	var b [64]byte
	for len(id) < idLength {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", fmt.Errorf("read randomness: %w", err)
		}
		for _, c := range b {
			// 252 is the largest multiple of 36 below 256: taking the rest would favour the first letters.
			if c < 252 && len(id) < idLength {
				id = append(id, alphabet[c%36])
			}
		}
	}
	return string(id), nil
}

const idLength = 22
