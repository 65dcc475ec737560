// Package digest authenticates SIP requests with HTTP Digest, as server and as client (RFC 7616, RFC 8760, RFC 3261 §22).
//
// The server keeps no state to issue a challenge: a nonce is a time, some random bits and a truncated HMAC-SHA256 over
// both and the client's IP address, so every node that holds the installation key accepts it, on every transport. State
// exists only for nonces that carried a right response, in a bounded table that refuses a nonce count used twice.
//
// What is accepted: algorithms MD5 and SHA-256, qop "auth", digest-uri naming the Request-URI's user and host. What is
// not: the -sess variants (a session key outlives the request it was checked for), auth-int (an SBC rewrites bodies),
// userhash and the RFC 2069 form without qop. The last has neither client nonce nor count, so a captured response could
// be replayed until the nonce ends, and a middle man who strips qop from our challenge would reach it on purpose.
// Both peers tried answer qop=auth: SIPp 3.6.1 (MD5 only; its digest-uri is the remote address unless -auth_uri names the
// Request-URI's user and host) and baresip 1.0.0 (which gives up where a second challenge follows the MD5 one).
//
// The replay table is per node. A response replayed within the nonce's life, from the same IP address, for the same
// method and digest-uri, to another node of the installation, passes there once; nonces bound to the IP address keep
// that to attackers who can use it.
package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Algorithm is a digest algorithm of RFC 7616 §3.3. The zero value is none.
type Algorithm uint8

// The algorithms this package computes. Higher is stronger.
const (
	MD5    Algorithm = 1 // RFC 3261 §22.4; broken as a hash, still the only one many phones and Debian's baresip know
	SHA256 Algorithm = 2 // RFC 8760 §2.2
)

// String is the algorithm's name on the wire.
func (a Algorithm) String() string {
	switch a {
	case MD5:
		return "MD5"
	case SHA256:
		return "SHA-256"
	}
	return "unknown"
}

// ParseAlgorithm reads the algorithm parameter; an absent one ("") is MD5 (RFC 7616 §3.3). Names are compared without
// regard to case. The -sess variants and everything else give 0, false.
func ParseAlgorithm(name string) (Algorithm, bool) {
	switch {
	case name == "", strings.EqualFold(name, "MD5"):
		return MD5, true
	case strings.EqualFold(name, "SHA-256"):
		return SHA256, true
	}
	return 0, false
}

// HA1 is what stands for a password: H(username:realm:password) under each algorithm (RFC 7616 §3.4.2). It is as good
// as the password for its realm, so it is kept sealed and never logged.
type HA1 struct {
	MD5    [md5.Size]byte    // raw, not hex
	SHA256 [sha256.Size]byte // raw, not hex
}

// NewHA1 hashes a password. user and realm are the plain texts, without quoting.
func NewHA1(user, realm, password string) HA1 {
	text := []byte(user + ":" + realm + ":" + password)
	return HA1{MD5: md5.Sum(text), SHA256: sha256.Sum256(text)}
}

// String hides the hashes, so that a stray %v does not put them into a log.
func (HA1) String() string { return "HA1(hidden)" }

// GoString hides the hashes from %#v.
func (HA1) GoString() string { return "digest.HA1{}" }

// input is what goes into one response besides the HA1.
type input struct {
	alg    Algorithm
	method string
	uri    string // digest-uri exactly as written in the header
	nonce  string
	qop    string // "" selects the RFC 2069 form, only ever used as a client
	nc     string // 8 hex digits exactly as written
	cnonce string
}

// appendResponse appends the request-digest in lower-case hex (RFC 7616 §3.4.1).
func (in *input) appendResponse(dst []byte, ha1 *HA1) []byte {
	var scratch [512]byte
	text := append(scratch[:0], in.method...)
	text = append(text, ':')
	text = append(text, in.uri...)
	var ha2 [2 * sha256.Size]byte
	hexHA2 := in.alg.appendHash(ha2[:0], text)

	text = scratch[:0]
	if in.alg == SHA256 {
		text = hex.AppendEncode(text, ha1.SHA256[:])
	} else {
		text = hex.AppendEncode(text, ha1.MD5[:])
	}
	text = append(text, ':')
	text = append(text, in.nonce...)
	text = append(text, ':')
	if in.qop != "" {
		for _, part := range [...]string{in.nc, in.cnonce, in.qop} {
			text = append(text, part...)
			text = append(text, ':')
		}
	}
	text = append(text, hexHA2...)
	return in.alg.appendHash(dst, text)
}

func (a Algorithm) appendHash(dst, text []byte) []byte {
	if a == SHA256 {
		sum := sha256.Sum256(text)
		return hex.AppendEncode(dst, sum[:])
	}
	sum := md5.Sum(text)
	return hex.AppendEncode(dst, sum[:])
}
