package phone

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"carillon/sdp"
	"carillon/srtp"
)

// What can be wrong with the other side's description. Each is a sentence fit for Failure.Local.
var (
	errDescription = errors.New("the session description cannot be understood")
	errNoAudio     = errors.New("the description has no audio that this phone can play")
	errPlain       = errors.New("encrypted media was offered and the answer is not encrypted")
	errSuite       = errors.New("the description has no crypto line that this phone can use")
	errProfile     = errors.New("the answer is encrypted and the offer was not")
)

// DefaultSuites returns the crypto suites in the order they are offered.
func DefaultSuites() []srtp.Suite {
	return []srtp.Suite{
		srtp.AEAD_AES_128_GCM, srtp.AEAD_AES_256_GCM, srtp.AES_CM_128_HMAC_SHA1_80, srtp.AES_256_CM_HMAC_SHA1_80,
	}
}

// terms are what one description of ours says.
type terms struct {
	id, version uint64
	addr        netip.AddrPort
	codecs      []Codec // first preferred
	keys        []ownKey
}

// ownKey is one crypto line of ours.
type ownKey struct {
	tag      sdp.Tag
	spelling string
	key      srtp.Key
}

// newKeys draws a key for each suite, tags counting from 1.
func newKeys(random io.Reader, suites []srtp.Suite) ([]ownKey, error) {
	keys := make([]ownKey, 0, len(suites))
	for i, suite := range suites {
		k, err := srtp.NewKey(suite, random)
		if err != nil {
			return nil, fmt.Errorf("draw media key: %w", err)
		}
		keys = append(keys, ownKey{tag: sdp.Tag(strconv.Itoa(i + 1)), spelling: suite.String(), key: k})
	}
	return keys, nil
}

func (k ownKey) line() string {
	return sdp.Crypto{Tag: k.tag, Suite: k.spelling, KeySalt: k.key.Secret()}.Line()
}

// session writes the lines above the media sections.
func (t *terms) session(b *strings.Builder) {
	family := "IP4 "
	if t.addr.Addr().Is6() {
		family = "IP6 "
	}
	host := family + t.addr.Addr().String()
	fmt.Fprintf(b, "v=0\r\no=- %d %d IN %s\r\ns=-\r\nc=IN %s\r\nt=0 0\r\n", t.id, t.version, host, host)
}

// offer returns a description that offers the terms: RTP/SAVP when there are keys, else RTP/AVP.
func (t *terms) offer() []byte {
	var b strings.Builder
	t.session(&b)
	fmt.Fprintf(&b, "m=audio %d %s", t.addr.Port(), sdp.Profile{Secure: len(t.keys) > 0})
	for _, c := range t.codecs {
		fmt.Fprintf(&b, " %d", c)
	}
	fmt.Fprintf(&b, " %d\r\n", eventsPayload)
	for _, c := range t.codecs {
		fmt.Fprintf(&b, "a=rtpmap:%d %s\r\n", c, c)
	}
	writeEvents(&b, eventsPayload)
	for _, k := range t.keys {
		b.WriteString(k.line() + "\r\n")
	}
	b.WriteString("a=ptime:20\r\na=sendrecv\r\n")
	return []byte(b.String())
}

// writeEvents describes the payload type of telephone events, of which all keys are meant.
func writeEvents(b *strings.Builder, payload uint8) {
	fmt.Fprintf(b, "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\n", payload, payload)
}

// agreement is what offer and answer make of each other, seen from here.
type agreement struct {
	section        int // index of the audio section
	profile        sdp.Profile
	payload        uint8
	codec          Codec
	events         uint8 // payload type of telephone events, 0 for none
	remote         netip.AddrPort
	remoteRTCP     netip.AddrPort
	sends, listens bool
	// ours and theirs are zero in the clear; ours of an offer received is drawn by answer.
	ours, theirs srtp.Key
	tag          sdp.Tag
	spelling     string
	mki          []byte
	lifetime     uint64
}

// section finds the first audio section that can be played.
func section(d *sdp.Description) (*agreement, error) {
	for i := range d.Media {
		m := &d.Media[i]
		profile, ok := sdp.ParseProfile(m.Proto)
		if m.Type != "audio" || m.Port == 0 || !ok || !m.Addr.IsValid() {
			continue
		}
		for _, f := range m.Formats {
			codec, ok := parseCodec(f.Name, f.Encoding)
			payload, err := strconv.ParseUint(f.Name, 10, 7)
			if !ok || err != nil {
				continue
			}
			a := &agreement{section: i, profile: profile, payload: uint8(payload), codec: codec}
			a.events = eventsOf(m)
			a.place(m)
			return a, nil
		}
	}
	return nil, errNoAudio
}

