// Package routing decides what happens to an INVITE from the facts of the message and one snapshot of what is
// configured: whose it is, whether it may pass and which targets it tries in which order.
//
// It does no I/O and keeps no state. The caller runs the steps in the order of design: Classify, Screen,
// authenticate, limit, then PlanOutbound or PlanInbound. A "no" is a *call.Refusal, never an error.
package routing

import (
	"net/netip"

	"carillon/call"
	"carillon/numbering"
	"carillon/trunk"
)

// View is the part of a snapshot that decisions read. All its answers belong to one revision and must not be changed.
type View interface {
	Revision() int64
	Connector(id string) (*trunk.Connector, bool)
	ConnectorByHost(host string) (*trunk.Connector, bool)
	Number(trunk.Number) (*trunk.PhoneNumber, bool)
	OwnsNumber(account string, n trunk.Number) bool
	Group(id string) (*trunk.Group, bool)
	AccountSettings(account string) *trunk.AccountSettings
	CarrierFor(trunk.Number) []*trunk.Carrier
	CarrierBySource(netip.AddrPort) (*trunk.Carrier, bool)
}

// Facts are what signalling knows of an INVITE before anything is decided.
type Facts struct {
	// Host is the host of the Request-URI, in lower case.
	Host string
	// User is the unescaped user part of the Request-URI.
	User string
	// Source and Port are where the request came from.
	Source netip.Addr
	Port   uint16
	// TLS is true when it came over TLS.
	TLS bool
	// Asserted, Preferred and From are the user parts of P-Asserted-Identity, P-Preferred-Identity and From
	// (RFC 3325 section 9), empty where absent.
	Asserted, Preferred, From string
	// Private is true when the caller asked that its identity be kept from the called party (RFC 3323, RFC 3325).
	Private bool
}

// Owner is whose call an INVITE is. Exactly one of Connector and Carrier is set when it is anybody's.
type Owner struct {
	Direction call.Direction
	// Connector is set for a call from that connector's customer.
	Connector *trunk.Connector
	// Carrier is set for a call from that carrier.
	Carrier *trunk.Carrier
}

// Classify says whose call it is. The host of the Request-URI decides first: a request for a connector's host is its
// customer's, always, so that a customer who shares an address with a carrier cannot be taken for one. Otherwise the
// source decides.
func Classify(v View, f Facts) (Owner, *call.Refusal) {
	if c, ok := v.ConnectorByHost(f.Host); ok {
		return Owner{Direction: call.Outbound, Connector: c}, nil
	}
	if c, ok := v.CarrierBySource(netip.AddrPortFrom(f.Source, f.Port)); ok {
		return Owner{Direction: call.Inbound, Carrier: c}, nil
	}
	return Owner{}, call.Refuse(call.ReasonConnectorUnknown, "")
}

// Screening is what Screen learned of a customer's request.
type Screening struct {
	// Listed is true when the source is in a list that is not empty.
	Listed bool
	// NeedCredentials is true when the connector has credentials.
	NeedCredentials bool
}

// Screen judges source, transport and state of the termination before anything is known of the sender. Both the list
// and the credentials must pass where both are set; where neither is set nobody may call.
func Screen(c *trunk.Connector, f Facts) (Screening, *call.Refusal) {
	t := c.Termination
	if t == nil {
		return Screening{}, call.Refuse(call.ReasonTerminationDisabled, "has no termination")
	}
	s := Screening{NeedCredentials: len(c.Credentials) > 0}
	if len(t.CidrAllowedList) > 0 {
		if !t.Allows(f.Source) {
			return s, call.Refuse(call.ReasonSourceNotAllowed, f.Source.Unmap().String())
		}
		s.Listed = true
	}
	if !s.Listed && !s.NeedCredentials {
		return s, &call.Refusal{Reason: call.ReasonSourceNotAllowed, Detail: f.Source.Unmap().String(),
			Fix: "Add the address to Termination.CidrAllowedList, or set credentials."}
	}
	if c.RequireEncryption && !f.TLS && !(c.Settings.PlainEmergency && Emergency(c, f.User)) {
		return s, call.Refuse(call.ReasonSignallingNotEncrypted, "")
	}
	if t.Disabled {
		return s, call.Refuse(call.ReasonTerminationDisabled, "has its termination disabled")
	}
	return s, nil
}

// Emergency reports whether a connector's customer who dials that user wants an emergency service: a number that is one
// everywhere, or one of the connector's own (EmergencyCallingConfiguration).
func Emergency(c *trunk.Connector, user string) bool {
	return numbering.Emergency(user) || c.Emergency().Routes(user)
}

// Plan is a call that may be placed.
type Plan struct {
	Direction call.Direction
	// Connector rules the call: the caller's, or of an inbound call that of the first target. A number of a group may lead
	// to several; whose target is called, rules then.
	Connector *trunk.Connector
	// Inside is the connector at the other end of a call that stays inside the installation, that of the first target; nil
	// for others.
	Inside *trunk.Connector
	// Revision is that of the snapshot the plan was made from.
	Revision int64
	// From is the caller id that is sent on and To the number dialled, "+" and digits where they are numbers.
	From, To string
	// Name is shown with From: what the account says of the number, or of all of its numbers; may be empty.
	Name string
	// Replaced is the caller id of the customer where DefaultPhoneNumber took its place; "none" stands for a missing one.
	Replaced string
	// FromCountry and ToCountry are ISO 3166-1 alpha-2, empty where unknown.
	FromCountry, ToCountry string
	// Carrier is the carrier of an inbound call, and of the first targets of an outbound one.
	Carrier *trunk.Carrier
	// Private is true when From must not be shown to the called party.
	Private bool
	// Emergency calls pass number, country and limit rules.
	Emergency bool
	// Targets are tried in order; never empty.
	Targets []Target
}

// Target is one address to send the INVITE to.
type Target struct {
	// Host and Port as configured; Port 0 means the default of the transport.
	Host string
	Port uint16
	// Transport is the way to reach it; AnyTransport leaves it to the DNS. A target over TLS is never tried in the clear.
	Transport trunk.Transport
	// SIPS makes the Request-URI a sips URI; only a target over TLS may be one.
	SIPS bool
	// IPv4Only keeps to IPv4 addresses.
	IPv4Only bool
	// Redirected is true where a target's 3xx chose the host.
	Redirected bool
	// User is the user part of the Request-URI.
	User string
	// SRTP is the policy of the leg.
	SRTP call.SRTP
	// Peer says how the target's certificate is checked.
	Peer trunk.PeerPolicy
	// Carrier is set for a target of a carrier, Connector for one of a connector's customer.
	Carrier   *trunk.Carrier
	Connector *trunk.Connector
}

// String returns the target as a SIP URI without a user.
func (t Target) String() string {
	return trunk.Target{Host: t.Host, Port: t.Port, Transport: t.Transport}.String()
}
