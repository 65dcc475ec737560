// Package stun reads the connectivity checks of ICE and answers them: STUN binding requests with short-term credentials
// (RFC 8489, RFC 8445).
//
// It is the half that an ICE-lite agent needs: it never asks. What is not authentic is told apart from what is broken,
// but neither is answered, so that nobody can have answers sent to an address that he only claims.
package stun

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"net/netip"
)

const (
	headerSize = 20
	cookie     = 0x2112A442

	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	bindingError   = 0x0111

	attrUsername         = 0x0006
	attrIntegrity        = 0x0008
	attrError            = 0x0009
	attrUnknown          = 0x000A
	attrIntegritySHA256  = 0x001C
	attrXORMapped        = 0x0020
	attrPriority         = 0x0024
	attrUseCandidate     = 0x0025
	attrFingerprint      = 0x8028
	attrControlled       = 0x8029
	attrControlling      = 0x802A
	attrMayIgnore        = 0x8000 // types from here on need not be understood (RFC 8489 section 14)
	fingerprintXOR       = 0x5354554e
	fingerprintSize      = 8
	integritySize        = 4 + sha1.Size
	maxUnknownAttributes = 8
)

// MaxAnswer is the most octets of an answer.
const MaxAnswer = headerSize + 8 + 4 + 2*maxUnknownAttributes + integritySize + fingerprintSize

// MaxRequest is the longest request read, in octets: a check has a dozen small attributes.
const MaxRequest = 548

// The codes of error answers (RFC 8489 section 14.8, RFC 8445 section 7.3.1.1).
const (
	CodeUnknownAttribute = 420
	CodeRoleConflict     = 487
)

// Errors of Parse. They carry no detail: anybody can send rubbish.
var (
	// ErrMalformed: not a binding request, or a broken one.
	ErrMalformed = errors.New("stun: malformed binding request")
	// ErrUnprotected: no username or no MESSAGE-INTEGRITY.
	ErrUnprotected = errors.New("stun: request without credentials")
)

// Is reports whether a datagram is STUN. Nothing of RTP, RTCP or UDPTL that a call carries begins so (RFC 7983).
func Is(b []byte) bool {
	return len(b) >= headerSize && b[0]&0xc0 == 0 && binary.BigEndian.Uint32(b[4:]) == cookie
}

// Request is a binding request. It is a view of its datagram.
type Request struct {
	// Username is "receiver:sender", of both agents' fragments.
	Username []byte
	// Priority is that of the candidate pair as its sender sees it, 0 where it is missing.
	Priority uint32
	// UseCandidate nominates the pair.
	UseCandidate bool
	// Controlled says that the sender takes itself for the controlled agent, which an ICE-lite agent always is.
	Controlled bool

	raw       []byte
	integrity int // where the MESSAGE-INTEGRITY attribute begins
	unknown   [maxUnknownAttributes]uint16
	unknowns  int
}

// Unknown reports whether the request has attributes that must be understood and are not.
func (r *Request) Unknown() bool { return r.unknowns > 0 }

// Parse reads a binding request with credentials, which Authentic has to judge. A FINGERPRINT, if there is one, is right.
func Parse(b []byte) (Request, error) {
	r := Request{raw: b}
	if !Is(b) || len(b) > MaxRequest || binary.BigEndian.Uint16(b) != bindingRequest || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerSize {
		return r, ErrMalformed
	}
	for at := headerSize; at < len(b); {
		if len(b)-at < 4 {
			return r, ErrMalformed
		}
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		next := at + 4 + (size+3)&^3
		if next > len(b) {
			return r, ErrMalformed
		}
		value := b[at+4 : at+4+size]
		switch {
		case kind == attrFingerprint:
			if size != 4 || next != len(b) || binary.BigEndian.Uint32(value) != fingerprint(b[:at]) {
				return r, ErrMalformed
			}
		case r.integrity != 0: // what stands behind it is not protected and does not count (RFC 8489 section 14.5)
		case kind == attrIntegrity:
			if size != sha1.Size {
				return r, ErrMalformed
			}
			r.integrity = at
		case !r.attribute(kind, value):
			return r, ErrMalformed
		}
		at = next
	}
	if r.integrity == 0 || len(r.Username) == 0 {
		return r, ErrUnprotected
	}
	return r, nil
}

