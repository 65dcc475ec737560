package sdp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors of ParseCrypto. None of them repeats text of the line: it may hold a key.
var (
	// ErrCrypto: the line does not follow the grammar of RFC 4568 section 9.2.
	ErrCrypto = errors.New("sdp: malformed a=crypto")
	// ErrCryptoParameter: a session parameter that weakens the protection or that we do not know and the
	// line insists on. The line cannot be used; the next one may (RFC 4568 section 6.3).
	ErrCryptoParameter = errors.New("sdp: a=crypto has an unusable session parameter")
	// ErrCryptoKey: several keys, a key that is not inline, or an unusable lifetime or MKI.
	ErrCryptoKey = errors.New("sdp: a=crypto has an unusable key parameter")
)

// Bounds of a=crypto.
const (
	// MaxCryptoLine is the longest a=crypto value read, in bytes.
	MaxCryptoLine = 512
	// MaxCryptoLines is how many a=crypto lines of one media section are read; later ones are ignored.
	MaxCryptoLines = 16
	// maxMKI is the longest master key identifier, in bytes (RFC 4568 section 6.1).
	maxMKI = 128
)

// Crypto is one a=crypto line (RFC 4568). It formats without its key.
type Crypto struct {
	// Tag tells the lines of a media section apart; 0 to 999999999.
	Tag int
	// Suite is the crypto suite in the spelling of the line.
	Suite string
	// KeySalt is the master key followed by the master salt.
	KeySalt Secret
	// MKI is the master key identifier that each packet carries, empty for none.
	MKI []byte
}

// ParseCrypto reads the value of an a=crypto line, what follows "a=crypto:". The tag and the suite are
// returned with errors that concern the rest of the line.
func ParseCrypto(line Secret) (Crypto, error) {
	if len(line) > MaxCryptoLine {
		return Crypto{}, ErrCrypto
	}
	fields := strings.Fields(string(line))
	if len(fields) < 3 || len(fields[0]) > 9 || !digits(fields[0]) {
		return Crypto{}, ErrCrypto
	}
	tag, err := strconv.Atoi(fields[0])
	if err != nil {
		return Crypto{}, ErrCrypto
	}
	c := Crypto{Tag: tag, Suite: fields[1]}
	if err := c.parseKey(fields[2]); err != nil {
		return c, err
	}
	for _, p := range fields[3:] {
		if !harmless(p) {
			return c, ErrCryptoParameter
		}
	}
	return c, nil
}

func (c *Crypto) parseKey(param string) error {
	const method = "inline:"
	if len(param) <= len(method) || !strings.EqualFold(param[:len(method)], method) || strings.Contains(param, ";") {
		return ErrCryptoKey
	}
	parts := strings.Split(param[len(method):], "|")
	if len(parts) > 3 {
		return ErrCryptoKey
	}
	// RFC 4568 section 6.1 asks for padding; enough devices leave it out.
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	if err != nil || len(key) == 0 {
		return ErrCryptoKey
	}
	lifetime, mki := "", ""
	switch rest := parts[1:]; {
	case len(rest) == 2:
		lifetime, mki = rest[0], rest[1]
	case len(rest) == 1 && strings.Contains(rest[0], ":"):
		mki = rest[0]
	case len(rest) == 1:
		lifetime = rest[0]
	}
	if len(parts) > 1 && lifetime == "" && mki == "" || lifetime != "" && !validLifetime(lifetime) {
		return ErrCryptoKey
	}
	if mki != "" {
		if c.MKI, err = parseMKI(mki); err != nil {
			return err
		}
	}
	c.KeySalt = key
	return nil
}

// validLifetime takes a number of packets or a power of two, up to the 2^48 of RFC 3711 section 9.2.
func validLifetime(s string) bool {
	if exp, ok := strings.CutPrefix(s, "2^"); ok {
		n, err := strconv.ParseUint(exp, 10, 8)
		return err == nil && digits(exp) && n <= 48
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && digits(s) && n > 0 && n <= 1<<48
}

// parseMKI reads "value:length" as a big-endian number of length bytes.
func parseMKI(s string) ([]byte, error) {
	value, length, ok := strings.Cut(s, ":")
	n, errLength := strconv.ParseUint(length, 10, 8)
	v, errValue := strconv.ParseUint(value, 10, 64)
	if !ok || errLength != nil || errValue != nil || !digits(value) || !digits(length) || n == 0 || n > maxMKI {
		return nil, ErrCryptoKey
	}
	mki := make([]byte, n)
	for i := len(mki) - 1; i >= 0 && v > 0; i-- {
		mki[i], v = byte(v), v>>8
	}
	if v > 0 {
		return nil, ErrCryptoKey
	}
	return mki, nil
}

// harmless reports whether a line with session parameter p can be used: a window hint
// or an extension that says of itself that it may be ignored (RFC 4568 section 6.3.7).
func harmless(p string) bool {
	if strings.HasPrefix(p, "-") {
		return len(p) > 1
	}
	name, value, _ := strings.Cut(p, "=")
	switch strings.ToUpper(name) {
	case "WSH":
		return digits(value)
	default:
		// KDR asks for keys derived anew every so many packets; UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP and
		// UNAUTHENTICATED_SRTP ask for no protection; FEC_KEY for a second key. None is built.
		return false
	}
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Line returns the a=crypto line without its line end. The result is secret.
func (c Crypto) Line() string {
	return "a=crypto:" + strconv.Itoa(c.Tag) + " " + c.Suite + " inline:" + base64.StdEncoding.EncodeToString(c.KeySalt)
}

// String returns tag and suite.
func (c Crypto) String() string { return fmt.Sprintf("%d %s", c.Tag, c.Suite) }
