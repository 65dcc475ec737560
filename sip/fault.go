package sip

import "fmt"

// Fault names what is wrong with a message. It is the label of the counter a
// caller keeps for messages it did not accept; every limit of this package has
// a fault of its own.
type Fault uint8

// The faults, in the order of the start line, the headers, the body and the stream.
const (
	FaultNone            Fault = iota
	FaultEmpty                 // nothing but CRLF: a keep-alive (RFC 5626 §4.4.1), no message
	FaultTooLarge              // longer than Limits.Message
	FaultTooManyHeaders        // more header lines than Limits.Headers
	FaultLineTooLong           // a start line or header longer than Limits.Line
	FaultStartLine             // not a request line and not a status line
	FaultVersion               // a SIP version other than 2.0
	FaultMethod                // the method is not a token
	FaultRequestURI            // the Request-URI does not parse, or carries headers (RFC 3261 §19.1.1)
	FaultStatus                // the status code is not 100 to 699
	FaultLineEnd               // a CR or LF that is not part of a CRLF
	FaultNoHeaderEnd           // no empty line after the headers
	FaultHeaderName            // a line without a colon, or a name that is not a token
	FaultNUL                   // a NUL octet outside a quoted-pair
	FaultDuplicate             // a header that may stand once stands twice
	FaultMissing               // Via, From, To, Call-ID or CSeq is missing (RFC 3261 §8.1.1)
	FaultVia                   // the topmost Via does not parse
	FaultFrom                  // From does not parse
	FaultTo                    // To does not parse
	FaultContact               // Contact does not parse
	FaultCallID                // Call-ID is empty or has white space
	FaultCSeq                  // CSeq is not a number below 2^31 and a method (RFC 3261 §8.1.1.5)
	FaultCSeqMethod            // the method of CSeq is not the request's
	FaultMaxForwards           // Max-Forwards is not 0 to 255 (RFC 3261 §20.22)
	FaultContentLength         // Content-Length is not a number, or differs from itself
	FaultBodyShort             // the body is shorter than Content-Length says (RFC 3261 §18.3)
	FaultNoContentLength       // a stream message without Content-Length (RFC 3261 §18.3)
	FaultStreamStart           // what follows on the stream cannot begin a SIP message
	faultCount
)

type faultText struct {
	label  string
	status int
	reason string
}

var faultTexts = [faultCount]faultText{
	FaultNone:            {"none", 0, "OK"},
	FaultEmpty:           {"empty", 0, "Empty Message"},
	FaultTooLarge:        {"too_large", 513, "Message Too Large"},
	FaultTooManyHeaders:  {"too_many_headers", 513, "Too Many Headers"},
	FaultLineTooLong:     {"line_too_long", 513, "Header Too Long"},
	FaultStartLine:       {"start_line", 400, "Malformed Start Line"},
	FaultVersion:         {"version", 505, "Version Not Supported"},
	FaultMethod:          {"method", 400, "Malformed Method"},
	FaultRequestURI:      {"request_uri", 400, "Malformed Request-URI"},
	FaultStatus:          {"status", 400, "Malformed Status Code"},
	FaultLineEnd:         {"line_end", 400, "Malformed Line End"},
	FaultNoHeaderEnd:     {"no_header_end", 400, "Missing Empty Line"},
	FaultHeaderName:      {"header_name", 400, "Malformed Header Name"},
	FaultNUL:             {"nul", 400, "NUL In Header"},
	FaultDuplicate:       {"duplicate", 400, "Duplicate Header"},
	FaultMissing:         {"missing", 400, "Missing Mandatory Header"},
	FaultVia:             {"via", 400, "Malformed Via"},
	FaultFrom:            {"from", 400, "Malformed From"},
	FaultTo:              {"to", 400, "Malformed To"},
	FaultContact:         {"contact", 400, "Malformed Contact"},
	FaultCallID:          {"call_id", 400, "Malformed Call-ID"},
	FaultCSeq:            {"cseq", 400, "Malformed CSeq"},
	FaultCSeqMethod:      {"cseq_method", 400, "CSeq Method Mismatch"},
	FaultMaxForwards:     {"max_forwards", 400, "Malformed Max-Forwards"},
	FaultContentLength:   {"content_length", 400, "Malformed Content-Length"},
	FaultBodyShort:       {"body_short", 400, "Body Shorter Than Content-Length"},
	FaultNoContentLength: {"no_content_length", 400, "Missing Content-Length"},
	FaultStreamStart:     {"stream_start", 400, "Not SIP"},
}

// String returns the fault's label: lower case and underscores, fit for a metric.
func (f Fault) String() string {
	if f >= faultCount {
		return "unknown"
	}
	return faultTexts[f].label
}

// ParseError says why a message was not accepted and what to do about it.
// The values are shared and must not be changed.
type ParseError struct {
	// Status is the answer a UAS owes (400, 505 or 513), 0 where nothing may be
	// answered and the message is dropped: a response, an ACK, or a request
	// without a Via to answer along.
	Status int
	// Reason is a reason phrase that fits Status.
	Reason string
	// Fault is what was wrong; of several the first, save that a wrong version wins.
	Fault Fault
}

// Error returns status, label and reason. It never quotes the message.
func (e *ParseError) Error() string {
	return fmt.Sprintf("sip: %s: %s (status %d)", e.Fault, e.Reason, e.Status)
}

// answers and drops hold one value for each fault, so that refusing garbage
// allocates as little as accepting a message.
var (
	answers = faultErrors(true)
	drops   = faultErrors(false)
)

func faultErrors(answer bool) (t [faultCount]*ParseError) {
	for f, text := range faultTexts {
		t[f] = &ParseError{Reason: text.reason, Fault: Fault(f)}
		if answer {
			t[f].Status = text.status
		}
	}
	return t
}
