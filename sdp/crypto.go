package sdp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Errors of ParseCrypto, each with a CryptoError around it.
var (
	// ErrCrypto: the line does not follow the grammar of RFC 4568 section 9.2.
	ErrCrypto = errors.New("sdp: malformed a=crypto")
	// ErrCryptoParameter: a session parameter that weakens the protection or that we do not know and the
	// line insists on. The line cannot be used; the next one may (RFC 4568 section 6.3).
	ErrCryptoParameter = errors.New("sdp: a=crypto has an unusable session parameter")
	// ErrCryptoKey: several keys, a key that is not inline, or an unusable lifetime or MKI.
	ErrCryptoKey = errors.New("sdp: a=crypto has an unusable key parameter")
)

// CryptoError says in plain words why a line cannot be used. None of them are the line's: it may hold a key in any place.
type CryptoError struct {
	// Kind is ErrCrypto, ErrCryptoParameter or ErrCryptoKey.
	Kind error
	// Why is a phrase that can follow the name of the line.
	Why string
}

// Error returns kind and reason.
func (e *CryptoError) Error() string { return e.Kind.Error() + ": " + e.Why }

// Unwrap returns the kind.
func (e *CryptoError) Unwrap() error { return e.Kind }

// Bounds of a=crypto.
const (
	// MaxCryptoLine is the longest a=crypto value read, in bytes.
	MaxCryptoLine = 512
	// MaxCryptoLines is how many a=crypto lines of one media section are read; later ones are ignored.
	MaxCryptoLines = 16
	// maxMKI is the longest master key identifier, in bytes (RFC 4568 section 6.1).
	maxMKI = 128
)

// Tag tells the a=crypto lines of a media section apart: 1 to 9 digits. It stays as it was written, since an answer repeats
// it to a peer that may compare text.
type Tag string

// Is reports whether both are the same number.
func (t Tag) Is(o Tag) bool {
	return t != "" && o != "" && strings.TrimLeft(string(t), "0") == strings.TrimLeft(string(o), "0")
}

// Crypto is one a=crypto line (RFC 4568). It formats without its key.
type Crypto struct {
	// Tag tells the lines of a media section apart.
	Tag Tag
	// Suite is the crypto suite in the spelling of the line.
	Suite string
	// KeySalt is the master key followed by the master salt.
	KeySalt Secret
	// Lifetime is how many SRTP or SRTCP packets the key serves, 0 where the line does not say.
	Lifetime uint64
	// MKI is the master key identifier that each packet carries, empty for none.
	MKI []byte
}

// ParseCrypto reads the value of an a=crypto line, what follows "a=crypto:". The tag and the suite are
// returned with errors that concern the rest of the line.
func ParseCrypto(line Secret) (Crypto, error) {
	if len(line) > MaxCryptoLine {
		return Crypto{}, &CryptoError{ErrCrypto, fmt.Sprintf("it is longer than %d octets", MaxCryptoLine)}
	}
	var few [8]string // most lines have fewer fields
	fields := slices.AppendSeq(few[:0], strings.FieldsSeq(string(line)))
	switch {
	case len(fields) < 3:
		return Crypto{}, &CryptoError{ErrCrypto, "it lacks its tag, its suite or its key"}
	case len(fields[0]) > 9 || !digits(fields[0]):
		return Crypto{}, &CryptoError{ErrCrypto, "its tag is not a number of 1 to 9 digits"}
	}
	c := Crypto{Tag: Tag(fields[0]), Suite: fields[1]}
	if why := c.parseKey(fields[2]); why != "" {
		return c, &CryptoError{ErrCryptoKey, why}
	}
	for _, p := range fields[3:] {
		if why := judgeParameter(p); why != "" {
			return c, &CryptoError{ErrCryptoParameter, why}
		}
	}
	return c, nil
}

