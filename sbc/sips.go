package sbc

import (
	"strconv"
	"strings"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// A sips URI promises TLS on every hop (RFC 3261 section 26.2.2, RFC 5630): what came for one came over TLS, goes on over
// TLS to a sips URI, and every Contact of the call is one. Calls to sip URIs over TLS promise nothing beyond their own
// hop; that is how AWS's connectors and most trunks write them.

// overTLS refuses a sips URI that came in the clear: somebody on the way broke the promise, or never made it.
func overTLS(s *Server, a *arrival) *call.Refusal {
	if !a.sips || a.facts.TLS {
		return nil
	}
	return call.Refuse(call.ReasonSIPSNotOverTLS, strconv.Itoa(int(s.cfg.Ports(transport.TLS))))
}

// secureTargets keeps the targets of a call to a sips URI that are reached over TLS, and makes them sips URIs. Without
// any the call is refused in the words of RFC 5630 section 5.3, and goes nowhere in the clear.
func secureTargets(_ *Server, a *arrival) *call.Refusal {
	if !a.sips || a.joined != nil {
		return nil
	}
	var secure []routing.Target
	for _, t := range a.plan.Targets {
		switch t.Transport {
		case trunk.TLS:
		case trunk.AnyTransport:
			t.Transport = trunk.TLS
		default:
			continue
		}
		t.SIPS = true
		secure = append(secure, t)
	}
	if len(secure) == 0 {
		first := a.plan.Targets[0]
		name := strings.TrimPrefix(first.String(), "sip:")
		switch { // the caller's account reads it
		case first.Carrier != nil:
			name = "the carrier " + first.Carrier.Name
		case first.Connector != nil && first.Connector.Account != a.connector.Account:
			name = "another account's host"
		}
		return call.Refuse(call.ReasonSIPSNotAllowed, name)
	}
	a.plan.Targets = secure
	return nil
}

// dialogSIPS reports whether our Contact in the dialog that a request begins must be a sips URI (RFC 3261 section
// 12.1.1).
func dialogSIPS(req *sip.Message) bool {
	if req.RequestURI().Scheme == sip.SchemeSIPS {
		return true
	}
	for value := range req.Values(sip.HdrRecordRoute) {
		first, err := sip.ParseNameAddr(value)
		return err == nil && first.URI.Scheme == sip.SchemeSIPS
	}
	contact := req.Contact()
	return contact != nil && contact.URI.Scheme == sip.SchemeSIPS
}
