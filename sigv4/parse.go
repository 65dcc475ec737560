package sigv4

import (
	"net/http"
	"strings"
	"time"
)

// Names of the protocol.
const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"

	headerDate    = "X-Amz-Date"
	headerToken   = "X-Amz-Security-Token"
	headerBodySHA = "X-Amz-Content-Sha256"

	dateLayout = "20060102T150405Z"
	dayLayout  = "20060102"
)

// Bounds on what a client may send, far above what any SDK does. They keep the work on a request that is not yet
// authenticated small.
const (
	maxSignedHeaders = 64
	maxScopePart     = 128
	maxQueryPairs    = 256
)

// claim is what a request says about its own signature.
type claim struct {
	accessKeyID          string
	day, region, service string
	scope                string // day/region/service/aws4_request
	signedHeaders        string
	signature            string
	date                 string // as signed, in dateLayout
	moment               time.Time
	token                string
	expires              time.Duration // of the query form; 0 if not given
	presigned            bool
}

// readClaim finds the credentials of a request in its header or its query. pairs is the decoded query.
func readClaim(r *http.Request, pairs []pair) (claim, *Error) {
	headers := r.Header["Authorization"]
	presigned := hasPair(pairs, "X-Amz-Algorithm") || hasPair(pairs, "X-Amz-Signature") || hasPair(pairs, "X-Amz-Credential")
	switch {
	case presigned && len(headers) > 0:
		return claim{}, refuse(AmbiguousCredentials, msgAmbiguous)
	case presigned:
		return readQueryClaim(pairs)
	case len(headers) == 0:
		return claim{}, refuse(MissingAuthenticationToken, msgMissing)
	case len(headers) > 1:
		return claim{}, refuse(IncompleteSignature, "Only one Authorization header is allowed.")
	}
	c, err := parseAuthorization(headers[0])
	if err != nil {
		return claim{}, err
	}
	if err := c.readHeaderDate(r.Header); err != nil {
		return claim{}, err
	}
	c.token = r.Header.Get(headerToken)
	return c, nil
}

// ClaimedService returns the service in the credential scope of a request, in either form; empty if it has none or is
// malformed. It says what the client meant and nothing about who it is: nothing is verified.
func ClaimedService(r *http.Request) string {
	_, query := requestTarget(r)
	pairs, err := parseQuery(query)
	if err != nil {
		return ""
	}
	c, err := readClaim(r, pairs)
	if err != nil {
		return ""
	}
	return c.service
}

// parseAuthorization parses "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…". The space after the commas
// is optional, the order free.
func parseAuthorization(header string) (claim, *Error) {
	scheme, rest, found := strings.Cut(strings.TrimSpace(header), " ")
	if scheme != algorithm {
		return claim{}, refuse(IncompleteSignature, "Unsupported AWS 'algorithm': the Authorization header must begin with '"+algorithm+"'.")
	}
	if !found {
		return claim{}, refuse(IncompleteSignature, "Authorization header requires 'Credential' parameter.")
	}
	var credential string
	var c claim
	for rest != "" {
		var field string
		field, rest, _ = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok {
			return claim{}, refuse(IncompleteSignature, "Authorization header holds a part that is not a valid key=value pair (missing equal-sign).")
		}
		var to *string
		switch name {
		case "Credential":
			to = &credential
		case "SignedHeaders":
			to = &c.signedHeaders
		case "Signature":
			to = &c.signature
		default:
			return claim{}, refuse(IncompleteSignature, "Authorization header holds an unknown parameter.")
		}
		if *to != "" {
			return claim{}, refuse(IncompleteSignature, "Authorization header holds '"+name+"' more than once.")
		}
		*to = value
	}
	if credential == "" {
		return claim{}, refuse(IncompleteSignature, "Authorization header requires 'Credential' parameter.")
	}
	return c, c.check(credential, "Authorization header")
}