// attribute takes one attribute and reports whether it is well formed.
func (r *Request) attribute(kind uint16, value []byte) bool {
	switch kind {
	case attrUsername:
		r.Username = value
	case attrPriority:
		if len(value) != 4 {
			return false
		}
		r.Priority = binary.BigEndian.Uint32(value)
	case attrUseCandidate:
		r.UseCandidate = true
	case attrControlled:
		r.Controlled = true
	case attrIntegritySHA256: // beside MESSAGE-INTEGRITY, which is enough for ICE
	default:
		if kind < attrMayIgnore && r.unknowns < maxUnknownAttributes {
			r.unknown[r.unknowns] = kind
			r.unknowns++
		}
	}
	return true
}

// Proof makes and judges MESSAGE-INTEGRITY under one password (RFC 8489 section 14.5). It is made once for an agent, because a
// hash that is made anew costs memory with each request, forged ones included. It is not safe for concurrent use.
type Proof struct {
	mac    hash.Hash
	header [headerSize]byte
	sum    [sha1.Size]byte
}

// NewProof returns the proof of a short-term credential's password.
func NewProof(password string) *Proof { return &Proof{mac: hmac.New(sha1.New, []byte(password))} }

// of is the HMAC of a message up to its MESSAGE-INTEGRITY, with the length in its header as if the message ended behind that
// attribute. It lasts until the next call.
func (p *Proof) of(b []byte) []byte {
	copy(p.header[:], b)
	binary.BigEndian.PutUint16(p.header[2:], uint16(len(b)-headerSize+integritySize))
	p.mac.Reset()
	p.mac.Write(p.header[:])
	p.mac.Write(b[headerSize:])
	return p.mac.Sum(p.sum[:0])
}

// Authentic reports whether whoever sent the request knows the password.
func (r *Request) Authentic(p *Proof) bool {
	return r.integrity != 0 && hmac.Equal(p.of(r.raw[:r.integrity]), r.raw[r.integrity+4:r.integrity+integritySize])
}

// fingerprint is the FINGERPRINT of a message up to it, whose header has the length of all of it already.
func fingerprint(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ fingerprintXOR }

// AppendSuccess appends the answer to a request that came from an address.
func (r *Request) AppendSuccess(dst []byte, from netip.AddrPort, p *Proof) []byte {
	b, start := r.header(dst, bindingSuccess)
	at := from.Addr().Unmap()
	octets, family, size := at.As16(), byte(2), 16
	ip := octets[:]
	if at.Is4() {
		ip, family, size = octets[12:], 1, 4
	}
	b = attribute(b, attrXORMapped, 4+size)
	b = append(b, 0, family)
	b = binary.BigEndian.AppendUint16(b, from.Port()^cookie>>16)
	for i, octet := range ip {
		b = append(b, octet^r.raw[4+i])
	}
	return seal(b, start, p)
}

// AppendError appends an answer that says why not.
func (r *Request) AppendError(dst []byte, code int, p *Proof) []byte {
	b, start := r.header(dst, bindingError)
	b = attribute(b, attrError, 4)
	b = append(b, 0, 0, byte(code/100), byte(code%100))
	if code == CodeUnknownAttribute {
		b = attribute(b, attrUnknown, 2*r.unknowns)
		for _, kind := range r.unknown[:r.unknowns] {
			b = binary.BigEndian.AppendUint16(b, kind)
		}
		b = append(b, make([]byte, (4-2*r.unknowns%4)%4)...)
	}
	return seal(b, start, p)
}

// header begins an answer: its type, and cookie and transaction of the request.
func (r *Request) header(dst []byte, kind uint16) (b []byte, start int) {
	start = len(dst)
	b = binary.BigEndian.AppendUint16(dst, kind)
	b = append(b, 0, 0)
	return append(b, r.raw[4:headerSize]...), start
}

func attribute(b []byte, kind uint16, size int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, kind), uint16(size))
}

// seal ends the message that begins at start with its proof and its checksum.
func seal(b []byte, start int, p *Proof) []byte {
	mac := p.of(b[start:])
	b = append(attribute(b, attrIntegrity, sha1.Size), mac...)
	b = attribute(b, attrFingerprint, 4)
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start-headerSize+4))
	return binary.BigEndian.AppendUint32(b, fingerprint(b[start:len(b)-4]))
}
