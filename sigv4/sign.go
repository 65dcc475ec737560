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

// Sign signs a request in the header form: it sets X-Amz-Date, X-Amz-Content-Sha256, X-Amz-Security-Token and
// Authorization. body is what r.Body will send; Sign does not read it. Headers set afterwards are not signed.
func Sign(r *http.Request, body []byte, with Credentials, scope Scope, now time.Time) {
	bodyHash := string(hashHex(nil, body))
	date := now.UTC().Format(dateLayout)
	r.Header.Del("Authorization")
	r.Header.Set(headerDate, date)
	r.Header.Set(headerBodySHA, bodyHash)
	if with.SessionToken != "" {
		r.Header.Set(headerToken, with.SessionToken)
	}
	names := []string{"host"}
	for name := range r.Header {
		// Proxies rewrite the one, net/http writes the other itself.
		if lower := strings.ToLower(name); lower != "user-agent" && lower != "content-length" {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	path, query := requestTarget(r)
	// A request with too many parameters to verify is signed as it is; the server says so.
	pairs, _ := parseQuery(query)
	c := claim{
		day: date[:len(dayLayout)], date: date, signedHeaders: strings.Join(names, ";"),
	}
	c.scope = strings.Join([]string{c.day, scope.Region, scope.Service, terminator}, "/")
	signed := canonical{
		method: r.Method, path: path, pairs: pairs, header: r.Header, host: host, length: -1,
		signed: c.signedHeaders, bodyHash: bodyHash,
	}
	key := deriveKey(with.SecretAccessKey, c.day, scope.Region, scope.Service)
	mac := hmacSHA256(key[:], stringToSign(nil, &c, signed.append(nil)))
	signature := make([]byte, 0, 2*sha256.Size)
	signature = hex.AppendEncode(signature, mac[:])
	r.Header.Set("Authorization", algorithm+" Credential="+with.AccessKeyID+"/"+c.scope+
		", SignedHeaders="+c.signedHeaders+", Signature="+string(signature))
}
