// Package sdp reads session descriptions and edits them line by line (RFC 8866, RFC 3264, RFC 4568).
//
// Real trunks send bodies that a strict parser rejects: fax sections, lines in the wrong order, missing s= or
// t=, lines of unknown type. A description here is a list of lines; the few that matter are understood, and
// an edited description keeps every other byte.
package sdp

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of a description.
const (
	// MaxSize is the longest description read, in bytes.
	MaxSize = 32 << 10
	// MaxLines is the most lines read.
	MaxLines = 512
	// MaxMedia is the most m= sections read: each could cost ports.
	MaxMedia = 16
	// MaxFormats is the most payload formats of one section.
	MaxFormats = 64
	// MaxAddresses is the most lines read that may name an address of the describing side, all of them looked for in every
	// other line: two for each section and those of the session.
	MaxAddresses = 2*MaxMedia + 2
)

// Errors of Parse. The text of a description is never part of an error: it may hold keys.
var (
	// ErrTooLarge: a bound of the package is exceeded.
	ErrTooLarge = errors.New("sdp: description too large")
	// ErrSyntax: a line that must be understood is not.
	ErrSyntax = errors.New("sdp: malformed description")
)

// Direction says which way a section's media flow, seen from the side that describes it.
type Direction uint8

// The directions of RFC 3264 section 5.1; SendRecv is the default.
const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

// Sends reports whether the describing side sends.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives reports whether the describing side receives.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

// Format is one payload format of a section.
type Format struct {
	// Name is the format as the m= line has it; for RTP the payload type.
	Name string
	// Encoding is the a=rtpmap value, for example "PCMU/8000"; empty where none was given.
	Encoding string
	// Parameters is the a=fmtp value; empty where none was given.
	Parameters string
}

// ICE is what an agent is known by to the other one (RFC 8839 section 5.4). The zero value is no ICE.
type ICE struct {
	// Fragment is the username fragment, Password what connectivity checks are proven with.
	Fragment string
	Password Secret
}

// Valid reports whether both are there and of a length that RFC 8839 allows.
func (i ICE) Valid() bool {
	return len(i.Fragment) >= 4 && len(i.Fragment) <= 256 && len(i.Password) >= 22 && len(i.Password) <= 256
}

// Equal reports whether both have the same credentials.
func (i ICE) Equal(o ICE) bool {
	return i.Fragment == o.Fragment && string(i.Password) == string(o.Password)
}

// Media is one m= section.
type Media struct {
	// Type is "audio", "image" and so on, in lower case.
	Type string
	// Port is the port; 0 rejects the section. Count is the number of ports, 1 unless written otherwise.
	Port  uint16
	Count int
	// Proto is the transport, for example "RTP/SAVP".
	Proto string
	// Formats are the payload formats in their order.
	Formats []Format
	// Addr is the connection address of the section, or else of the session; invalid when there is none
	// or it is a name.
	Addr netip.Addr
	// RTCP is the address of a=rtcp (RFC 3605); its Addr is invalid when the line names only a port.
	RTCP netip.AddrPort
	// Mux is true with a=rtcp-mux (RFC 5761).
	Mux bool
	// NoSenders and NoReceivers are true with b=RS:0 and b=RR:0 (RFC 3556), the section's or else the session's. With both,
	// there is to be no RTCP.
	NoSenders, NoReceivers bool
	// Direction is the section's, or else the session's.
	Direction Direction
	// ICE holds the credentials of a=ice-ufrag and a=ice-pwd (RFC 8839), the section's or else the session's.
	ICE ICE
	// PTime is a=ptime in milliseconds, 0 when absent.
	PTime int
	// Crypto holds the values of the a=crypto lines, for ParseCrypto, in their order.
	Crypto []Secret
	// DTLS is true with an a=fingerprint (RFC 5763).
	DTLS bool

	first, end int // lines[first:end], the first being the m= line
}

// Description is a parsed description. It formats without its text.
type Description struct {
	// Media are the sections in their order.
	Media []Media

	text    string
	lines   []string // with their line ends
	session int      // lines of the session part
	eol     string
}

// String returns a placeholder: the text may hold keys.
func (d *Description) String() string { return "sdp with " + strconv.Itoa(len(d.Media)) + " sections" }

