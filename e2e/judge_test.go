package e2e_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	pion "github.com/pion/srtp/v3"

	"carillon/rtp"
)

// cipher is a crypto suite as pion knows it.
type cipher struct {
	profile   pion.ProtectionProfile
	key, salt int
}

var ciphers = map[string]cipher{
	"AEAD_AES_128_GCM":        {pion.ProtectionProfileAeadAes128Gcm, 16, 12},
	"AEAD_AES_256_GCM":        {pion.ProtectionProfileAeadAes256Gcm, 32, 12},
	"AES_CM_128_HMAC_SHA1_80": {pion.ProtectionProfileAes128CmHmacSha1_80, 16, 14},
	"AES_256_CM_HMAC_SHA1_80": {pion.ProtectionProfileAes256CmHmacSha1_80, 32, 14},
	"AES_CM_128_HMAC_SHA1_32": {pion.ProtectionProfileAes128CmHmacSha1_32, 16, 14},
}

func (c cipher) context(t *testing.T, keySalt []byte) *pion.Context {
	t.Helper()
	ctx, err := pion.CreateContext(keySalt[:c.key], keySalt[c.key:], c.profile)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// judge knows every key that was agreed on, by the customer's address and the way, and nothing else. It looks at each
// datagram once, in the order in which they crossed the wire.
type judge struct {
	t       *testing.T
	mu      sync.Mutex
	keys    map[string][]agreedKey // in the order in which they were agreed on
	reached map[string]int         // the last of the keys that was seen in use
	proofs  map[string]string      // passwords of ICE, for both ways
	strays  map[string]int         // what a test itself sends without protection, and how often that was seen
}

func newJudge(t *testing.T) *judge {
	return &judge{t: t, keys: map[string][]agreedKey{}, reached: map[string]int{}, proofs: map[string]string{}, strays: map[string]int{}}
}

// agreedKey is one key with the place of the word whose first bit says that SRTCP is encrypted, counted from the end.
type agreedKey struct {
	ctx  *pion.Context
	word int
}

// way names a direction of a pair of the customer's ports.
func way(at netip.AddrPort, fromNode bool) string {
	return fmt.Sprint(at.Addr(), at.Port()&^1, fromNode)
}

// learn takes a key for the packets of a pair of the customer's ports.
func (j *judge) learn(at netip.AddrPort, fromNode bool, suite string, keySalt []byte) {
	k := agreedKey{ciphers[suite].context(j.t, keySalt), 4}
	if strings.Contains(suite, "SHA1") {
		k.word += 10 // the tag of SRTCP has 80 bits whatever SRTP's has (RFC 4568 section 6.2)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keys[way(at, fromNode)] = append(j.keys[way(at, fromNode)], k)
}

// trust takes the password with which checks of ICE and their answers are proven.
func (j *judge) trust(at netip.AddrPort, password string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.proofs[way(at, true)], j.proofs[way(at, false)] = password, password
}

// stray tells of a datagram that a test sends without protection.
func (j *judge) stray(b []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.strays[string(b)] += 0
}

// fault says what is wrong with a datagram that crossed the customer's wire, "" for nothing: that is SRTP or SRTCP under
// the key that its way is at, or under the one agreed on next, or a check of ICE that is proven.
func (j *judge) fault(at netip.AddrPort, fromNode bool, b []byte) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	name := way(at, fromNode)
	if password := j.proofs[name]; password != "" && stunProven(b, password) {
		return ""
	}
	fault := "is not authentic under any key of the call"
	for i := len(j.keys[name]) - 1; i >= 0; i-- {
		wrong, authentic := j.keys[name][i].fault(b)
		if !authentic {
			continue
		}
		if wrong == "" && i < j.reached[name] {
			wrong = "is under a key that was replaced"
		}
		j.reached[name] = max(j.reached[name], i)
		if wrong == "" {
			return ""
		}
		fault = wrong
		break
	}
	if _, own := j.strays[string(b)]; own && !fromNode {
		j.strays[string(b)]++
		return ""
	}
	return fault
}

// fault says what is wrong with a datagram that is authentic under the key.
func (k agreedKey) fault(b []byte) (wrong string, authentic bool) {
	if rtp.IsRTCP(b) {
		if len(b) < rtp.RTCPHeaderSize+k.word {
			return "", false
		}
		clear, err := k.ctx.DecryptRTCP(nil, bytes.Clone(b), nil)
		switch {
		case err != nil:
			return "", false
		case b[len(b)-k.word]&0x80 == 0:
			return "is authentic and not encrypted", true
		case rtp.CheckRTCP(clear) != nil:
			return "is no RTCP once it is decrypted", true
		}
		return "", true
	}
	clear, err := k.ctx.DecryptRTP(nil, bytes.Clone(b), nil)
	switch {
	case err != nil:
		return "", false
	case isTone(b):
		return "is authentic and not encrypted", true
	case !isTone(clear):
		return "is not what the parties say once it is decrypted", true
	}
	return "", true
}

// isTone reports whether an RTP packet carries what the parties of these tests say: one and the same sample. A payload that
// is encrypted has no sixteen octets alike.
func isTone(b []byte) bool {
	h, err := rtp.Parse(b)
	if err != nil || len(b) < h.Size+16 {
		return false
	}
	return bytes.Count(b[h.Size:h.Size+16], b[h.Size:h.Size+1]) == 16
}

// TestJudge: what must not cross the customer's wire is noticed, each single datagram of it.
func TestJudge(t *testing.T) {
	at := netip.MustParseAddrPort("10.77.0.2:4000")
	reports := netip.AddrPortFrom(at.Addr(), at.Port()+1)
	for suite, c := range ciphers {
		j := newJudge(t)
		one, two := bytes.Repeat([]byte{1}, c.key+c.salt), bytes.Repeat([]byte{2}, c.key+c.salt)
		j.learn(at, true, suite, one)
		seq := uint16(0)
		packet := func() []byte {
			seq++
			b := make([]byte, rtp.HeaderSize)
			rtp.Header{SSRC: 7, Sequence: seq}.Put(b)
			return append(b, bytes.Repeat([]byte{rtp.MuLaw(loud)}, 160)...)
		}
		report := rtp.AppendCNAME(rtp.AppendRR(nil, 7), 7, "party")
		protect := func(key, b []byte) []byte {
			b, err := c.context(t, key).EncryptRTP(nil, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		protectReport := func(key, b []byte) []byte {
			b, err := c.context(t, key).EncryptRTCP(nil, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		changed := protect(one, packet())
		changed[40] ^= 1
		flag := protectReport(one, report)
		flag[len(flag)-j.keys[way(at, true)][0].word] &^= 0x80
		check := func(what string, good bool, to netip.AddrPort, fromNode bool, b []byte) {
			t.Helper()
			if fault := j.fault(to, fromNode, b); (fault == "") != good {
				t.Errorf("%s: %s: %q", suite, what, fault)
			}
		}
		check("RTP", true, at, true, protect(one, packet()))
		check("RTCP", true, reports, true, protectReport(one, report))
		check("RTCP on the port of RTP", true, at, true, protectReport(one, report))
		check("RTP in the clear", false, at, true, packet())
		check("RTCP in the clear", false, reports, true, report)
		check("UDPTL", false, at, true, []byte{0, 1, 1, 0xf0, 0, 0})
		check("nothing", false, at, true, nil)
		check("one changed octet", false, at, true, changed)
		check("the flag of encryption taken off", false, reports, true, flag)
		check("another key", false, at, true, protect(two, packet()))
		check("reports under another key", false, reports, true, protectReport(two, report))
		check("the key of the other way", false, at, false, protect(one, packet()))
		check("the key of another port", false, netip.MustParseAddrPort("10.77.0.2:4002"), true, protect(one, packet()))
		check("the key of another address", false, netip.MustParseAddrPort("10.77.0.3:4000"), true, protect(one, packet()))
		check("something else than was said", false, at, true, protect(one, append(packet()[:rtp.HeaderSize], "something else altogether"...)))
		j.learn(at, true, suite, two)
		check("the old key until the new one is used", true, at, true, protect(one, packet()))
		check("the new key", true, at, true, protect(two, packet()))
		check("the old key again", false, at, true, protect(one, packet()))
		check("reports under the old key", false, reports, true, protectReport(one, report))
		check("a check of ICE", false, at, true, stunCheck("x:y", "password"))
		j.trust(at, "password")
		check("a check of ICE with the password", true, at, true, stunCheck("x:y", "password"))
		check("a check of ICE with another one", false, at, true, stunCheck("x:y", "another"))
		check("STUN without proof", false, at, true, stunCheck("x:y", "password")[:40])
		stray := packet()
		j.stray(stray)
		check("a stray of the customer's", true, at, false, stray)
		check("a stray that the node sends back", false, at, true, stray)
		if j.strays[string(stray)] != 1 {
			t.Errorf("the stray was counted %d times", j.strays[string(stray)])
		}
	}
}
