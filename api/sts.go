package api

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"carillon/restjson"
	"carillon/sigv4"
	"carillon/trunk"
)

// What of AWS's Security Token Service is answered: who am I. Clients ask it before anything else. It speaks the Query
// protocol, a form in and XML out, and its own names of errors.
const (
	// stsService is the service in a credential scope.
	stsService = "sts"
	// stsPath is the row's path, and the base path under which any host answers.
	stsPath    = "/sts"
	stsVersion = "2011-06-15"
	stsSpace   = "https://sts.amazonaws.com/doc/" + stsVersion + "/"
	// maxForm is the longest form in bytes; a real one has 43.
	maxForm = 16 << 10
	// maxQuoted is how many bytes of a parameter an answer repeats: strangers must not choose how long that is.
	maxQuoted = 64
)

func stsRows() []row {
	return []row{{
		name: "GetCallerIdentity", action: "sts:GetCallerIdentity", service: stsService, status: http.StatusOK,
		route: post(stsPath, "Action", "GetCallerIdentity"), resource: everything, handle: getCallerIdentity,
		// As at AWS: who is refused here could not even find out as whom.
		unrestricted: true,
	}}
}

// everything is the resource of operations that act on none.
func everything(*request) string { return "*" }

// speaksSTS tells whether a request is for STS: by its base path or, at the root, where no other operation is, by its
// host or the service that it says it is signed for. A lie leads to an operation that the signature does not open.
func speaksSTS(h *http.Request) bool {
	switch h.URL.EscapedPath() {
	case stsPath, stsPath + "/":
		return true
	case "", "/":
		first, _, ok := strings.Cut(strings.ToLower(h.Host), ".")
		return ok && (first == "sts" || first == "sts-fips") || sigv4.ClaimedService(h) == stsService
	}
	return false
}

// queryFault is a refusal in the words of the Query protocol.
type queryFault struct{ code, message string }

// Error returns the sentence for the client.
func (f *queryFault) Error() string { return f.message }

// routeSTS finds the row of the form's Action, which comes in the body or in the query.
func (r *request) routeSTS() error {
	if len(r.body) > maxForm {
		return &queryFault{"ValidationError", fmt.Sprintf("The request is longer than %d bytes.", maxForm)}
	}
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return &queryFault{"MalformedQueryString", "The form in the request's body is malformed."}
	}
	value := func(name string) (string, error) {
		all := append(append([]string(nil), r.query[name]...), form[name]...)
		switch len(all) {
		case 0:
			return "", nil
		case 1:
			return all[0], nil
		}
		return "", &queryFault{"MalformedQueryString", name + " is there more than once."}
	}
	action, err := value("Action")
	if err != nil {
		return err
	}
	version, err := value("Version")
	if err != nil {
		return err
	}
	if action == "" {
		return &queryFault{"MissingAction", "The request must have the parameter Action."}
	}
	// AWS takes both methods for every action; the row has one.
	method := r.http.Method
	if method == http.MethodGet {
		method = http.MethodPost
	}
	match, err := r.server.router.Match(method, stsPath, url.Values{"Action": {action}})
	if err != nil || version != stsVersion {
		if version == "" {
			version = "NO_VERSION_SPECIFIED"
		}
		return &queryFault{"InvalidAction", "Could not find operation " + quoted(action) + " for version " + quoted(version)}
	}
	r.row, r.labels = &r.server.rows[match.Route], match.Labels
	return nil
}

// quoted returns the beginning of a parameter.
func quoted(s string) string {
	if len(s) > maxQuoted {
		return strings.ToValidUTF8(s[:maxQuoted], "") + "..."
	}
	return s
}

// callerIdentity is the answer of GetCallerIdentity.
type callerIdentity struct {
	XMLName xml.Name `xml:"GetCallerIdentityResponse"`
	Space   string   `xml:"xmlns,attr"`
	ARN     string   `xml:"GetCallerIdentityResult>Arn"`
	UserID  string   `xml:"GetCallerIdentityResult>UserId"`
	Account string   `xml:"GetCallerIdentityResult>Account"`
	Request string   `xml:"ResponseMetadata>RequestId"`
}

func getCallerIdentity(r *request) (any, error) {
	p := r.principal
	return &callerIdentity{Space: stsSpace, ARN: p.ARN, UserID: p.AccessKeyID, Account: p.Account, Request: r.id}, nil
}

// queryError is an error answer of the Query protocol.
type queryError struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	Space   string   `xml:"xmlns,attr"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
	Request string   `xml:"RequestId"`
}

// writeSTS writes an answer, or the exception e where body is nil.
func (r *request) writeSTS(w http.ResponseWriter, body any, e restjson.Exception) error {
	status := http.StatusOK
	if body == nil {
		status = e.Status
		side := "Sender"
		if status >= http.StatusInternalServerError {
			side = "Receiver"
		}
		body = &queryError{Space: stsSpace, Type: side, Code: e.Code, Message: e.Message, Request: r.id}
	}
	text, err := xml.MarshalIndent(body, "", "  ")
	if err != nil {
		return fmt.Errorf("marshal %T: %w", body, err)
	}
	text = append(text, '\n')
	h := w.Header()
	h.Set(restjson.HeaderRequestID, r.id)
	h.Set("Content-Type", "text/xml")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// stsException translates an error into the words of STS. Code and Type of the result are the same.
func stsException(err error) restjson.Exception {
	var (
		signature *sigv4.Error
		fault     *queryFault
		throttled *throttledError
	)
	answer := func(status int, code, message string) restjson.Exception {
		return restjson.Exception{Status: status, Type: code, Code: code, Message: message}
	}
	switch {
	case errors.As(err, &signature):
		status, code := stsFault(signature.Fault)
		if signature.Fault == sigv4.MissingAuthenticationToken {
			return answer(status, code, "Request is missing Authentication Token")
		}
		return answer(status, code, signature.Message)
	case errors.As(err, &fault):
		return answer(http.StatusBadRequest, fault.code, fault.message)
	case errors.As(err, &throttled), trunk.KindOf(err) == trunk.Throttled:
		return answer(http.StatusBadRequest, "Throttling", (&throttledError{}).Error())
	case isRequestFault(err):
		return answer(http.StatusBadRequest, "ValidationError", err.Error())
	case trunk.KindOf(err) == trunk.Unavailable, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return answer(http.StatusServiceUnavailable, "ServiceUnavailable", "The request cannot be answered now. Try again.")
	}
	return answer(http.StatusInternalServerError, "InternalFailure", unexpected)
}

// stsFault returns status and code of a signature that is refused: services of the Query protocol have other names for
// the same than those of REST-JSON.
func stsFault(f sigv4.Fault) (status int, code string) {
	switch f {
	case sigv4.MissingAuthenticationToken:
		return http.StatusForbidden, "MissingAuthenticationToken"
	case sigv4.IncompleteSignature, sigv4.AmbiguousCredentials:
		return http.StatusBadRequest, "IncompleteSignature"
	case sigv4.UnrecognizedClient, sigv4.InvalidToken:
		return http.StatusForbidden, "InvalidClientTokenId"
	case sigv4.ExpiredToken:
		return http.StatusForbidden, "ExpiredToken"
	}
	return http.StatusForbidden, "SignatureDoesNotMatch"
}
