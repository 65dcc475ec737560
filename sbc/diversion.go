package sbc

import (
	"strings"

	"carillon/sip"
	"carillon/trunk"
)

// maxDiversions bounds the entries of Diversion and of History-Info that cross: each was added by a phone or proxy that
// sent the call on, and what is longer comes from a loop.
const maxDiversions = 20

// nobody is the URI of who wants to stay unknown (RFC 3323 section 4.1.1.3).
const nobody = "sip:anonymous@anonymous.invalid"

// passDiversions writes who sent a call on before it came here. The numbers cross; hosts do not, they are the other
// side's network: each entry is written anew under the node's own domain. A number that is to stay unknown crosses to a
// carrier alone, which keeps to what is said of it (RFC 3325 section 5, RFC 7044 section 10.1.2).
func (c *activeCall) passDiversions(b *sip.Builder, m *sip.Message, trusted bool) {
	n := 0
	for value := range m.Values(sip.HdrDiversion) {
		if text := c.diversion(value, trusted); text != "" && n < maxDiversions {
			b.Header("Diversion", text)
			n++
		}
	}
	hidden := hidesHistory(string(m.Get(sip.HdrPrivacy)))
	for value := range m.Values(sip.HdrHistoryInfo) {
		if text := c.historyEntry(value, trusted, hidden); text != "" && n < maxDiversions {
			b.Header("History-Info", text)
			n++
		}
	}
}

// passReferrer writes who had a call transferred (RFC 3892), where that was said with a number.
func (c *activeCall) passReferrer(b *sip.Builder, m *sip.Message) {
	if _, uri := c.ownForm(m.Get(sip.HdrReferredBy)); uri != "" {
		b.Header("Referred-By", "<"+uri+">")
	}
}

// diversion returns an entry of Diversion (RFC 5806) as it may cross, empty where it names no number.
func (c *activeCall) diversion(value []byte, trusted bool) string {
	addr, uri := c.ownForm(value)
	if uri == "" {
		return ""
	}
	v, _ := addr.Param("privacy")
	if privacy := strings.ToLower(strings.Trim(string(v), `"`)); !trusted && privacy != "" && privacy != "off" && privacy != "name" {
		uri = nobody
	}
	return "<" + uri + ">" + tokenParams(addr, "reason", "counter", "limit", "privacy", "screen")
}

// historyEntry returns an entry of History-Info (RFC 7044) as it may cross. Its index tells the order; the reason of a
// retargeting is a parameter of the URI (RFC 4458), and that it is to stay unknown a header in it.
func (c *activeCall) historyEntry(value []byte, trusted, hidden bool) string {
	addr, uri := c.ownForm(value)
	if uri == "" {
		return ""
	}
	hides := hidden || hidesHistory(privacyIn(&addr.URI))
	if hides && !trusted {
		uri = nobody
	}
	if cause, ok := addr.URI.Param("cause"); ok && isToken(string(cause)) {
		uri += ";cause=" + string(cause)
	}
	if hides {
		uri += "?Privacy=history"
	}
	return "<" + uri + ">" + tokenParams(addr, "index", "rc", "mp", "np")
}

// hidesHistory reports whether a value of Privacy covers who sent a call on.
func hidesHistory(privacy string) bool {
	for value := range strings.FieldsFuncSeq(privacy, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		switch strings.ToLower(value) {
		case "history", "header", "session":
			return true
		}
	}
	return false
}

// privacyIn returns the value of Privacy among the headers of a URI, empty for none.
func privacyIn(uri *sip.URI) string {
	for field := range strings.SplitSeq(string(uri.Headers), "&") {
		if name, value, _ := strings.Cut(field, "="); strings.EqualFold(name, "Privacy") {
			return string(sip.Unescape(nil, []byte(value)))
		}
	}
	return ""
}

// ownForm reads an entry and returns its number as a URI of ours.
func (c *activeCall) ownForm(value []byte) (addr sip.NameAddr, uri string) {
	addr, err := sip.ParseNameAddr(value)
	if err != nil {
		return addr, ""
	}
	n, ok := trunk.ParseNumber(userOf(&addr.URI))
	if !ok {
		return addr, ""
	}
	return addr, "sip:" + string(n) + "@" + c.s.cfg.Domain
}

// tokenParams copies parameters whose values are tokens and so can name no host of more than one label.
func tokenParams(addr sip.NameAddr, names ...string) string {
	var b strings.Builder
	for _, name := range names {
		v, ok := addr.Param(name)
		value := strings.Trim(string(v), `"`)
		if ok && isToken(value) {
			b.WriteString(";" + name + "=" + value)
		}
	}
	return b.String()
}

// isToken accepts what reasons, counters and indices are written with: letters, digits, dashes, and dots between digits.
func isToken(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	letters, dots := false, false
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-':
			letters = true
		case r == '.':
			dots = true
		case r < '0' || r > '9':
			return false
		}
	}
	return !(letters && dots)
}
