package sigv4

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// pair is one decoded query parameter.
type pair struct{ name, value string }

// parseQuery splits a raw query. A malformed escape stays as it is: whoever reads the parameters refuses it, and here
// it only makes a signature that nobody computed.
func parseQuery(raw string) ([]pair, *Error) {
	if raw == "" {
		return nil, nil
	}
	if strings.Count(raw, "&") >= maxQueryPairs {
		return nil, refuse(IncompleteSignature, "The query string has too many parameters.")
	}
	pairs := make([]pair, 0, strings.Count(raw, "&")+1)
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{unescape(name), unescape(value)})
	}
	return pairs, nil
}

func hasPair(pairs []pair, name string) bool {
	return slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name })
}

// requestTarget returns path and query of a request as they were sent: net/http rewrites characters a path should not
// have, and a signature covers the original. What is not in origin-form (RFC 9112 section 3.2) is taken as net/http read
// it, so that what is signed is what is routed: a reading of our own would let a target such as x:/one?y=://h/other carry
// the signature of another resource.
func requestTarget(r *http.Request) (path, query string) {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, query, _ = strings.Cut(r.RequestURI, "?")
		return path, query
	}
	if r.URL == nil {
		return "/", ""
	}
	if path = r.URL.EscapedPath(); path == "" {
		path = "/"
	}
	return path, r.URL.RawQuery
}

// validTarget reports whether a request has a target a service may be asked with: a path, or in absolute-form an http
// URL with a host. One that was not received (a client's own) has none yet.
func validTarget(r *http.Request) bool {
	if r.RequestURI == "" || strings.HasPrefix(r.RequestURI, "/") {
		return true
	}
	u := r.URL
	return u != nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Opaque == "" && u.User == nil
}

// canonical is the part of a request that is signed.
type canonical struct {
	method, path string
	pairs        []pair
	header       http.Header
	host         string
	length       int64
	signed       string
	bodyHash     string
	omit         func(name string) bool // query parameters that are not signed; nil for none
	normalize    bool
}

// append writes the canonical request.
func (c *canonical) append(b []byte) []byte {
	b = append(append(b, c.method...), '\n')
	path := c.path
	if c.normalize {
		path = normalizePath(path)
	}
	b = append(appendEscaped(b, path, true), '\n')
	b = append(c.appendQuery(b), '\n')
	for name := range strings.SplitSeq(c.signed, ";") {
		b = append(append(b, name...), ':')
		b = append(c.appendHeader(b, name), '\n')
	}
	b = append(b, '\n')
	b = append(append(b, c.signed...), '\n')
	return append(b, c.bodyHash...)
}

// appendQuery writes the parameters encoded anew, then sorted by encoded name and value.
func (c *canonical) appendQuery(b []byte) []byte {
	if len(c.pairs) == 0 {
		return b
	}
	encoded := make([]pair, 0, len(c.pairs))
	for _, p := range c.pairs {
		if c.omit == nil || !c.omit(p.name) {
			encoded = append(encoded, pair{string(appendEscaped(nil, p.name, false)), string(appendEscaped(nil, p.value, false))})
		}
	}
	slices.SortFunc(encoded, func(x, y pair) int {
		if n := strings.Compare(x.name, y.name); n != 0 {
			return n
		}
		return strings.Compare(x.value, y.value)
	})
	for i, p := range encoded {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, p.name...), '='), p.value...)
	}
	return b
}

// appendHeader writes the values of one header, joined by commas. net/http moves Host, and may move Content-Length,
// out of the header map.
func (c *canonical) appendHeader(b []byte, name string) []byte {
	if name == "host" {
		return appendTrimmed(b, c.host)
	}
	values := c.header[headerKey(name)]
	if len(values) == 0 && name == "content-length" && c.length >= 0 {
		return strconv.AppendInt(b, c.length, 10)
	}
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, value)
	}
	return b
}

// headerKey returns the key in an http.Header of a name in lower case. Package textproto makes a new string for each of
// those it does not know, among them the ones that every client signs.
func headerKey(name string) string {
	switch name {
	case "x-amz-date":
		return headerDate
	case "x-amz-content-sha256":
		return headerBodySHA
	case "x-amz-security-token":
		return headerToken
	case "amz-sdk-invocation-id":
		return "Amz-Sdk-Invocation-Id"
	case "amz-sdk-request":
		return "Amz-Sdk-Request"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// appendTrimmed writes a header value without white space around it and with single spaces inside.
func appendTrimmed(b []byte, value string) []byte {
	value = strings.Trim(value, " \t\r\n")
	space := false
	for i := range len(value) {
		c := value[i]
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			space = true
			continue
		}
		if space {
			b = append(b, ' ')
			space = false
		}
		b = append(b, c)
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// appendEscaped percent-encodes everything but the unreserved characters (RFC 3986 section 2.3) and, in a path, the
// slashes. A '%' of the sent path is encoded again: the double encoding of all services but S3.
func appendEscaped(b []byte, s string, path bool) []byte {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~' || path && c == '/' {
			b = append(b, c)
			continue
		}
		b = append(b, '%', upperHex[c>>4], upperHex[c&15])
	}
	return b
}

// unescape decodes percent-encoding and '+'; what is malformed stays.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) < 16 && unhex(s[i+2]) < 16:
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// unhex returns the value of a hexadecimal digit, 16 or more for any other byte.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// normalizePath removes dot segments (RFC 3986 section 5.2.4) and empty segments.
func normalizePath(path string) string {
	var out []string
	segments := strings.Split(path, "/")
	for _, s := range segments {
		switch s {
		case "", ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, s)
		}
	}
	clean := "/" + strings.Join(out, "/")
	if last := segments[len(segments)-1]; len(out) > 0 && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}
