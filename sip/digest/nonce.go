package digest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"sync"
	"time"
)

// A nonce is 24 octets, 32 characters of base64url: short, because a challenge sent over UDP to an unproven source may
// be no longer than the request it answers.
//
//	6 octets  issue time, milliseconds since 1970
//	6 octets  random, so that two nonces of one millisecond differ
//	12 octets HMAC-SHA256 under the installation key over the above and the client's IP address, truncated
//
// 96 bits of tag cannot be searched online, and nothing is gained offline: the tag protects no secret, only the right
// to have issued the nonce.
const (
	nonceTimeLen = 6
	nonceRandLen = 6
	nonceTagLen  = 12
	nonceRawLen  = nonceTimeLen + nonceRandLen + nonceTagLen
	nonceTextLen = nonceRawLen / 3 * 4
)

// nonceLabel separates this use of the key from every other.
const nonceLabel = "carillon digest nonce 1\x00"

type rawNonce [nonceRawLen]byte

func (n *rawNonce) issued() time.Time {
	var b [8]byte
	copy(b[2:], n[:nonceTimeLen])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:])))
}

// tagger computes tags under one key. The state of an HMAC is lent: to make one costs more than to use it.
type tagger struct{ macs sync.Pool }

func newTagger(key []byte) *tagger {
	return &tagger{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// tag is the HMAC over head, bound to the address so that a nonce seen by one host is of no use to another. As
// 16 octets, IPv4 and IPv4-mapped IPv6 are the same client.
func (t *tagger) tag(head []byte, source netip.Addr) [sha256.Size]byte {
	mac := t.macs.Get().(hash.Hash)
	defer t.macs.Put(mac)
	mac.Reset()
	io.WriteString(mac, nonceLabel)
	mac.Write(head)
	addr := source.As16()
	mac.Write(addr[:])
	var tag [sha256.Size]byte
	mac.Sum(tag[:0])
	return tag
}

func (t *tagger) mint(random io.Reader, now time.Time, source netip.Addr) (string, error) {
	var n rawNonce
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(n[:nonceTimeLen], ms[2:])
	if _, err := io.ReadFull(random, n[nonceTimeLen:nonceTimeLen+nonceRandLen]); err != nil {
		return "", fmt.Errorf("draw nonce: %w", err)
	}
	tag := t.tag(n[:nonceTimeLen+nonceRandLen], source)
	copy(n[nonceTimeLen+nonceRandLen:], tag[:nonceTagLen])
	return base64.RawURLEncoding.EncodeToString(n[:]), nil
}

// open decodes a nonce and says whether this installation issued it to source. Its age is the caller's to judge.
func (t *tagger) open(text string, source netip.Addr) (rawNonce, bool) {
	var n rawNonce
	if len(text) != nonceTextLen {
		return n, false
	}
	var src [nonceTextLen]byte
	copy(src[:], text)
	if k, err := base64.RawURLEncoding.Decode(n[:], src[:]); err != nil || k != nonceRawLen {
		return n, false
	}
	tag := t.tag(n[:nonceTimeLen+nonceRandLen], source)
	return n, subtle.ConstantTimeCompare(tag[:nonceTagLen], n[nonceTimeLen+nonceRandLen:]) == 1
}
