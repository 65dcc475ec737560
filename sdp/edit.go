package sdp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Edit says what the description sent to the other side has of ours.
type Edit struct {
	// ID and Version are the session id and version of the o= line.
	ID, Version uint64
	// Origin is the address in the o= line, Addr the one in the c= line; they differ on hold, which is
	// asked for by an unspecified Addr.
	Origin, Addr netip.Addr
	// Media is the index of the one section that is kept; every other one is rejected with port 0.
	Media int
	// Port, Profile, Crypto and Mux are the kept section's.
	Port    uint16
	Profile Profile
	Crypto  []Crypto
	Mux     bool
	// Add is a format that is offered besides the section's own, after the last that is speech; none without a Name.
	Add Format
	// Drop is the name of a format that is left out with all that is said of it; empty for none. Instead, unless it has
	// no Name, takes its place.
	Drop    string
	Instead Format
	// ICE, unless it is the zero value, makes ours an ICE-lite agent with these candidates (RFC 8839).
	ICE        ICE
	Candidates []string
	// Like is the description being answered, nil for an offer. An answer has one section for each of
	// the offer's (RFC 3264 section 6); a missing one is added as rejected, one too many left out.
	Like *Description
}

// What a description of ours is longer by than the one it is made of, in bytes; where that is not enough the memory grows.
const (
	room         = 160
	roomOfCrypto = 120
)

// Rewrite returns the description as one of ours: every line that tells something about the side it came
// from is replaced or left out, what concerns the codecs is kept byte for byte.
func (d *Description) Rewrite(e Edit) []byte {
	w := writer{eol: d.eol, hide: d.private()}
	w.out = make([]byte, 0, d.size()+room+len(e.Crypto)*roomOfCrypto)
	w.session(d.lines[:d.session], e)
	for i := range d.Media {
		switch {
		case e.Like != nil && i >= len(e.Like.Media):
		case i == e.Media:
			w.kept(d, &d.Media[i], e)
		default:
			w.rejected(&d.Media[i])
		}
	}
	if e.Like != nil {
		for i := len(d.Media); i < len(e.Like.Media); i++ {
			w.rejected(&e.Like.Media[i])
		}
	}
	return w.out
}

func (d *Description) size() (n int) {
	for _, line := range d.lines {
		n += len(line)
	}
	return n
}

// private returns what must not appear on the other side: every address and host of o=, c= and a=rtcp, and keys.
func (d *Description) private() []hidden {
	all := make([]hidden, 1, 2) // o= and c= mostly name the same host
	all[0] = hide("inline:")
	for _, line := range d.lines {
		if !namesAddress(line) {
			continue
		}
		fields, last := 0, ""
		for field := range strings.FieldsSeq(value(line)) {
			fields, last = fields+1, field
		}
		if fields < 3 {
			continue
		}
		host, _, _ := strings.Cut(last, "/")
		// A placeholder tells nothing, and hiding a word or a dot would take codec lines along.
		if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() || len(host) < 3 || !strings.ContainsAny(host, ".:") {
			continue
		}
		host = strings.ToLower(host)
		if !slices.ContainsFunc(all, func(h hidden) bool { return h.text == host }) {
			all = append(all, hide(host))
		}
	}
	return all
}

func namesAddress(line string) bool {
	return strings.HasPrefix(line, "o=") || strings.HasPrefix(line, "c=") || strings.HasPrefix(line, "a=rtcp:")
}

type writer struct {
	out  []byte
	eol  string
	hide []hidden
}

func (w *writer) line(parts ...string) {
	for _, p := range parts {
		w.out = append(w.out, p...)
	}
	w.out = append(w.out, w.eol...)
}

func (w *writer) raw(line string) { w.out = append(w.out, line...) }

// tells reports whether a line names an address of the side it came from, or holds a key in a place that
// nobody should put one, such as a=acap (RFC 5939).
func (w *writer) tells(line string) bool {
	for i := range len(line) {
		if line[i] >= utf8.RuneSelf { // letters beyond ASCII may have a lower case within it
			line = strings.ToLower(line)
			break
		}
	}
	for _, h := range w.hide {
		if h.in(line) {
			return true
		}
	}
	return false
}

// hidden is a text that must not be told, in whatever case it is written.
type hidden struct {
	text  string // in lower case
	pivot int    // where in it a dot or a colon is, which few lines have
}

// hide takes a text that has a dot or a colon.
func hide(text string) hidden { return hidden{text, strings.IndexAny(text, ".:")} }

// in compares what is around each pivot of a line.
func (h hidden) in(line string) bool {
	for from := h.pivot; from < len(line); from++ {
		i := strings.IndexByte(line[from:], h.text[h.pivot])
		if i < 0 {
			return false
		}
		from += i
		if end := from - h.pivot + len(h.text); end <= len(line) && strings.EqualFold(line[from-h.pivot:end], h.text) {
			return true
		}
	}
	return false
}

// session writes the session part in the order of RFC 8866 section 5, whatever order it came in.
func (w *writer) session(lines []string, e Edit) {
	w.line("v=0")
	w.out = append(strconv.AppendUint(append(w.out, "o=- "...), e.ID, 10), ' ')
	w.out = append(strconv.AppendUint(w.out, e.Version, 10), ' ')
	w.address(e.Origin)
	if !w.copy(lines, "s") {
		w.line("s=-")
	}
	w.copy(lines, "i")
	w.out = append(w.out, "c="...)
	w.address(e.Addr)
	w.copy(lines, "b")
	if !w.copy(lines, "t") {
		w.line("t=0 0")
	}
	w.copy(lines, "rz")
	if e.ICE.Fragment != "" {
		w.line("a=ice-lite")
	}
	for _, line := range lines {
		if len(line) < 2 || line[1] != '=' || strings.IndexByte("vosiuepcbtrzk", line[0]) < 0 {
			w.attribute(line)
		}
	}
}

