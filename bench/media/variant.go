package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/srtp/v3"

	"carillon/bench/party"
)

// variant is what the two sides of all calls speak.
type variant struct {
	name   string
	suites [2]string // of the caller's side and the callee's; empty for RTP
}

// The suites that every system has.
const (
	cm80 = "AES_CM_128_HMAC_SHA1_80"
	cm32 = "AES_CM_128_HMAC_SHA1_32"
	gcm  = "AEAD_AES_128_GCM"
	gcm2 = "AEAD_AES_256_GCM"
)

// variants are all there are; the first ones are measured unless others are asked for. The suites of the two sides differ
// wherever both are protected: rtpengine passes packets through as they are where they do not.
func variants() []variant {
	return []variant{
		{"rtp-rtp", [2]string{}},
		{"cm-rtp", [2]string{cm80, ""}},
		{"gcm-rtp", [2]string{gcm, ""}},
		{"cm-gcm", [2]string{cm80, gcm}},
		{"gcm-gcm256", [2]string{gcm, gcm2}},
		{"cm32-cm80", [2]string{cm32, cm80}},
	}
}

const usual = "rtp-rtp,cm-rtp,gcm-rtp,cm-gcm"

func chosen(names string) (list []variant, err error) {
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, v := range variants() {
			if v.name == name {
				list, found = append(list, v), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no variant %q", name)
		}
	}
	return list, nil
}

func profile(suite string) srtp.ProtectionProfile {
	switch suite {
	case cm80:
		return srtp.ProtectionProfileAes128CmHmacSha1_80
	case cm32:
		return srtp.ProtectionProfileAes128CmHmacSha1_32
	case gcm:
		return srtp.ProtectionProfileAeadAes128Gcm
	default:
		return srtp.ProtectionProfileAeadAes256Gcm
	}
}

// key is a suite and its key and salt; the zero key is RTP in the clear.
type key struct {
	suite  string
	secret []byte
}

func newKey(suite string) (k key, err error) {
	if suite == "" {
		return k, nil
	}
	p := profile(suite)
	size, err := p.KeyLen()
	if err != nil {
		return k, err
	}
	salt, err := p.SaltLen()
	if err != nil {
		return k, err
	}
	k = key{suite, make([]byte, size+salt)}
	_, err = rand.Read(k.secret)
	return k, err
}

// context returns what protects or unprotects under the key, nil for RTP.
func (k key) context() (*srtp.Context, error) {
	if k.suite == "" {
		return nil, nil
	}
	p := profile(k.suite)
	size, err := p.KeyLen()
	if err != nil || len(k.secret) < size {
		return nil, fmt.Errorf("a key of %d octets for %s: %w", len(k.secret), k.suite, err)
	}
	return srtp.CreateContext(k.secret[:size], k.secret[size:], p)
}

// describe writes the description of an end that receives at an address and sends under the key.
func (k key) describe(at netip.AddrPort, tag int) string {
	crypto := ""
	if k.suite != "" {
		crypto = fmt.Sprintf("%d %s inline:%s", tag, k.suite, base64.StdEncoding.EncodeToString(k.secret))
	}
	return party.Description(net.IP(at.Addr().AsSlice()), int(at.Port()), crypto)
}

// far is what a system described to one end: where packets go, and under which key they come.
type far struct {
	at  netip.AddrPort
	key key
}

// read reads a system's description to an end that speaks a suite. It returns the tag of the line with the suite.
func read(description, suite string) (f far, tag int, err error) {
	host, port := "", 0
	for line := range strings.Lines(description) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "c=IN IP4 "):
			host = line[len("c=IN IP4 "):]
		case strings.HasPrefix(line, "m=audio "):
			port, _ = strconv.Atoi(strings.Fields(line)[1])
			if (suite != "") != strings.Contains(line, "RTP/SAVP") {
				return f, 0, fmt.Errorf("%q where the suite is %q", line, suite)
			}
		case suite != "" && f.key.suite == "" && strings.HasPrefix(line, "a=crypto:"):
			parts := strings.Fields(line[len("a=crypto:"):])
			if len(parts) < 3 || parts[1] != suite {
				continue
			}
			inline, _, _ := strings.Cut(strings.TrimPrefix(parts[2], "inline:"), "|")
			if f.key.secret, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(inline, "=")); err != nil {
				return f, 0, fmt.Errorf("read %q: %w", line, err)
			}
			f.key.suite = suite
			tag, _ = strconv.Atoi(parts[0])
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || port == 0 || f.key.suite != suite {
		return f, 0, fmt.Errorf("a description that does not do for %q: %s", suite, description)
	}
	f.at = netip.AddrPortFrom(ip, uint16(port))
	return f, tag, nil
}
