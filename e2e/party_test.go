package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// message is a SIP message taken apart by hand.
type message struct {
	start  string
	header map[string]string // by name in lower case; of several lines the first
	vias   []string
	body   []byte
}

func (m message) status() int {
	if !strings.HasPrefix(m.start, "SIP/2.0 ") {
		return 0
	}
	n, _ := strconv.Atoi(m.start[8:11])
	return n
}

func (m message) method() string {
	if m.status() != 0 {
		_, method, _ := strings.Cut(m.header["cseq"], " ")
		return method
	}
	method, _, _ := strings.Cut(m.start, " ")
	return method
}

func (m message) seq() string {
	n, _, _ := strings.Cut(m.header["cseq"], " ")
	return n
}

// readMessage reads the next message of a stream.
func readMessage(r *bufio.Reader) (message, error) {
	m := message{header: map[string]string{}}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimRight(line, "\r\n")
		switch name, value, _ := strings.Cut(line, ":"); {
		case line == "" && m.start == "": // keep-alive
		case line == "":
			n, _ := strconv.Atoi(m.header["content-length"])
			m.body = make([]byte, n)
			_, err := io.ReadFull(r, m.body)
			return m, err
		case m.start == "":
			m.start = line
		default:
			name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
			if name == "via" {
				m.vias = append(m.vias, value)
			}
			if m.header[name] == "" {
				m.header[name] = value
			}
		}
	}
}

// branches numbers transactions and calls of all parties.
var branches atomic.Int64

// party is one end of a SIP dialog, written by hand: it says what a phone could not be made to say.
type party struct {
	t       *testing.T
	name    string
	conn    net.Conn
	in      chan message
	via     string // transport and address
	contact string
	// The dialog.
	id, local, remote, target string
	seq                       int
	late                      bool            // the last INVITE had no offer: the ACK brings the answer
	seen                      map[string]bool // requests, to know copies
	extra                     []string        // headers of the next message alone
}

// newParty takes messages from a connection, or from a UDP socket that is connected.
func newParty(t *testing.T, name, transport string, conn net.Conn) *party {
	t.Helper()
	n := branches.Add(1)
	at := conn.LocalAddr().String()
	p := &party{
		t: t, name: name, conn: conn, in: make(chan message, 64), via: transport + " " + at,
		contact: fmt.Sprintf("<sip:%s@%s;transport=%s>", name, at, strings.ToLower(transport)),
		id:      fmt.Sprintf("call-%d@%s", n, name), seen: map[string]bool{},
	}
	go p.read(transport == "UDP")
	t.Cleanup(func() { conn.Close() })
	return p
}

func (p *party) read(datagrams bool) {
	stream := bufio.NewReader(p.conn)
	buf := make([]byte, 65536)
	for {
		if datagrams {
			n, err := p.conn.Read(buf)
			if err != nil {
				return
			}
			stream = bufio.NewReader(bytes.NewReader(bytes.Clone(buf[:n])))
		}
		m, err := readMessage(stream)
		if err != nil && !datagrams {
			return
		}
		p.in <- m
	}
}

