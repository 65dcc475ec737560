package sigv4

import "net/http"

// Fault is a reason to refuse a request.
type Fault uint8

// The faults. Each has its own sentence; [Fault.Exception] is what clients see as the error's type.
const (
	MissingAuthenticationToken Fault = iota + 1 // not signed at all
	IncompleteSignature                         // a part is missing or malformed
	AmbiguousCredentials                        // credentials both in the header and in the query
	InvalidCredentialScope                      // signed for another day, service or protocol
	SignatureExpired                            // signed too long ago
	SignatureNotYetCurrent                      // signed too far in the future
	BodyHashMismatch                            // x-amz-content-sha256 is not the body's hash
	UnrecognizedClient                          // no such access key
	InvalidSignature                            // the signature is another one
	InvalidToken                                // the session token is missing, or not the key's
	ExpiredToken                                // the temporary key has expired
	faultEnd
)

// faultRow is what a fault is on the wire.
type faultRow struct {
	name, exception string
	status          int
}

// faults is never written. The exceptions are those REST-JSON services of AWS answer; RequestExpired and
// SignatureDoesNotMatch of the older pages are the names of the Query protocol for the same.
var faults = [faultEnd]faultRow{
	MissingAuthenticationToken: {"MissingAuthenticationToken", "MissingAuthenticationTokenException", http.StatusForbidden},
	IncompleteSignature:        {"IncompleteSignature", "IncompleteSignatureException", http.StatusForbidden},
	AmbiguousCredentials:       {"AmbiguousCredentials", "IncompleteSignatureException", http.StatusForbidden},
	InvalidCredentialScope:     {"InvalidCredentialScope", "InvalidSignatureException", http.StatusForbidden},
	SignatureExpired:           {"SignatureExpired", "InvalidSignatureException", http.StatusForbidden},
	SignatureNotYetCurrent:     {"SignatureNotYetCurrent", "InvalidSignatureException", http.StatusForbidden},
	BodyHashMismatch:           {"BodyHashMismatch", "XAmzContentSHA256Mismatch", http.StatusBadRequest},
	UnrecognizedClient:         {"UnrecognizedClient", "UnrecognizedClientException", http.StatusForbidden},
	InvalidSignature:           {"InvalidSignature", "InvalidSignatureException", http.StatusForbidden},
	InvalidToken:               {"InvalidToken", "InvalidClientTokenId", http.StatusForbidden},
	ExpiredToken:               {"ExpiredToken", "ExpiredTokenException", http.StatusForbidden},
}

// Faults returns all faults, for tables that must be total.
func Faults() []Fault {
	all := make([]Fault, 0, faultEnd-1)
	for f := MissingAuthenticationToken; f < faultEnd; f++ {
		all = append(all, f)
	}
	return all
}

// String returns the fault's name, for logs and metrics.
func (f Fault) String() string {
	if f == 0 || f >= faultEnd {
		return "Fault(?)"
	}
	return faults[f].name
}

// Exception returns the x-amzn-ErrorType of the answer.
func (f Fault) Exception() string { return faults[f%faultEnd].exception }

// Status returns the HTTP status of the answer.
func (f Fault) Status() int { return faults[f%faultEnd].status }

// Error is a refused request.
type Error struct {
	// Fault is the broken rule.
	Fault Fault
	// Message is the sentence for the client. It quotes dates and the expected service, never what the client sent as
	// key, signature or token.
	Message string
}

// Error returns fault and sentence.
func (e *Error) Error() string { return e.Fault.String() + ": " + e.Message }

func refuse(fault Fault, message string) *Error {
	return &Error{Fault: fault, Message: message}
}

// The sentences of AWS services that clients and their users look for.
const (
	msgMissing      = "Missing Authentication Token"
	msgAmbiguous    = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header should be specified"
	msgMismatch     = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	msgInvalidToken = "The security token included in the request is invalid."
	msgExpiredToken = "The security token included in the request is expired"
	msgBodyHash     = "The provided 'x-amz-content-sha256' header does not match what was computed."
)
