package main

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
)

// message is a SIP message, read as far as a load needs.
type message []byte

// status is a response's status code, 0 for a request.
func (m message) status() int {
	if len(m) < 12 || string(m[:8]) != "SIP/2.0 " {
		return 0
	}
	n, _ := strconv.Atoi(string(m[8:11]))
	return n
}

// method is a request's method, for a response that of its CSeq.
func (m message) method() string {
	if m.status() != 0 {
		_, method, _ := strings.Cut(m.header("CSeq"), " ")
		return method
	}
	method, _, _ := bytes.Cut(m, []byte(" "))
	return string(method)
}

// uri is a request's URI.
func (m message) uri() string {
	line, _, _ := bytes.Cut(m, []byte("\r\n"))
	parts := bytes.SplitN(line, []byte(" "), 3)
	if len(parts) < 3 {
		return ""
	}
	return string(parts[1])
}

// all returns the values of a header in their order. Short names are not read: neither system writes them.
func (m message) all(name string) (values []string) {
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

func (m message) header(name string) string {
	if all := m.all(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (m message) body() string {
	_, body, _ := bytes.Cut(m, []byte("\r\n\r\n"))
	return string(body)
}

// mediaPort is the port of the first m= line of a description, 0 without one.
func (m message) mediaPort() int {
	_, after, _ := strings.Cut(m.body(), "m=audio ")
	port, _, _ := strings.Cut(after, " ")
	n, _ := strconv.Atoi(port)
	return n
}

// target is the URI of a Contact.
func (m message) target() string {
	_, uri, _ := strings.Cut(m.header("Contact"), "<")
	uri, _, _ = strings.Cut(uri, ">")
	return uri
}

// frame cuts one message off the octets of a stream; it returns none while it is not complete.
func frame(b []byte) (m message, rest []byte, err error) {
	b = bytes.TrimLeft(b, "\r\n")
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return nil, b, nil
	}
	length, err := strconv.Atoi(message(b[:head+2]).header("Content-Length"))
	if err != nil || length < 0 {
		return nil, nil, errors.New("a message without a length")
	}
	end := head + 4 + length
	if len(b) < end {
		return nil, b, nil
	}
	return message(b[:end]), b[end:], nil
}

// description offers or answers audio at an address and port; key makes it SRTP.
func description(at net.IP, port int, key string) string {
	profile, crypto := "RTP/AVP", ""
	if key != "" {
		profile, crypto = "RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key+"\r\n"
	}
	return "v=0\r\no=- 1 1 IN IP4 " + at.String() + "\r\ns=-\r\nc=IN IP4 " + at.String() + "\r\nt=0 0\r\nm=audio " +
		strconv.Itoa(port) + " " + profile + " 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n" +
		"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n" + crypto + "a=sendrecv\r\n"
}