func (p *party) write(start string, header []string, body []byte) {
	p.t.Helper()
	var b bytes.Buffer
	b.WriteString(start + "\r\n" + strings.Join(header, "\r\n") + "\r\n")
	if body != nil {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := p.conn.Write(b.Bytes()); err != nil {
		p.t.Fatalf("%s writes %s: %v", p.name, start, err)
	}
}

// from begins a dialog of this party's.
func (p *party) from(self, peer string) {
	p.target = peer
	p.local, p.remote = fmt.Sprintf("<%s>;tag=%s%d", self, p.name, branches.Add(1)), "<"+peer+">"
}

// request sends a request and returns its number.
func (p *party) request(method string, seq int, body []byte) {
	p.t.Helper()
	extra := p.extra
	p.extra = nil
	p.write(method+" "+p.target+" SIP/2.0", append([]string{
		fmt.Sprintf("Via: SIP/2.0/%s;branch=z9hG4bK%d;rport", p.via, branches.Add(1)), "Max-Forwards: 70",
		"From: " + p.local, "To: " + p.remote, "Call-ID: " + p.id, fmt.Sprintf("CSeq: %d %s", seq, method),
		"Contact: " + p.contact, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE",
	}, extra...), body)
}

// send sends the next request of the dialog.
func (p *party) send(method string, body []byte) {
	p.t.Helper()
	p.seq++
	p.request(method, p.seq, body)
}

// final waits for the final answer to what was sent last, which must have this status, and takes the dialog from it. An
// INVITE's is acknowledged, unless it brings an offer that is still to be answered.
func (p *party) final(method string, want int) message {
	p.t.Helper()
	for {
		m := p.next("the answer to " + method)
		if m.status() < 200 || m.method() != method || m.seq() != strconv.Itoa(p.seq) {
			continue // also requests that the test does not wait for
		}
		if m.status() != want {
			p.t.Fatalf("%s: %s was answered %q, want %d", p.name, method, m.start, want)
		}
		if method == "INVITE" && want < 300 {
			p.remote, p.target = m.header["to"], uriOf(m.header["contact"])
		}
		if method == "INVITE" && !p.late {
			p.request("ACK", p.seq, nil)
		}
		return m
	}
}

// provisional waits for a provisional answer with this status.
func (p *party) provisional(want int) message {
	p.t.Helper()
	for {
		if m := p.next(fmt.Sprint(want)); m.status() == want {
			return m
		}
	}
}

// refused waits until an INVITE that was sent is refused with this status, or has come to the other side.
func (p *party) refused(status int, other *party) bool {
	p.t.Helper()
	for {
		select {
		case m := <-p.in:
			if m.status() == status && m.seq() == strconv.Itoa(p.seq) {
				p.request("ACK", p.seq, nil)
				time.Sleep(50 * time.Millisecond) // as RFC 3261 section 14.1 wants it, only shorter
				return true
			}
		case m := <-other.in:
			if m.method() == "INVITE" && m.status() == 0 {
				other.in <- m
				return false
			}
		case <-time.After(patience):
			p.t.Fatalf("%s waited %s in vain for what becomes of its INVITE", p.name, patience)
		}
	}
}

// await returns the next request, which must be this one. Copies are passed over, an ACK in the way too.
func (p *party) await(method string) message {
	p.t.Helper()
	for {
		m := p.next(method)
		key := m.method() + m.seq() + m.header["call-id"]
		switch {
		case m.status() != 0 || m.method() == "ACK" && method != "ACK" || p.seen[key]:
			continue
		case m.method() != method:
			p.t.Fatalf("%s waits for %s and got %s", p.name, method, m.start)
		}
		p.seen[key] = true
		if method == "INVITE" {
			p.id, p.remote, p.target = m.header["call-id"], m.header["from"], uriOf(m.header["contact"])
			if !strings.Contains(p.local, "tag=") {
				p.local = m.header["to"] + ";tag=" + p.name
			}
		}
		return m
	}
}

// answer answers a request.
func (p *party) answer(m message, status int, body []byte) {
	p.t.Helper()
	to := m.header["to"]
	if !strings.Contains(to, "tag=") {
		to += ";tag=" + p.name
	}
	var header []string
	for _, via := range m.vias {
		header = append(header, "Via: "+via)
	}
	header = append(header, "From: "+m.header["from"], "To: "+to, "Call-ID: "+m.header["call-id"], "CSeq: "+m.header["cseq"], "Contact: "+p.contact)
	header = append(header, p.extra...)
	p.extra = nil
	p.write(fmt.Sprintf("SIP/2.0 %d As told", status), header, body)
}

func (p *party) next(what string) message {
	p.t.Helper()
	select {
	case m := <-p.in:
		return m
	case <-time.After(patience):
		p.t.Fatalf("%s waited %s in vain for %s", p.name, patience, what)
		panic("unreachable")
	}
}

func uriOf(header string) string {
	_, uri, ok := strings.Cut(header, "<")
	if !ok {
		uri, _, _ = strings.Cut(header, ";")
		return uri
	}
	uri, _, _ = strings.Cut(uri, ">")
	return uri
}