// Is reports whether d was parsed from b.
func (d *Description) Is(b []byte) bool { return d.text == string(b) }

// Format writes String's text whatever the verb: %#v would otherwise print the lines.
func (d *Description) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// Parse reads a description. Lines may end in CRLF or LF. Unknown and misplaced lines are kept.
func Parse(b []byte) (*Description, error) {
	if len(b) > MaxSize {
		return nil, ErrTooLarge
	}
	d := &Description{text: string(b), eol: "\n"}
	if err := d.split(d.text); err != nil {
		return nil, err
	}
	d.session = len(d.lines)
	addresses := 0
	for i, line := range d.lines {
		if namesAddress(line) {
			addresses++
		}
		if addresses > MaxAddresses {
			return nil, ErrTooLarge
		}
		if !strings.HasPrefix(line, "m=") {
			continue
		}
		if err := d.begin(i); err != nil {
			return nil, err
		}
	}
	return d, d.read()
}

// begin adds the section that the i-th line begins.
func (d *Description) begin(i int) error {
	n := len(d.Media)
	if n == MaxMedia {
		return ErrTooLarge
	}
	if n > 0 {
		d.Media[n-1].end = i
	} else {
		d.session = i
	}
	d.Media = append(d.Media, Media{Count: 1, first: i, end: len(d.lines)})
	return d.Media[n].readMediaLine(value(d.lines[i]))
}

func (d *Description) split(text string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%w: NUL", ErrSyntax)
	}
	d.lines = make([]string, 0, min(MaxLines, strings.Count(text, "\n")+1))
	for len(text) > 0 {
		line := text[:1+strings.IndexByte(text, '\n')]
		if line == "" {
			line = text
		}
		text = text[len(line):]
		if strings.TrimSpace(line) == "" {
			continue
		}
		bare := withoutEnd(line)
		if strings.IndexByte(bare, '\r') >= 0 {
			// A bare CR is a line end to some peers and not to others: one of them would see a line
			// that we never judged.
			return fmt.Errorf("%w: stray CR", ErrSyntax)
		}
		if len(d.lines) == MaxLines {
			return ErrTooLarge
		}
		if strings.HasSuffix(line, "\r\n") {
			d.eol = "\r\n"
		}
		d.lines = append(d.lines, line)
	}
	if len(d.lines) == 0 || !strings.HasPrefix(d.lines[0], "v=") {
		return fmt.Errorf("%w: no v= line", ErrSyntax)
	}
	// A last line without an end would grow together with what is written after it.
	if last := len(d.lines) - 1; !strings.HasSuffix(d.lines[last], "\n") {
		d.lines[last] = withoutEnd(d.lines[last]) + d.eol
	}
	return nil
}

// withoutEnd cuts all CR and LF from the end of a line.
func withoutEnd(line string) string {
	for n := len(line); n > 0 && (line[n-1] == '\r' || line[n-1] == '\n'); n-- {
		line = line[:n-1]
	}
	return line
}

// value returns what follows "x=", without surrounding blanks and line end.
func value(line string) string {
	if len(line) < 2 {
		return ""
	}
	return strings.TrimSpace(line[2:])
}

// readMediaLine takes the value of the m= line.
func (m *Media) readMediaLine(s string) error {
	n := 0
	for field := range strings.FieldsSeq(s) {
		switch n++; n {
		case 1:
			m.Type = strings.ToLower(field)
		case 2:
			if err := m.readPort(field); err != nil {
				return err
			}
		case 3:
			m.Proto = field
			m.Formats = make([]Format, 0, min(MaxFormats, max(0, strings.Count(s, " ")-2)))
		default:
			if len(m.Formats) == MaxFormats {
				return ErrTooLarge
			}
			m.Formats = append(m.Formats, Format{Name: field})
		}
	}
	if n < 3 {
		return fmt.Errorf("%w: m= line has %d fields", ErrSyntax, n)
	}
	return nil
}

// readPort takes the port of an m= line, behind which the number of ports may stand.
func (m *Media) readPort(s string) error {
	port, count, several := strings.Cut(s, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("%w: port of the m= line", ErrSyntax)
	}
	m.Port = uint16(n)
	if !several {
		return nil
	}
	if n, err = strconv.ParseUint(count, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%w: port count of the m= line", ErrSyntax)
	}
	m.Count = int(n)
	return nil
}

