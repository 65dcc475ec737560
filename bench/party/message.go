package party

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Message is a SIP message, read as far as a load needs.
type Message []byte

// Status is a response's status code, 0 for a request.
func (m Message) Status() int {
	if len(m) < 12 || string(m[:8]) != "SIP/2.0 " {
		return 0
	}
	n, _ := strconv.Atoi(string(m[8:11]))
	return n
}

// Method is a request's method, for a response that of its CSeq.
func (m Message) Method() string {
	if m.Status() != 0 {
		_, method, _ := strings.Cut(m.Header("CSeq"), " ")
		return method
	}
	method, _, _ := bytes.Cut(m, []byte(" "))
	return string(method)
}

// URI is a request's URI.
func (m Message) URI() string {
	line, _, _ := bytes.Cut(m, []byte("\r\n"))
	parts := bytes.SplitN(line, []byte(" "), 3)
	if len(parts) < 3 {
		return ""
	}
	return string(parts[1])
}

// All returns the values of a header in their order. Short names are not read: neither system writes them.
func (m Message) All(name string) (values []string) {
	_, rest, _ := bytes.Cut(m, []byte("\r\n"))
	for len(rest) > 0 {
		line, next, _ := bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			values = append(values, strings.TrimSpace(string(line[len(name)+1:])))
		}
		rest = next
	}
	return values
}

func (m Message) Header(name string) string {
	if all := m.All(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (m Message) Body() string {
	_, body, _ := bytes.Cut(m, []byte("\r\n\r\n"))
	return string(body)
}

// MediaPort is the port of the first m= line of a description, 0 without one.
func (m Message) MediaPort() int {
	_, after, _ := strings.Cut(m.Body(), "m=audio ")
	port, _, _ := strings.Cut(after, " ")
	n, _ := strconv.Atoi(port)
	return n
}

// Target is the URI of a Contact.
func (m Message) Target() string {
	_, uri, _ := strings.Cut(m.Header("Contact"), "<")
	uri, _, _ = strings.Cut(uri, ">")
	return uri
}

// Frame cuts one message off the octets of a stream; it returns none while it is not complete.
func Frame(b []byte) (m Message, rest []byte, err error) {
	b = bytes.TrimLeft(b, "\r\n")
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return nil, b, nil
	}
	length, err := strconv.Atoi(Message(b[:head+2]).Header("Content-Length"))
	if err != nil || length < 0 {
		return nil, nil, errors.New("a message without a length")
	}
	end := head + 4 + length
	if len(b) < end {
		return nil, b, nil
	}
	return Message(b[:end]), b[end:], nil
}

// Description offers or answers audio at an address and port. A crypto, which is a tag, a suite and a key as a=crypto has
// them, makes it SRTP.
func Description(at net.IP, port int, crypto string) string {
	profile := "RTP/AVP"
	if crypto != "" {
		profile, crypto = "RTP/SAVP", "a=crypto:"+crypto+"\r\n"
	}
	return "v=0\r\no=- 1 1 IN IP4 " + at.String() + "\r\ns=-\r\nc=IN IP4 " + at.String() + "\r\nt=0 0\r\nm=audio " +
		strconv.Itoa(port) + " " + profile + " 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n" +
		"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n" + crypto + "a=sendrecv\r\n"
}

// Respond writes the response to a request; contact is the address that later requests of the call go to.
func Respond(m Message, status int, phrase, contact, body string) []byte {
	b := fmt.Appendf(nil, "SIP/2.0 %d %s\r\n", status, phrase)
	for _, name := range []string{"Via", "Record-Route", "From", "Call-ID", "CSeq"} {
		for _, value := range m.All(name) {
			b = fmt.Appendf(b, "%s: %s\r\n", name, value)
		}
	}
	to := m.Header("To")
	if !strings.Contains(to, "tag=") {
		to += ";tag=callee"
	}
	b = fmt.Appendf(b, "To: %s\r\nContact: <sip:callee@%s>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n", to, contact)
	if body != "" {
		b = append(b, "Content-Type: application/sdp\r\n"...)
	}
	return fmt.Appendf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
}
