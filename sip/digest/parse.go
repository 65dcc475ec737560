package digest

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds on one header value; a longer one is refused before it is read.
const (
	MaxValueLen = 2048 // octets
	MaxParams   = 32   // parameters; one more is refused
)

// Errors of ParseCredentials and ParseChallenge.
var (
	ErrScheme    = errors.New("not a Digest value")
	ErrMalformed = errors.New("malformed digest value")
	ErrDuplicate = errors.New("digest parameter given twice")
)

// Credentials is the value of an Authorization or Proxy-Authorization field (RFC 7616 §3.4). Fields are plain texts
// without quotes, "" when absent.
type Credentials struct {
	Username  string
	Realm     string
	Nonce     string
	URI       string // digest-uri
	Response  string // hex, as written
	Algorithm string // as written; see ParseAlgorithm
	CNonce    string // client nonce
	QOP       string // one value, not a list
	NC        string // nonce count: 8 hex digits where well-formed
	Opaque    string
	UserHash  bool // userhash=true or username*=…: forms this package does not look up
}

// Challenge is the value of a WWW-Authenticate or Proxy-Authenticate field (RFC 7616 §3.3).
type Challenge struct {
	Realm     string
	Nonce     string
	Opaque    string // to be sent back as it is
	Algorithm string // as written; "" means MD5
	QOP       string // as written: a comma-separated list, "" when absent
	Stale     bool   // the password was right, only the nonce is not good any more
}

// ParseCredentials reads one Authorization or Proxy-Authorization value.
//
// Tolerant where phones differ: any case, any white space, empty list elements, quoted or unquoted values, unknown
// parameters. Strict where a doubt helps an attacker: a parameter given twice (two readers would pick different ones),
// control characters, unterminated quotes, and a backslash in a value that is hashed (RFC 7616 leaves open whether it
// is hashed with or without). Errors wrap ErrScheme, ErrMalformed or ErrDuplicate and quote nothing of the value.
func ParseCredentials(value []byte) (Credentials, error) {
	var c Credentials
	err := eachParam(value, func(name, val string, escaped bool) error {
		switch name {
		case "username":
			c.Username = unescape(val, escaped)
		case "realm":
			c.Realm = unescape(val, escaped)
		case "nonce":
			return literal(&c.Nonce, val, escaped)
		case "uri":
			return literal(&c.URI, val, escaped)
		case "response":
			return literal(&c.Response, val, escaped)
		case "algorithm":
			return token(&c.Algorithm, val)
		case "cnonce":
			return literal(&c.CNonce, val, escaped)
		case "qop":
			return token(&c.QOP, val)
		case "nc":
			return token(&c.NC, val)
		case "opaque":
			c.Opaque = unescape(val, escaped)
		case "userhash":
			c.UserHash = c.UserHash || strings.EqualFold(val, "true")
		case "username*":
			c.UserHash = true
		}
		return nil
	})
	return c, err
}

// ParseChallenge reads one WWW-Authenticate or Proxy-Authenticate value, with the same tolerance and the same errors as
// ParseCredentials.
func ParseChallenge(value []byte) (Challenge, error) {
	var c Challenge
	err := eachParam(value, func(name, val string, escaped bool) error {
		switch name {
		case "realm":
			c.Realm = unescape(val, escaped)
		case "nonce":
			return literal(&c.Nonce, val, escaped)
		case "opaque":
			c.Opaque = unescape(val, escaped)
		case "algorithm":
			return token(&c.Algorithm, val)
		case "qop":
			return literal(&c.QOP, val, escaped)
		case "stale":
			c.Stale = strings.EqualFold(val, "true")
		}
		return nil
	})
	return c, err
}

// AppendTo appends the credentials as a header value. Values are quoted and escaped as RFC 3261 §25.1 has them:
// Algorithm, QOP and NC must be tokens, the rest become quoted strings.
func (c *Credentials) AppendTo(dst []byte) []byte {
	dst = append(dst, "Digest username="...)
	dst = appendQuoted(dst, c.Username)
	dst = appendQuoted(append(dst, ", realm="...), c.Realm)
	dst = appendQuoted(append(dst, ", nonce="...), c.Nonce)
	dst = appendQuoted(append(dst, ", uri="...), c.URI)
	dst = appendQuoted(append(dst, ", response="...), c.Response)
	if c.Algorithm != "" {
		dst = append(append(dst, ", algorithm="...), c.Algorithm...)
	}
	if c.QOP != "" {
		dst = appendQuoted(append(dst, ", cnonce="...), c.CNonce)
		dst = append(append(dst, ", qop="...), c.QOP...)
		dst = append(append(dst, ", nc="...), c.NC...)
	}
	if c.Opaque != "" {
		dst = appendQuoted(append(dst, ", opaque="...), c.Opaque)
	}
	return dst
}