// read fills in what the lines of the session and of each section say.
func (d *Description) read() error {
	var session Media
	for _, line := range d.lines[:d.session] {
		if err := session.readLine(line); err != nil {
			return err
		}
	}
	for i := range d.Media {
		m := &d.Media[i]
		m.Addr, m.Direction, m.ICE = session.Addr, session.Direction, session.ICE
		m.NoSenders, m.NoReceivers = session.NoSenders, session.NoReceivers
		for _, line := range d.lines[m.first+1 : m.end] {
			if err := m.readLine(line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Media) readLine(line string) error {
	switch {
	case strings.HasPrefix(line, "c="):
		addr, err := parseConnection(value(line))
		if err != nil {
			return err
		}
		m.Addr = addr
	case strings.HasPrefix(line, "b="):
		m.readBandwidth(value(line))
	case strings.HasPrefix(line, "a="):
		return m.readAttribute(value(line))
	}
	return nil
}

// readBandwidth takes what is granted to RTCP; anything else is nobody's concern here.
func (m *Media) readBandwidth(s string) {
	kind, bits, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(strings.TrimSpace(bits), 10, 64)
	switch strings.ToUpper(kind) {
	case "RS":
		m.NoSenders = err == nil && n == 0
	case "RR":
		m.NoReceivers = err == nil && n == 0
	}
}

// parseConnection reads "IN IP4 address[/ttl[/count]]". A name is no error but gives no address: resolving
// it would let a description choose what this node asks of DNS.
func parseConnection(s string) (netip.Addr, error) {
	var f [3]string
	n := 0
	for field := range strings.FieldsSeq(s) {
		if f[n] = field; n == 2 {
			break
		}
		n++
	}
	if f[2] == "" || !strings.EqualFold(f[0], "IN") {
		return netip.Addr{}, fmt.Errorf("%w: c= line", ErrSyntax)
	}
	text, _, _ := strings.Cut(f[2], "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, nil
	}
	return addr.Unmap(), nil
}

func (m *Media) readAttribute(s string) error {
	name, val, _ := strings.Cut(s, ":")
	switch strings.ToLower(name) {
	case "sendrecv":
		m.Direction = SendRecv
	case "sendonly":
		m.Direction = SendOnly
	case "recvonly":
		m.Direction = RecvOnly
	case "inactive":
		m.Direction = Inactive
	case "rtcp-mux":
		m.Mux = true
	case "rtcp":
		return m.readRTCP(val)
	case "ice-ufrag":
		m.ICE.Fragment = strings.TrimSpace(val)
	case "ice-pwd":
		m.ICE.Password = Secret(strings.TrimSpace(val))
	case "crypto":
		if len(m.Crypto) < MaxCryptoLines {
			m.Crypto = append(m.Crypto, Secret(val))
		}
	case "fingerprint":
		m.DTLS = true
	case "ptime":
		if n, err := strconv.ParseUint(strings.TrimSpace(val), 10, 16); err == nil {
			m.PTime = int(n)
		}
	case "rtpmap":
		if f, said := m.format(val); f != nil {
			f.Encoding = strings.TrimSpace(said)
		}
	case "fmtp":
		if f, said := m.format(val); f != nil {
			f.Parameters = said
		}
	}
	return nil
}

// format returns the format that an attribute speaks of, nil where the section has none of that name, and what it says.
func (m *Media) format(val string) (f *Format, said string) {
	name, said, _ := strings.Cut(strings.TrimSpace(val), " ")
	for i := range m.Formats {
		if m.Formats[i].Name == name {
			return &m.Formats[i], said
		}
	}
	return nil, ""
}

func (m *Media) readRTCP(val string) error {
	f := strings.Fields(val)
	if len(f) == 0 {
		return fmt.Errorf("%w: a=rtcp", ErrSyntax)
	}
	port, err := strconv.ParseUint(f[0], 10, 16)
	if err != nil {
		return fmt.Errorf("%w: port of a=rtcp", ErrSyntax)
	}
	var addr netip.Addr
	if len(f) > 1 {
		if addr, err = parseConnection(strings.Join(f[1:], " ")); err != nil {
			return err
		}
	}
	m.RTCP = netip.AddrPortFrom(addr, uint16(port))
	return nil
}