// eventsOf returns the payload type of a section's telephone events.
func eventsOf(m *sdp.Media) uint8 {
	for _, f := range m.Formats {
		if payload, err := strconv.ParseUint(f.Name, 10, 7); err == nil && strings.EqualFold(f.Encoding, "telephone-event/8000") {
			return uint8(payload)
		}
	}
	return 0
}

// place takes addresses and direction.
func (a *agreement) place(m *sdp.Media) {
	addr := m.Addr.Unmap()
	a.remote = netip.AddrPortFrom(addr, m.Port)
	a.remoteRTCP = netip.AddrPortFrom(addr, m.Port+1)
	if m.RTCP.Port() != 0 {
		a.remoteRTCP = netip.AddrPortFrom(addr, m.RTCP.Port())
		if m.RTCP.Addr().IsValid() {
			a.remoteRTCP = m.RTCP
		}
	}
	a.sends = m.Direction.Receives() && !addr.IsUnspecified()
	a.listens = m.Direction.Sends()
}

// accept reads the answer to an offer with these terms.
func (t *terms) accept(body []byte) (*agreement, error) {
	d, err := sdp.Parse(body)
	if err != nil {
		return nil, errDescription
	}
	a, err := section(d)
	if err != nil {
		return nil, err
	}
	switch {
	case len(t.keys) == 0 && a.profile.Secure:
		return nil, errProfile
	case len(t.keys) == 0:
		return a, nil
	case !a.profile.Secure:
		return nil, errPlain
	}
	for _, line := range d.Media[a.section].Crypto {
		c, theirs, ok := usableLine(line)
		if !ok {
			continue
		}
		for _, k := range t.keys {
			if k.tag.Is(c.Tag) && k.key.Suite() == theirs.Suite() {
				a.ours, a.theirs, a.tag, a.spelling, a.mki, a.lifetime = k.key, theirs, c.Tag, c.Suite, c.MKI, c.Lifetime
				return a, nil
			}
		}
	}
	return nil, errSuite
}

func usableLine(line sdp.Secret) (sdp.Crypto, srtp.Key, bool) {
	c, err := sdp.ParseCrypto(line)
	if err != nil {
		return c, srtp.Key{}, false
	}
	suite, ok := srtp.ParseSuite(c.Suite)
	if !ok {
		return c, srtp.Key{}, false
	}
	k, err := srtp.ParseKey(suite, c.KeySalt)
	return c, k, err == nil
}

// consider reads an offer: the first crypto line with a suite of ours is taken (RFC 4568 section 5.1.2).
func consider(body []byte, supported []srtp.Suite) (*sdp.Description, *agreement, error) {
	d, err := sdp.Parse(body)
	if err != nil {
		return nil, nil, errDescription
	}
	a, err := section(d)
	if err != nil {
		return nil, nil, err
	}
	if !a.profile.Secure {
		return d, a, nil
	}
	for _, line := range d.Media[a.section].Crypto {
		c, theirs, ok := usableLine(line)
		if !ok {
			continue
		}
		for _, s := range supported {
			if s == theirs.Suite() {
				a.theirs, a.tag, a.spelling, a.mki, a.lifetime = theirs, c.Tag, c.Suite, c.MKI, c.Lifetime
				return d, a, nil
			}
		}
	}
	return nil, nil, errSuite
}

// answer returns the description that accepts an offer: one section for each of the offer's, all but one rejected.
func (t *terms) answer(offer *sdp.Description, a *agreement) []byte {
	var b strings.Builder
	t.session(&b)
	for i := range offer.Media {
		m := &offer.Media[i]
		if i != a.section {
			formats := "0"
			if len(m.Formats) > 0 {
				formats = m.Formats[0].Name
			}
			fmt.Fprintf(&b, "m=%s 0 %s %s\r\n", m.Type, m.Proto, formats)
			continue
		}
		fmt.Fprintf(&b, "m=audio %d %s %d", t.addr.Port(), a.profile, a.payload)
		if a.events != 0 {
			fmt.Fprintf(&b, " %d", a.events)
		}
		fmt.Fprintf(&b, "\r\na=rtpmap:%d %s\r\n", a.payload, a.codec)
		if a.events != 0 {
			writeEvents(&b, a.events)
		}
		if !a.ours.IsZero() {
			b.WriteString(ownKey{tag: a.tag, spelling: a.spelling, key: a.ours}.line() + "\r\n")
		}
		b.WriteString("a=ptime:20\r\n" + direction(m.Direction) + "\r\n")
	}
	return []byte(b.String())
}

// direction answers a direction (RFC 3264 section 6.1).
func direction(offered sdp.Direction) string {
	switch offered {
	case sdp.SendOnly:
		return "a=recvonly"
	case sdp.RecvOnly:
		return "a=sendonly"
	case sdp.Inactive:
		return "a=inactive"
	}
	return "a=sendrecv"
}