// AppendTo appends the challenge as a header value. Algorithm must be a token.
func (c *Challenge) AppendTo(dst []byte) []byte {
	dst = appendQuoted(append(dst, "Digest realm="...), c.Realm)
	dst = appendQuoted(append(dst, ", nonce="...), c.Nonce)
	if c.Opaque != "" {
		dst = appendQuoted(append(dst, ", opaque="...), c.Opaque)
	}
	if c.Stale {
		dst = append(dst, ", stale=true"...)
	}
	if c.Algorithm != "" {
		dst = append(append(dst, ", algorithm="...), c.Algorithm...)
	}
	if c.QOP != "" {
		dst = appendQuoted(append(dst, ", qop="...), c.QOP)
	}
	return dst
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// literal takes a value that is hashed as written.
func literal(dst *string, val string, escaped bool) error {
	if escaped {
		return fmt.Errorf("%w: quoted-pair in a hashed parameter", ErrMalformed)
	}
	*dst = val
	return nil
}

// token takes a value that AppendTo writes without quotes, so that `"MD5, username=x"` cannot become a second parameter.
func token(dst *string, val string) error {
	if _, rest := readToken(val); val == "" || rest != "" {
		return fmt.Errorf("%w: want a token", ErrMalformed)
	}
	*dst = val
	return nil
}

func unescape(val string, escaped bool) string {
	if !escaped {
		return val
	}
	var b strings.Builder
	for i := 0; i < len(val); i++ {
		if val[i] == '\\' {
			i++ // readValue made sure that one more octet follows
		}
		b.WriteByte(val[i])
	}
	return b.String()
}

// eachParam splits `Digest name=value, …` and calls f with each lower-cased name and its value without quotes; escaped
// says that the value still holds quoted-pairs.
func eachParam(value []byte, f func(name, val string, escaped bool) error) error {
	if len(value) > MaxValueLen {
		return fmt.Errorf("%w: longer than %d octets", ErrMalformed, MaxValueLen)
	}
	rest := strings.TrimLeft(string(value), " \t\r\n")
	const scheme = "digest"
	if len(rest) <= len(scheme) || !strings.EqualFold(rest[:len(scheme)], scheme) || !isSpace(rest[len(scheme)]) {
		return ErrScheme
	}
	rest = rest[len(scheme):]
	seen := make([]string, 0, 16)
	for {
		rest = skipSpace(rest)
		if rest == "" {
			return nil
		}
		if rest[0] == ',' { // empty list elements are legal (RFC 9110 §5.6.1) and sent
			rest = rest[1:]
			continue
		}
		name, after := readToken(rest)
		after = skipSpace(after)
		if name == "" || after == "" || after[0] != '=' {
			return fmt.Errorf("%w: want name=value", ErrMalformed)
		}
		val, escaped, after, err := readValue(skipSpace(after[1:]))
		if err != nil {
			return err
		}
		name = strings.ToLower(name)
		for _, s := range seen {
			if s == name {
				return ErrDuplicate
			}
		}
		if len(seen) == MaxParams {
			return fmt.Errorf("%w: more than %d parameters", ErrMalformed, MaxParams)
		}
		seen = append(seen, name)
		if err := f(name, val, escaped); err != nil {
			return err
		}
		rest = skipSpace(after)
		if rest != "" && rest[0] != ',' {
			return fmt.Errorf("%w: want a comma between parameters", ErrMalformed)
		}
	}
}

// readValue reads a token or a quoted-string.
func readValue(s string) (val string, escaped bool, rest string, err error) {
	if s == "" || s[0] != '"' {
		val, rest = readToken(s)
		if val == "" {
			return "", false, "", fmt.Errorf("%w: empty value", ErrMalformed)
		}
		return val, false, rest, nil
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[1:i], escaped, s[i+1:], nil
		case c == '\\':
			escaped = true
			i++
			if i < len(s) && (s[i] < ' ' || s[i] == 0x7f) {
				return "", false, "", fmt.Errorf("%w: control character", ErrMalformed)
			}
		case c < ' ' && c != '\t', c == 0x7f:
			return "", false, "", fmt.Errorf("%w: control character", ErrMalformed)
		}
	}
	return "", false, "", fmt.Errorf("%w: quote not closed", ErrMalformed)
}

// readToken takes the octets some phone has sent unquoted: the token characters of RFC 3261 §25.1 and those of a URI or
// base64 text, never separators.
func readToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && isTokenByte(s[i]) {
		i++
	}
	// A token that runs up to "=" is a name; "=" inside a value is base64 padding and belongs in quotes.
	return s[:i], s[i:]
}

func isTokenByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`",=\<>()[]{}?`, rune(c))
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipSpace skips linear white space. CR and LF can only be folding here: the message parser has already split lines.
func skipSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}