// readQueryClaim reads the query form.
func readQueryClaim(pairs []pair) (claim, *Error) {
	var credential, alg, expires string
	c := claim{presigned: true}
	for _, field := range []struct {
		name string
		to   *string
	}{
		{"X-Amz-Algorithm", &alg}, {"X-Amz-Credential", &credential}, {"X-Amz-Date", &c.date}, {"X-Amz-Expires", &expires},
		{"X-Amz-SignedHeaders", &c.signedHeaders}, {"X-Amz-Signature", &c.signature}, {"X-Amz-Security-Token", &c.token},
	} {
		n := 0
		for _, p := range pairs {
			if p.name == field.name {
				n, *field.to = n+1, p.value
			}
		}
		if n > 1 {
			return claim{}, refuse(IncompleteSignature, "AWS query-string parameters must not include '"+field.name+"' more than once.")
		}
	}
	if alg != algorithm {
		return claim{}, refuse(IncompleteSignature, "Unsupported AWS 'algorithm': X-Amz-Algorithm must be '"+algorithm+"'.")
	}
	if credential == "" || c.date == "" {
		return claim{}, refuse(IncompleteSignature, "AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-SignedHeaders' and 'X-Amz-Date'.")
	}
	if err := c.check(credential, "AWS query string"); err != nil {
		return claim{}, err
	}
	if expires != "" {
		seconds, ok := digits(expires, len("604800"))
		if !ok || seconds < 1 || seconds > int(maxExpires/time.Second) {
			return claim{}, refuse(IncompleteSignature, "X-Amz-Expires must be a number of seconds from 1 to 604800.")
		}
		c.expires = time.Duration(seconds) * time.Second
	}
	return c, c.parseDate()
}

// check splits the credential and looks at the form of every part, naming the first that is wrong. where is "Authorization
// header" or "AWS query string".
func (c *claim) check(credential, where string) *Error {
	if c.signature == "" {
		return refuse(IncompleteSignature, where+" requires 'Signature' parameter.")
	}
	if len(c.signature) != 64 || !isLowerHex(c.signature) {
		return refuse(IncompleteSignature, "'Signature' in the "+where+" must be 64 hexadecimal digits in lower case.")
	}
	if c.signedHeaders == "" {
		return refuse(IncompleteSignature, where+" requires 'SignedHeaders' parameter.")
	}
	if err := checkSignedHeaders(c.signedHeaders); err != nil {
		return err
	}
	// An access key id has no slash, so the first one ends it.
	id, scope, _ := strings.Cut(credential, "/")
	part := strings.Split(scope, "/")
	if len(part) != 4 || id == "" || len(id) > maxScopePart {
		return refuse(IncompleteSignature, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	for _, p := range part {
		if p == "" || len(p) > maxScopePart {
			return refuse(IncompleteSignature, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
		}
	}
	if part[3] != terminator {
		return refuse(InvalidCredentialScope, "Credential should be scoped with a valid terminator: '"+terminator+"'.")
	}
	c.accessKeyID, c.day, c.region, c.service, c.scope = id, part[0], part[1], part[2], scope
	return nil
}

// checkSignedHeaders wants header names in lower case, ascending, host among them.
func checkSignedHeaders(list string) *Error {
	previous, host, n := "", false, 0
	for name := range strings.SplitSeq(list, ";") {
		if n++; n > maxSignedHeaders {
			return refuse(IncompleteSignature, "'SignedHeaders' names too many headers.")
		}
		if name <= previous || !isLowerToken(name) {
			return refuse(IncompleteSignature, "'SignedHeaders' must be header names in lower case, sorted, each once, with ';' between them.")
		}
		previous = name
		host = host || name == "host"
	}
	if !host {
		return refuse(IncompleteSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// readHeaderDate takes the date of the header form: X-Amz-Date, else Date in any form HTTP allows.
func (c *claim) readHeaderDate(h http.Header) *Error {
	c.date = h.Get(headerDate)
	if c.date != "" {
		return c.parseDate()
	}
	date := h.Get("Date")
	if date == "" {
		return refuse(IncompleteSignature, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if moment, err := http.ParseTime(date); err == nil {
		c.moment = moment.UTC()
		c.date = c.moment.Format(dateLayout)
		return nil
	}
	c.date = date
	return c.parseDate()
}

func (c *claim) parseDate() *Error {
	moment, err := time.Parse(dateLayout, c.date)
	if err != nil {
		return refuse(IncompleteSignature, "Date must be in ISO-8601 'basic format', like '20150830T123600Z'.")
	}
	c.moment = moment
	return nil
}

// digits parses up to limit decimal digits.
func digits(s string, limit int) (n int, ok bool) {
	if s == "" || len(s) > limit {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isLowerToken reports whether s is a header name (RFC 9110 section 5.6.2) without capitals.
func isLowerToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
