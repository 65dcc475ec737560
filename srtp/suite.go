// Package srtp protects and unprotects RTP and RTCP (RFC 3711, RFC 6188, RFC 7714) with keys from session
// descriptions (RFC 4568).
//
// A Sender or Receiver serves one direction of one leg under one master key and belongs to one goroutine.
// Replay protection is always on. The state of a stream changes only after its packet was found authentic,
// and no packet, good or forged, allocates memory once its stream is known.
package srtp

import "strings"

// Suite is a crypto suite of RFC 4568 section 6.2, RFC 6188 or RFC 7714.
type Suite uint8

// The suites, by their IANA names.
const (
	AEAD_AES_128_GCM Suite = iota + 1
	AEAD_AES_256_GCM
	AES_CM_128_HMAC_SHA1_80
	AES_CM_128_HMAC_SHA1_32
	AES_192_CM_HMAC_SHA1_80
	AES_192_CM_HMAC_SHA1_32
	AES_256_CM_HMAC_SHA1_80
	AES_256_CM_HMAC_SHA1_32

	suiteEnd
)

type suiteRow struct {
	name  string
	other string // a second spelling in use
	key   int    // master and session key, bytes
	salt  int    // master salt, bytes
	tag   uint8  // authentication tag of RTP, bytes
	rtcp  uint8  // authentication tag of RTCP, bytes: RFC 3711 section 5.2 keeps 80 bits even for _32
	aead  bool
}

var suites = [suiteEnd]suiteRow{
	AEAD_AES_128_GCM:        {"AEAD_AES_128_GCM", "", 16, 12, 16, 16, true},
	AEAD_AES_256_GCM:        {"AEAD_AES_256_GCM", "", 32, 12, 16, 16, true},
	AES_CM_128_HMAC_SHA1_80: {"AES_CM_128_HMAC_SHA1_80", "AES_128_CM_HMAC_SHA1_80", 16, 14, 10, 10, false},
	AES_CM_128_HMAC_SHA1_32: {"AES_CM_128_HMAC_SHA1_32", "AES_128_CM_HMAC_SHA1_32", 16, 14, 4, 10, false},
	AES_192_CM_HMAC_SHA1_80: {"AES_192_CM_HMAC_SHA1_80", "AES_CM_192_HMAC_SHA1_80", 24, 14, 10, 10, false},
	AES_192_CM_HMAC_SHA1_32: {"AES_192_CM_HMAC_SHA1_32", "AES_CM_192_HMAC_SHA1_32", 24, 14, 4, 10, false},
	AES_256_CM_HMAC_SHA1_80: {"AES_256_CM_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_80", 32, 14, 10, 10, false},
	AES_256_CM_HMAC_SHA1_32: {"AES_256_CM_HMAC_SHA1_32", "AES_CM_256_HMAC_SHA1_32", 32, 14, 4, 10, false},
}

// Suites returns every suite.
func Suites() []Suite {
	all := make([]Suite, 0, suiteEnd-1)
	for s := Suite(1); s < suiteEnd; s++ {
		all = append(all, s)
	}
	return all
}

// ParseSuite reads a suite's name in either spelling: IANA writes AES_256_CM, libsrtp and AWS AES_CM_256.
func ParseSuite(name string) (Suite, bool) {
	for s := Suite(1); s < suiteEnd; s++ {
		if strings.EqualFold(name, suites[s].name) || suites[s].other != "" && strings.EqualFold(name, suites[s].other) {
			return s, true
		}
	}
	return 0, false
}

// Valid reports whether s is one of the suites.
func (s Suite) Valid() bool { return s > 0 && s < suiteEnd }

// String returns the IANA name, or "" for an invalid suite.
func (s Suite) String() string {
	if !s.Valid() {
		return ""
	}
	return suites[s].name
}

// KeySize returns the length of the master key in bytes; 0 for an invalid
// suite.
func (s Suite) KeySize() int {
	if !s.Valid() {
		return 0
	}
	return suites[s].key
}

// SaltSize returns the length of the master salt in bytes; 0 for an invalid suite.
func (s Suite) SaltSize() int {
	if !s.Valid() {
		return 0
	}
	return suites[s].salt
}