// copy writes the lines whose type is in kinds and reports whether there were any.
func (w *writer) copy(lines []string, kinds string) bool {
	some := false
	for _, line := range lines {
		if len(line) > 1 && line[1] == '=' && strings.IndexByte(kinds, line[0]) >= 0 && !w.tells(line) {
			w.raw(line)
			some = true
		}
	}
	return some
}

// address ends a line with an address.
func (w *writer) address(a netip.Addr) {
	network := "IN IP6 "
	if a.Is4() {
		network = "IN IP4 "
	}
	w.out = append(a.AppendTo(append(w.out, network...)), w.eol...)
}

// attribute writes a line unless it belongs to the side it came from alone.
func (w *writer) attribute(line string) {
	if strings.HasPrefix(line, "a=") {
		name, _, _ := strings.Cut(value(line), ":")
		if ownAttribute(strings.ToLower(strings.TrimSpace(name))) {
			return
		}
	}
	if !w.tells(line) {
		w.raw(line)
	}
}

// ownAttribute reports whether an attribute speaks of one side's transport, keys, feedback or grouping, all of which
// end at this node, or names its host (a=ssrc with a cname) or its software.
func ownAttribute(name string) bool {
	switch name {
	case "candidate", "remote-candidates", "end-of-candidates", "altc", "alt", "rtcp", "rtcp-mux",
		"rtcp-mux-only", "source-filter", "connection", "setup", "fingerprint", "tls-id", "dtls-id", "identity",
		"crypto", "key-mgmt", "zrtp-hash", "group", "bundle-only", "rtcp-fb", "rtcp-rsize", "ssrc", "ssrc-group", "msid",
		"msid-semantic", "tool",
		"acap", "tcap", "pcfg", "acfg", "csup", "creq", "sescap", "mcap", "mscap", "lcfg":
		return true
	}
	return strings.HasPrefix(name, "ice-")
}

func (w *writer) kept(d *Description, m *Media, e Edit) {
	var few [8]string // most sections have fewer formats
	w.mediaLine(m.Type, e.Port, e.Profile.String(), m.names(few[:0], e))
	written := false
	for _, line := range d.lines[m.first+1 : m.end] {
		isAttribute := strings.HasPrefix(line, "a=")
		if isAttribute && !written {
			w.ours(e)
			written = true
		}
		if strings.HasPrefix(line, "c=") || strings.HasPrefix(line, "k=") || isAttribute && e.Drop != "" && speaksOf(line, e.Drop) {
			continue
		}
		w.attribute(line)
	}
	if !written {
		w.ours(e)
	}
}

// names adds the formats of the section to names as the edit wants them.
func (m *Media) names(names []string, e Edit) []string {
	at := 0 // behind the last format that is speech
	for _, f := range m.Formats {
		switch {
		case f.Name != e.Drop || e.Drop == "":
			names = append(names, f.Name)
		case e.Instead.Name != "":
			names = append(names, e.Instead.Name)
		}
		if e.Add.Name != "" && f.Speech() {
			at = len(names)
		}
	}
	if e.Add.Name != "" {
		names = slices.Insert(names, at, e.Add.Name)
	}
	return names
}

// Speech reports whether a format of an audio section carries sound, and not events, comfort noise or copies.
func (f Format) Speech() bool {
	name, _, _ := strings.Cut(f.Encoding, "/")
	switch strings.ToLower(name) {
	case "telephone-event", "tone", "cn", "red":
		return false
	case "":
		return f.Name != "13" && f.Name != "19" // static and once reserved for comfort noise (RFC 3551 section 6)
	}
	return true
}

// speaksOf reports whether an attribute describes a format.
func speaksOf(line, format string) bool {
	name, rest, _ := strings.Cut(value(line), ":")
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "rtpmap", "fmtp":
		of, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		return of == format
	}
	return false
}

func (w *writer) ours(e Edit) {
	for _, f := range []Format{e.Add, e.Instead} {
		if f.Name != "" {
			w.line("a=rtpmap:", f.Name, " ", f.Encoding)
		}
	}
	for _, c := range e.Crypto {
		w.out = append(c.appendLine(w.out), w.eol...)
	}
	if e.Mux {
		w.line("a=rtcp-mux")
	}
	if e.ICE.Fragment == "" {
		return
	}
	w.line("a=ice-ufrag:", e.ICE.Fragment)
	w.line("a=ice-pwd:", string(e.ICE.Password))
	for _, c := range e.Candidates {
		w.line("a=candidate:", c)
	}
}

// rejected writes a section with port 0 and nothing of its attributes (RFC 3264 section 6).
func (w *writer) rejected(m *Media) {
	names := make([]string, 0, len(m.Formats))
	for _, f := range m.Formats {
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		names = append(names, "0")
	}
	w.mediaLine(m.Type, 0, m.Proto, names)
}

func (w *writer) mediaLine(kind string, port uint16, proto string, formats []string) {
	w.out = append(append(append(w.out, "m="...), kind...), ' ')
	w.out = append(append(strconv.AppendUint(w.out, uint64(port), 10), ' '), proto...)
	for _, f := range formats {
		w.out = append(append(w.out, ' '), f...)
	}
	w.out = append(w.out, w.eol...)
}
