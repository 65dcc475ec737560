// Package proxyproto reads the header in which a load balancer says whom a connection really comes from: the PROXY
// protocol, versions 1 and 2.
//
// Whoever may send the header may claim any address, so it is read only on connections from balancers that an operator
// has listed, and there it must come: guessing would let a client speak in the balancer's place.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// MaxHeader is the longest header of version 2 that is read, in octets: addresses and a certificate's names fit, and
// nobody can make a connection hold more before it has said anything.
const MaxHeader = 4096

// ErrMalformed is what every header that cannot be trusted whole is refused with.
var ErrMalformed = errors.New("malformed PROXY protocol header")

const (
	signature  = "\r\n\r\n\x00\r\nQUIT\n"
	prefix1    = "PROXY "
	maxLine1   = 107 // longest header of version 1, its line end included
	fixed2     = 16  // signature, version and command, family, length
	cmdLocal   = 0x20
	cmdProxy   = 0x21
	famNone    = 0x00
	famTCP4    = 0x11
	famTCP6    = 0x21
	tlvCRC32C  = 0x03
	tlvHeader  = 3
	addresses4 = 12
	addresses6 = 36
)

// Header is what a balancer says of a connection.
type Header struct {
	// Source is the client. It is the zero AddrPort when the connection is the balancer's own, a health check for
	// instance, or when the balancer does not know: the connection's own address then stands.
	Source netip.AddrPort
	// Destination is where the client connected to; zero with Source.
	Destination netip.AddrPort
}

// Read reads the header at the beginning of a connection, and not one octet more. Errors other than ErrMalformed are
// those of r.
func Read(r io.Reader) (Header, error) {
	var b [fixed2]byte
	if _, err := io.ReadFull(r, b[:len(signature)]); err != nil {
		return Header{}, fmt.Errorf("read PROXY protocol header: %w", err)
	}
	switch {
	case string(b[:len(signature)]) == signature:
		return read2(r, b)
	case string(b[:len(prefix1)]) == prefix1:
		return read1(r, b[:len(signature)])
	}
	return Header{}, malformed("it has the signature of neither version")
}

// Begins reports whether b, at least five octets, begins like a header: a stream that should have none and does comes
// from a balancer nobody has listed. No keep-alive of SIP and no TLS record begins so.
func Begins(b []byte) bool {
	const enough = 5
	if len(b) < enough {
		return false
	}
	if string(b[:enough]) == signature[:enough] {
		return true
	}
	word, isHeader := bytes.CutPrefix(b, []byte(prefix1[:enough]))
	return isHeader && (len(word) == 0 || bytes.HasPrefix(word, []byte(" TCP")) || bytes.HasPrefix(word, []byte(" UNKNOWN")))
}

func malformed(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }

// read2 reads version 2 after its signature, of which head has room for the rest of the fixed part.
func read2(r io.Reader, head [fixed2]byte) (Header, error) {
	if _, err := io.ReadFull(r, head[len(signature):]); err != nil {
		return Header{}, fmt.Errorf("read PROXY protocol header: %w", err)
	}
	command, family := head[12], head[13]
	length := int(binary.BigEndian.Uint16(head[14:]))
	if length > MaxHeader-fixed2 {
		return Header{}, malformed(strconv.Itoa(length) + " octets are too many")
	}
	whole := make([]byte, fixed2+length)
	copy(whole, head[:])
	body := whole[fixed2:]
	if _, err := io.ReadFull(r, body); err != nil {
		return Header{}, fmt.Errorf("read PROXY protocol header: %w", err)
	}
	if command != cmdLocal && command != cmdProxy {
		return Header{}, malformed("version or command is not known")
	}
	var h Header
	switch {
	case command == cmdLocal:
		return Header{}, nil // what follows is to be skipped, whatever it is
	case family == famNone:
	case family == famTCP4 && length >= addresses4:
		h.Source = addrPort(body[0:4], body[8:10])
		h.Destination = addrPort(body[4:8], body[10:12])
		body = body[addresses4:]
	case family == famTCP6 && length >= addresses6:
		h.Source = addrPort(body[0:16], body[32:34])
		h.Destination = addrPort(body[16:32], body[34:36])
		body = body[addresses6:]
	default:
		return Header{}, malformed("it is not about TCP")
	}
	if family != famNone {
		if !usable(h.Source) {
			return Header{}, malformed("its source is no client's address")
		}
		if err := checkTLVs(whole, body); err != nil {
			return Header{}, err
		}
	}
	return h, nil
}

// addrPort reads an address and a port, an IPv4 address in IPv6 clothes as IPv4: it is judged by lists of both.
func addrPort(ip, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}

// usable refuses addresses that no TCP connection comes from.
func usable(a netip.AddrPort) bool {
	return a.Port() != 0 && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast()
}

// checkTLVs walks the extensions behind the addresses and verifies the checksum if there is one. What a balancer says
// of TLS that it has ended is not used: behind it the words are in the clear, whatever they were before.
func checkTLVs(whole, b []byte) error {
	for len(b) > 0 {
		if len(b) < tlvHeader {
			return malformed("an extension is cut off")
		}
		size := int(binary.BigEndian.Uint16(b[1:]))
		if size > len(b)-tlvHeader {
			return malformed("an extension is longer than the header")
		}
		value := b[tlvHeader : tlvHeader+size]
		if b[0] == tlvCRC32C {
			if size != crc32.Size {
				return malformed("its checksum has not four octets")
			}
			want := binary.BigEndian.Uint32(value)
			clear(value) // the sum is over the header with its own field zero
			got := crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli))
			binary.BigEndian.PutUint32(value, want)
			if got != want {
				return malformed("its checksum does not fit")
			}
		}
		b = b[tlvHeader+size:]
	}
	return nil
}

// read1 reads version 1, a line of text of which begun has arrived. It reads octet by octet: what comes after the line
// end is not its to take.
func read1(r io.Reader, begun []byte) (Header, error) {
	line := append(make([]byte, 0, maxLine1), begun...)
	for !bytes.HasSuffix(line, []byte("\n")) {
		if len(line) == maxLine1 {
			return Header{}, malformed("the line does not end")
		}
		n, err := io.ReadFull(r, line[len(line):len(line)+1])
		if err != nil {
			return Header{}, fmt.Errorf("read PROXY protocol header: %w", err)
		}
		line = line[:len(line)+n]
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return Header{}, malformed("the line ends without CR")
	}
	fields := strings.Split(strings.TrimPrefix(text, prefix1), " ")
	if fields[0] == "UNKNOWN" {
		return Header{}, nil // the rest of the line is to be ignored
	}
	if len(fields) != 5 || fields[0] != "TCP4" && fields[0] != "TCP6" {
		return Header{}, malformed("the line is not about TCP")
	}
	var h Header
	var err1, err2 error
	h.Source, err1 = textAddr(fields[1], fields[3], fields[0] == "TCP4")
	h.Destination, err2 = textAddr(fields[2], fields[4], fields[0] == "TCP4")
	if err := errors.Join(err1, err2); err != nil {
		return Header{}, malformed("an address cannot be read")
	}
	if !usable(h.Source) {
		return Header{}, malformed("its source is no client's address")
	}
	return h, nil
}

func textAddr(ip, port string, v4 bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Zone() != "" || a.Is4() != v4 {
		return netip.AddrPort{}, ErrMalformed
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, ErrMalformed
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}
