package call

import "net/netip"

// Question describes an INVITE that is not sent, to learn what would happen to it.
type Question struct {
	// Host is the host of the Request-URI: a connector's host name, or anything else for a carrier's call.
	Host string
	// From and To are the numbers as they would be in From and in the Request-URI.
	From, To string
	// Source is where the INVITE would come from.
	Source netip.AddrPort
	// Transport is "udp", "tcp" or "tls".
	Transport string
	// SRTP says that media would be offered as RTP/SAVP with a key.
	SRTP bool
	// SIPS says that the Request-URI would be a sips URI.
	SIPS bool
	// User is the digest user whose credentials would come with it; empty for none.
	User string
}

// Rehearsal is what would happen to an INVITE, judged by the rules that judge real ones. Nothing is dialled, counted or
// recorded.
type Rehearsal struct {
	Direction   string `json:"direction,omitempty"`
	ConnectorID string `json:"connector_id,omitempty"`
	Account     string `json:"account_id,omitempty"`
	// Revision is that of the configuration it was judged by.
	Revision int64 `json:"revision"`
	// Rules are those that were asked, in order; the last one refused unless Admitted.
	Rules []RehearsedRule `json:"rules"`
	// Admitted says that the call would be placed to Targets.
	Admitted bool `json:"admitted"`
	// Status, Reason, Sentence and Fix are those of the refusal.
	Status   int    `json:"status,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Sentence string `json:"sentence,omitempty"`
	Fix      string `json:"fix,omitempty"`
	// From is the caller id that would be sent on, Replaced the one it takes the place of.
	From        string `json:"from,omitempty"`
	To          string `json:"to,omitempty"`
	FromCountry string `json:"from_country,omitempty"`
	ToCountry   string `json:"to_country,omitempty"`
	Replaced    string `json:"caller_id_replaced,omitempty"`
	Emergency   bool   `json:"emergency,omitempty"`
	// Inside is the connector at the other end of a call that would stay inside the installation.
	Inside string `json:"inside,omitempty"`
	// Targets are those that would be tried, in order. Where weights draw lots, this is one draw.
	Targets []RehearsedTarget `json:"targets,omitempty"`
}

// RuleNumber is the rule that finds who has the number of a carrier's call.
const RuleNumber = "number"

// RehearsedRule is one rule and what it said.
type RehearsedRule struct {
	Rule   string `json:"rule"`
	Passed bool   `json:"passed"`
}

// RehearsedTarget is one place a call would be sent to.
type RehearsedTarget struct {
	URI  string `json:"uri"`
	SRTP string `json:"srtp"`
	// Carrier is empty for a customer's host, ConnectorID for a carrier's.
	Carrier     string `json:"carrier,omitempty"`
	ConnectorID string `json:"connector_id,omitempty"`
	// Failing says that it failed of late and is tried after others for that.
	Failing bool `json:"failing,omitempty"`
}