// parseKey reads the key parameter and returns why it cannot be used, "" where it can.
func (c *Crypto) parseKey(param string) (why string) {
	const method = "inline:"
	switch {
	case len(param) <= len(method) || !strings.EqualFold(param[:len(method)], method):
		return "its key does not follow the word inline"
	case strings.Contains(param, ";"):
		return "it has several keys, and one is all that can be used"
	}
	var few [4]string
	parts := slices.AppendSeq(few[:0], strings.SplitSeq(param[len(method):], "|"))
	if len(parts) > 3 {
		return "more than lifetime and MKI follow its key"
	}
	// RFC 4568 section 6.1 asks for padding; enough devices leave it out.
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	if err != nil || len(key) == 0 {
		return "its key is not base64"
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
	var ok bool
	if c.Lifetime, ok = parseLifetime(lifetime); !ok || len(parts) > 1 && lifetime == "" && mki == "" {
		return "its lifetime is not a number of packets from 1 to 2^48 without leading zeros"
	}
	if c.MKI, ok = parseMKI(mki); !ok {
		return fmt.Sprintf("its MKI is not a number with a length of 1 to %d octets that it fits into", maxMKI)
	}
	c.KeySalt = key
	return ""
}

// parseLifetime takes a number of packets or a power of two, up to the 2^48 of RFC 3711 section 9.2. RFC 4568 section 6.1
// has a line be invalid as a whole whose lifetime is.
func parseLifetime(s string) (uint64, bool) {
	if s == "" {
		return 0, true
	}
	number, power := strings.CutPrefix(s, "2^")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !digits(number) || len(number) > 1 && number[0] == '0' {
		return 0, false
	}
	if power && n <= 48 {
		n = 1 << n
	} else if power {
		return 0, false
	}
	return n, n > 0 && n <= 1<<48
}

// parseMKI reads "value:length" as a big-endian number of length octets (RFC 4568 section 6.1).
func parseMKI(s string) ([]byte, bool) {
	if s == "" {
		return nil, true
	}
	value, length, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(length, 10, 8)
	if err != nil || !digits(value) || !digits(length) || n == 0 || n > maxMKI {
		return nil, false
	}
	v, ok := new(big.Int).SetString(value, 10)
	if !ok || v.BitLen() > 8*int(n) {
		return nil, false
	}
	return v.FillBytes(make([]byte, n)), true
}

// judgeParameter returns why a line with session parameter p cannot be used, "" where it can: with a window hint, or an
// extension that says of itself that it may be ignored (RFC 4568 section 6.3.7).
func judgeParameter(p string) (why string) {
	if strings.HasPrefix(p, "-") && len(p) > 1 {
		return ""
	}
	name, value, _ := strings.Cut(p, "=")
	switch name = strings.ToUpper(name); name {
	case "WSH":
		if digits(value) {
			return ""
		}
		return "WSH is not a number"
	case "UNENCRYPTED_SRTP":
		return "UNENCRYPTED_SRTP asks for media that anybody can hear"
	case "UNENCRYPTED_SRTCP":
		return "UNENCRYPTED_SRTCP asks for reports that anybody can read"
	case "UNAUTHENTICATED_SRTP":
		return "UNAUTHENTICATED_SRTP asks for media that anybody can forge"
	case "KDR":
		return "KDR asks for session keys that change, which this node does not have"
	case "FEC_KEY", "FEC_ORDER":
		return name + " asks for forward error correction, which this node does not have"
	}
	return "it insists on a session parameter that this node does not know"
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
func (c Crypto) Line() string { return string(c.appendLine(nil)) }

func (c Crypto) appendLine(b []byte) []byte {
	b = append(append(append(b, "a=crypto:"...), c.Tag...), ' ')
	b = append(append(b, c.Suite...), " inline:"...)
	return base64.StdEncoding.AppendEncode(b, c.KeySalt)
}

// String returns tag and suite.
func (c Crypto) String() string { return string(c.Tag) + " " + c.Suite }
