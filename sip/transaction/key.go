package transaction

import (
	"encoding/binary"
	"hash/maphash"

	"carillon/sip"
	"carillon/sip/transport"
)

// key identifies a transaction: 128 bits of hash over what RFC 3261 §17.1.3 and §17.2.3 compare,
// under seeds drawn at start, so that a peer cannot aim at a collision. It costs 16 octets where
// the fields would cost a hundred.
//
// The protocol is part of it: what came in the clear must never reach a transaction on TLS, even
// from somebody who knows the branch.
type key [2]uint64

// seeds are the secrets of keys.
type seeds [2]maphash.Seed

func newSeeds() seeds { return seeds{maphash.MakeSeed(), maphash.MakeSeed()} }

// maxKeyScratch holds the fields of nearly every message without allocating.
const maxKeyScratch = 256

func (s *seeds) sum(fields []byte) key {
	return key{maphash.Bytes(s[0], fields), maphash.Bytes(s[1], fields)}
}

// field appends b with its length, so that two fields cannot trade octets.
func field(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...)
}

func fieldString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// client is the key of a client transaction: branch and method of CSeq (RFC 3261 §17.1.3).
func (s *seeds) client(p transport.Proto, method sip.Method, branch []byte) key {
	var scratch [maxKeyScratch]byte
	b := append(scratch[:0], 'c', byte(p), byte(method))
	return s.sum(append(b, branch...))
}

// server is the key of the server transaction that a request belongs to, or of the one of
// another method with the same branch: ACK and CANCEL look for their INVITE (RFC 3261 §17.2.3, §9.2).
func (s *seeds) server(p transport.Proto, req *sip.Message, method sip.Method) key {
	via := req.Via()
	var scratch [maxKeyScratch]byte
	b := append(scratch[:0], 's', byte(p), byte(method))
	if method == sip.MethodUnknown {
		b = field(b, req.MethodToken())
	}
	if !via.BranchIsUnique() {
		return s.sum(old(b, req, method))
	}
	b = field(b, via.Branch)
	b = field(b, via.Host)
	return s.sum(binary.BigEndian.AppendUint16(b, via.Port))
}

// old appends what identifies a request of an RFC 2543 element, whose branch says nothing. The
// To tag counts for other methods than INVITE only: an ACK carries the one of the response.
func old(b []byte, req *sip.Message, method sip.Method) []byte {
	b = append(b, '2')
	b = req.RequestURI().AppendTo(b)
	b = field(b, req.From().Tag())
	b = field(b, req.CallID())
	b = binary.BigEndian.AppendUint32(b, req.CSeq())
	if method != sip.Invite {
		b = field(b, req.To().Tag())
	}
	return field(b, req.Get(sip.HdrVia))
}
