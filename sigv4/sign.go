package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Credentials sign requests.
type Credentials struct {
	// AccessKeyID and SecretAccessKey are the two halves of an access key.
	AccessKeyID, SecretAccessKey string
	// SessionToken of a temporary key; empty otherwise.
	SessionToken string
}

// Scope is what a signature is good for.
type Scope struct {
	// Region and Service as AWS names them: "us-east-1", "chime".
	Region, Service string
}

// Signer signs requests with one access key for one scope. It keeps the key that it derives for a day. Requests are
// signed one at a time.
type Signer struct {
	with  Credentials
	scope Scope
	day   string
	key   [sha256.Size]byte
}

// NewSigner returns a signer.
func NewSigner(with Credentials, scope Scope) *Signer { return &Signer{with: with, scope: scope} }

// Sign signs one request, as the function does.
func Sign(r *http.Request, body []byte, with Credentials, scope Scope, now time.Time) {
	NewSigner(with, scope).Sign(r, body, now)
}

// Sign signs a request in the header form: it sets X-Amz-Date, X-Amz-Content-Sha256, X-Amz-Security-Token and
// Authorization, anew where it was signed before. body is what r.Body will send; Sign does not read it. Headers set
// afterwards are not signed.
func (s *Signer) Sign(r *http.Request, body []byte, now time.Time) {
	bodyHash := string(hashHex(make([]byte, 0, 2*sha256.Size), body))
	date := now.UTC().Format(dateLayout)
	r.Header.Set(headerDate, date)
	r.Header.Set(headerBodySHA, bodyHash)
	if s.with.SessionToken != "" {
		r.Header.Set(headerToken, s.with.SessionToken)
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	path, query := requestTarget(r)
	// A request with too many parameters to verify is signed as it is; the server says so.
	pairs, _ := parseQuery(query)
	c := claim{day: date[:len(dayLayout)], date: date, signedHeaders: signedHeaders(r.Header)}
	c.scope = c.day + "/" + s.scope.Region + "/" + s.scope.Service + "/" + terminator
	signed := canonical{
		method: r.Method, path: path, pairs: pairs, header: r.Header, host: host, length: -1,
		signed: c.signedHeaders, bodyHash: bodyHash,
	}
	if s.day != c.day {
		s.day, s.key = c.day, deriveKey(s.with.SecretAccessKey, c.day, s.scope.Region, s.scope.Service)
	}
	toSign := stringToSign(make([]byte, 0, 512), &c, signed.append(make([]byte, 0, 1<<10)))
	mac := hmacSHA256(s.key[:], toSign)
	r.Header.Set("Authorization", algorithm+" Credential="+s.with.AccessKeyID+"/"+c.scope+
		", SignedHeaders="+c.signedHeaders+", Signature="+hex.EncodeToString(mac[:]))
}

// signedHeaders names what of a header is signed.
func signedHeaders(header http.Header) string {
	names := make([]string, 1, 16)
	names[0] = "host"
	for name := range header {
		switch lower := strings.ToLower(name); lower {
		case "user-agent", "content-length": // proxies rewrite the one, net/http writes the other itself
		case "authorization": // of an earlier signature
		default:
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ";")
}
