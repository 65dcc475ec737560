package sbc

import (
	"strconv"
	"strings"
	"time"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
)

// fault is what a request asks for or brings that the node cannot do anything with: the status and a header that says what
// would be taken (RFC 3261 section 8.2), and what is wrong in words. The zero value is none.
type fault struct {
	status        int
	header, value string
	text          string
}

// understood looks for what is wrong with any request, inside of a dialog or not. An encoded body is among it: nobody could
// say whether a description is in it.
func understood(req *sip.Message) fault {
	if unknown := unsupported(req); unknown != "" {
		return fault{420, "Unsupported", unknown, "it requires " + unknown + ", which the node does not know"}
	}
	if enc := req.Get(sip.HdrContentEncoding); len(enc) > 0 && !strings.EqualFold(string(enc), "identity") {
		return fault{415, "Accept-Encoding", "identity", "its body is encoded as " + routing.Printable(string(enc))}
	}
	switch req.Method() {
	case sip.Invite, sip.Update, sip.Prack:
		if !readable(req) {
			return fault{415, "Accept", "application/sdp, multipart/mixed", "its body is " + routing.Printable(mediaType(req)) +
				" and not one session description"}
		}
	}
	return fault{}
}

// misread refuses a request outside of dialogs that no rule needs to look at, and reports whether it did. Whoever sent it, it
// breaks the protocol; one who belongs here is told more, and finds it in the records.
func (s *Server) misread(a *arrival) bool {
	if a.fault = understoodFirst(a.req); a.fault.status == 0 {
		return false
	}
	if owner, refusal := routing.Classify(a.view, a.facts); refusal == nil {
		a.owner, a.connector = owner, owner.Connector
		steps := outboundSender
		if owner.Direction == call.Inbound {
			steps = inboundSender
		}
		for _, step := range steps {
			if step.judge(s, a) != nil {
				break
			}
		}
		a.challenge = nil
	}
	s.refuse(a, call.Refuse(call.ReasonRequestNotSupported, a.fault.text))
	return true
}

func understoodFirst(req *sip.Message) fault {
	invite := req.Method() == sip.Invite
	if scheme := req.RequestURI().Scheme; scheme != sip.SchemeSIP && scheme != sip.SchemeSIPS {
		return fault{416, "", "", "its Request-URI is no SIP URI"}
	}
	if n, ok := req.MaxForwards(); ok && n == 0 {
		return fault{483, "", "", "it has no hops left (Max-Forwards: 0), as a call that goes round in a circle"}
	}
	if wanted, ok := seconds(req, sip.HdrSessionExpires); invite && ok && wanted < minSession {
		least := strconv.Itoa(int(minSession / time.Second))
		return fault{422, "Min-SE", least, "its Session-Expires is less than " + least + " s"}
	}
	if invite && req.Contact() == nil {
		return fault{400, "", "", "it has no Contact"}
	}
	return understood(req)
}
