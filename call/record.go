package call

import (
	"net/netip"
	"slices"
	"time"
)

// PeerCheck says how far the certificate of a TLS peer was checked.
type PeerCheck string

// How a TLS peer was checked.
const (
	// PeerNone: the leg does not use TLS.
	PeerNone PeerCheck = ""
	// PeerVerified: the certificate chains to a trusted root and names the peer.
	PeerVerified PeerCheck = "verified"
	// PeerPinned: the certificate's key is the one the operator pinned.
	PeerPinned PeerCheck = "pinned"
	// PeerNotVerified: the link is encrypted to a peer whose certificate nobody checked; also every
	// accepted connection whose client showed no certificate.
	PeerNotVerified PeerCheck = "not_verified"
)

// LegRecord is what a record keeps of one leg.
type LegRecord struct {
	// Transport is "udp", "tcp" or "tls".
	Transport string `json:"transport,omitempty"`
	// Remote is the peer's signalling address.
	Remote netip.AddrPort `json:"remote,omitzero"`
	// SIPCallID is the Call-ID of the leg's dialog.
	SIPCallID string `json:"sip_call_id,omitempty"`
	// TLSVersion, Cipher and Peer describe the leg's TLS; empty without it.
	TLSVersion string    `json:"tls_version,omitempty"`
	Cipher     string    `json:"cipher,omitempty"`
	Peer       PeerCheck `json:"peer,omitempty"`
	// Media counts the leg's media.
	Media LegReport `json:"media,omitzero"`
}

// Attempt is one target that was tried.
type Attempt struct {
	// Target is the target as configured, for example "sip:203.0.113.9:5061;transport=tls".
	Target string `json:"target"`
	// ConnectorID is the connector whose route it is; empty for a carrier's. The connectors of a group have one each.
	ConnectorID string `json:"connector_id,omitempty"`
	// Status is the SIP status it answered, 0 when it answered nothing.
	Status int `json:"status"`
	// Error says why it was given up, in one plain sentence; empty for the target that answered.
	Error string `json:"error,omitempty"`
	// Cause says why it could not be reached at all. It is the operator's to know.
	Cause string `json:"cause,omitempty"`
}

// FailedTransfer is a transfer that a call's customer asked for and that did not come about: the call went on.
type FailedTransfer struct {
	// At is when that was clear.
	At time.Time `json:"at"`
	// To is the number it was to lead to, or what stood in its place; may be empty.
	To string `json:"to,omitempty"`
	// Status is the SIP status that the customer was told, Sentence why and Fix what changes it.
	Status   int    `json:"status"`
	Sentence string `json:"sentence"`
	Fix      string `json:"fix,omitempty"`
}

// Record is the one durable account of a call.
type Record struct {
	// ID is the call.
	ID ID `json:"id"`
	// Account owns the connector; 12 digits.
	Account string `json:"account"`
	// ConnectorID, Region, RequireEncryption and Revision say which connector ruled the call, with which
	// policy, in which revision of the store.
	ConnectorID       string `json:"connector_id"`
	Region            string `json:"region"`
	RequireEncryption bool   `json:"require_encryption"`
	Revision          int64  `json:"revision"`
	// Direction is "Outbound" or "Inbound".
	Direction string `json:"direction"`
	// From and To are the numbers in E.164 where they are numbers, else the user part.
	From string `json:"from"`
	To   string `json:"to"`
	// FromCountry and ToCountry are ISO 3166-1 alpha-2, empty where unknown.
	FromCountry string `json:"from_country,omitempty"`
	ToCountry   string `json:"to_country,omitempty"`
	// CallerIDReplaced is the caller id the customer sent where DefaultPhoneNumber took its place.
	CallerIDReplaced string `json:"caller_id_replaced,omitempty"`
	// AuthUser is the digest user that was proven.
	AuthUser string `json:"auth_user,omitempty"`
	// Carrier is the carrier's name.
	Carrier string `json:"carrier,omitempty"`
	// Inside is the connector at the other end of a call that stayed inside its account; empty where the other end is
	// somebody else's.
	Inside string `json:"inside,omitempty"`
	// Start is when the INVITE came, Answered when the 2xx was sent (zero if never), End when it was over.
	Start    time.Time `json:"start"`
	Answered time.Time `json:"answered,omitzero"`
	End      time.Time `json:"end"`
	// Status is the final SIP status sent to the caller.
	Status int `json:"status"`
	// Reason says why it ended, Sentence in plain words which rule fired and Fix what changes it.
	Reason   string `json:"reason"`
	Sentence string `json:"sentence,omitempty"`
	Fix      string `json:"fix,omitempty"`
	// HungUpBy is "customer", "carrier" or "node"; empty for a call that was refused.
	HungUpBy string `json:"hung_up_by,omitempty"`
	// Attempts are the targets tried, in order.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Customer and CarrierLeg are the two legs.
	Customer   LegRecord `json:"customer_leg"`
	CarrierLeg LegRecord `json:"carrier_leg"`
	// TransferOf is the call that was transferred to make this one, TransferredTo the call that one side of this one has
	// gone over into; empty for others.
	TransferOf    ID `json:"transfer_of,omitempty"`
	TransferredTo ID `json:"transferred_to,omitempty"`
	// FailedTransfers are those that the customer asked for in vain, the first few of them.
	FailedTransfers []FailedTransfer `json:"failed_transfers,omitempty"`
	// Remaining is the leg of the party that stayed when the customer's side transferred its call: it has the customer's
	// place in this one, in which the customer has no leg.
	Remaining *LegRecord `json:"remaining_leg,omitempty"`
	// PlainRequestsDropped counts in-dialog requests that came in the clear to an encrypted leg.
	PlainRequestsDropped uint64 `json:"plain_requests_dropped,omitempty"`
	// Lab is true when the far end was the built-in lab carrier.
	Lab bool `json:"lab,omitempty"`
}

// HiddenTarget stands in a record for a target that is not its reader's to know.
const HiddenTarget = "hidden"

// SeenByTenant returns the record as the account that owns its connector may read it. A carrier's name tells whom it is
// called through; the addresses of carriers are the installation's network.
//
// Why a target could not be reached is the operator's to know: who may place routes could find out with it which hosts and
// ports there are in networks that only the node can reach.
func (r Record) SeenByTenant() Record {
	if r.Inside == "" {
		r = r.WithoutFarEnd()
	}
	r.Attempts = slices.Clone(r.Attempts)
	for i := range r.Attempts {
		r.Attempts[i].Cause = ""
	}
	return r
}

// WithoutFarEnd returns the record without what tells of the network at its far end: the targets it was placed to, and
// that leg's addresses and Call-ID, in which many a PBX writes its own host.
func (r Record) WithoutFarEnd() Record {
	r.CarrierLeg = r.CarrierLeg.withoutNetwork()
	if r.Remaining != nil {
		remaining := r.Remaining.withoutNetwork()
		r.Remaining = &remaining
	}
	if r.Direction == Outbound.String() { // the targets of an inbound call are the customer's own
		r.Attempts = slices.Clone(r.Attempts)
		for i := range r.Attempts {
			a := &r.Attempts[i]
			a.Target, a.ConnectorID, a.Cause = HiddenTarget, "", ""
		}
	}
	return r
}

// withoutNetwork returns the leg without what tells where its peer is.
func (l LegRecord) withoutNetwork() LegRecord {
	l.Remote, l.Media.Remote, l.SIPCallID = netip.AddrPort{}, netip.AddrPort{}, ""
	return l
}
