package media

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/call"
	"carillon/sdp"
	"carillon/srtp"
)

const (
	// maxExplained is how many crypto lines a refusal speaks of.
	maxExplained = 3
	// maxSuiteName is the longest unknown suite that is named. No key is as short, which somebody may have put there.
	maxSuiteName = 32
)

// reasons says of each crypto line in turn why it cannot be used.
type reasons []string

// add notes the next line's reason.
func (r *reasons) add(c sdp.Crypto, why string) {
	name := ""
	if _, known := srtp.ParseSuite(c.Suite); known || isToken(c.Suite) {
		name = " (" + c.Suite + ")"
	}
	*r = append(*r, fmt.Sprintf("line %d%s: %s", len(*r)+1, name, why))
}

// isToken reports whether text can only be the name of a suite.
func isToken(text string) bool {
	for _, c := range text {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(text) <= maxSuiteName && strings.Contains(text, "_")
}

// detail tells the reasons as the end of a sentence that has its full stop elsewhere.
func (r reasons) detail(m *sdp.Media, what string) string {
	switch {
	case len(r) == 0 && m.DTLS:
		return "the " + what + " has a key for DTLS-SRTP (a=fingerprint), and only those of a=crypto (RFC 4568) are taken"
	case len(r) == 0:
		return "the " + what + " has no a=crypto line"
	}
	said := slices.Clone(r[:min(len(r), maxExplained)])
	if more := len(r) - len(said); more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, "; ")
}

// usable reads a crypto line and returns the key of its side. ours reports keys that this node made: a peer that sends one
// back would have both directions share a key stream wherever their SSRCs meet.
func usable(text sdp.Secret, ours func(srtp.Key) bool) (c sdp.Crypto, key srtp.Key, why string) {
	c, err := sdp.ParseCrypto(text)
	if err != nil {
		if reason, ok := errors.AsType[*sdp.CryptoError](err); ok {
			return c, key, reason.Why
		}
		return c, key, "it cannot be read"
	}
	suite, ok := srtp.ParseSuite(c.Suite)
	if !ok {
		return c, key, "this node does not have its suite"
	}
	if key, err = srtp.ParseKey(suite, c.KeySalt); err != nil {
		return c, key, fmt.Sprintf("its key and salt have %d octets, and the suite takes %d", len(c.KeySalt), suite.KeySize()+suite.SaltSize())
	}
	if ours(key) {
		return c, key, "its key is one that this node made"
	}
	return c, key, ""
}

// chooseOffered takes the first crypto line of an offer that can be used (RFC 4568 section 5.1.2).
func (r *remote) chooseOffered(ours func(srtp.Key) bool) *call.Refusal {
	var all reasons
	for _, text := range r.section().Crypto {
		c, key, why := usable(text, ours)
		if why == "" {
			r.crypto, r.key = c, key
			return nil
		}
		all.add(c, why)
	}
	return call.Refuse(call.ReasonNoCommonSuite, all.detail(r.section(), "offer"))
}

// chooseAnswered takes the line of an answer and returns the one of the offered lines that it accepts.
func (r *remote) chooseAnswered(offered []*line, ours func(srtp.Key) bool) (*line, *call.Refusal) {
	var all reasons
	for _, text := range r.section().Crypto {
		c, key, why := usable(text, ours)
		if why == "" {
			why = "no line with its tag was offered"
			for _, l := range offered {
				switch {
				case l.tag.Is(c.Tag) && l.key.Suite() == key.Suite():
					r.crypto, r.key = c, key
					return l, nil
				case l.tag.Is(c.Tag):
					why = "the line with its tag was offered for " + l.key.Suite().String()
				}
			}
		}
		all.add(c, why)
	}
	return nil, call.Refuse(call.ReasonNoCommonSuite, all.detail(r.section(), "answer"))
}

// ownKey reports whether this node made the key for this call.
func (s *Session) ownKey(key srtp.Key) bool {
	is := func(l *line) bool { return l != nil && l.key.Shares(key) }
	for _, lg := range s.legs {
		if lg.now != nil && is(lg.now.line) {
			return true
		}
	}
	for _, ex := range [...]*exchange{s.pending, s.current} {
		if ex != nil && (is(ex.back) || slices.ContainsFunc(ex.lines, is)) {
			return true
		}
	}
	return false
}

// newKeys draws a key for each of some suites.
func (p *Plane) newKeys(suites ...srtp.Suite) ([]srtp.Key, *call.Refusal) {
	keys, err := srtp.NewKeys(suites, p.rand)
	if err != nil {
		p.cfg.Logger.Error("draw media keys", "error", err)
		return nil, call.Refuse(call.ReasonInternal, "media has no randomness")
	}
	return keys, nil
}

// offerLines makes the crypto lines of an offer: a new key for each suite. Where a re-offer goes to a peer
// that already has a key of ours, that key stays and comes first (RFC 4568 section 7.1.4).
func (p *Plane) offerLines(kept *line) ([]*line, *call.Refusal) {
	keys, refusal := p.newKeys(p.cfg.Suites...)
	if refusal != nil {
		return nil, refusal
	}
	lines := make([]*line, 0, len(keys)+1)
	if kept != nil {
		lines = append(lines, kept)
	}
	made := make([]line, len(keys)) // memory in one piece
	tag := 1
	for i, key := range keys {
		if kept != nil && key.Suite() == kept.key.Suite() {
			continue
		}
		if kept != nil && kept.tag.Is(sdp.Tag(strconv.Itoa(tag))) {
			tag++
		}
		made[i] = line{tag: sdp.Tag(strconv.Itoa(tag)), suite: key.Suite().String(), key: key}
		lines = append(lines, &made[i])
		tag++
	}
	return lines, nil
}
