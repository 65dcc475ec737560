package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// v2 writes a header of version 2.
func v2(command, family byte, body string) string {
	b := append([]byte(signature), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return string(b) + body
}

const (
	four = "\xc0\x00\x02\x07" + "\xc6\x33\x64\x01" + "\x9c\x40" + "\x13\xc5" // 192.0.2.7:40000 to 198.51.100.1:5061
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x9c\x40" + "\x13\xc5"
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x01" + "\x9c\x40" + "\x13\xc5"
)

// tlv writes an extension.
func tlv(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// summed is a header with the checksum it should have.
func summed(body string) string {
	h := []byte(v2(cmdProxy, famTCP4, body+tlv(tlvCRC32C, "\x00\x00\x00\x00")))
	binary.BigEndian.PutUint32(h[len(h)-4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return string(h)
}

func TestRead(t *testing.T) {
	for name, tt := range map[string]struct {
		in     string
		source string // empty: the connection's own
	}{
		"v2, IPv4":                   {v2(cmdProxy, famTCP4, four), "192.0.2.7:40000"},
		"v2, IPv6":                   {v2(cmdProxy, famTCP6, six), "[2001:db8::7]:40000"},
		"v2, IPv4 in IPv6 clothes":   {v2(cmdProxy, famTCP6, mapped), "192.0.2.7:40000"},
		"v2, extensions":             {v2(cmdProxy, famTCP4, four+tlv(0x02, "sip.example.com")+tlv(0xea, "\x01vpce-1")), "192.0.2.7:40000"},
		"v2, checksum":               {summed(four + tlv(0x04, "pad")), "192.0.2.7:40000"},
		"v2, a health check":         {v2(cmdLocal, famNone, ""), ""},
		"v2, a health check says so": {v2(cmdLocal, famTCP4, four), ""},
		"v2, not known":              {v2(cmdProxy, famNone, "whatever"), ""},
		"v1, IPv4":                   {"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5061\r\n", "192.0.2.7:40000"},
		"v1, IPv6":                   {"PROXY TCP6 2001:db8::7 2001:db8::1 40000 5061\r\n", "[2001:db8::7]:40000"},
		"v1, not known":              {"PROXY UNKNOWN\r\n", ""},
		"v1, not known, more":        {"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			const after = "OPTIONS"
			whole := strings.NewReader(tt.in + after)
			h, err := Read(iotest.OneByteReader(whole))
			if err != nil {
				t.Fatal(err)
			}
			want := netip.AddrPort{}
			if tt.source != "" {
				want = netip.MustParseAddrPort(tt.source)
			}
			if h.Source != want || h.Source.IsValid() != h.Destination.IsValid() {
				t.Errorf("source %v, destination %v; want source %v", h.Source, h.Destination, want)
			}
			if rest, _ := io.ReadAll(whole); string(rest) != after {
				t.Errorf("%q is left to read, want %q", rest, after)
			}
			if !Begins([]byte(tt.in)) {
				t.Error("it is not known for a header")
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing of the kind":    "OPTIONS sip:a@example.com SIP/2.0\r\n",
		"a TLS record":           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
		"another version":        v2(0x11, famTCP4, four),
		"another command":        v2(0x22, famTCP4, four),
		"UDP":                    v2(cmdProxy, 0x12, four),
		"a local socket":         v2(cmdProxy, 0x31, strings.Repeat("x", 216)),
		"family of another size": v2(cmdProxy, famTCP6, four),
		"too long":               v2(cmdProxy, famTCP4, strings.Repeat("\x00", MaxHeader)),
		"no port":                v2(cmdProxy, famTCP4, four[:8]+"\x00\x00\x13\xc5"),
		"no address":             v2(cmdProxy, famTCP4, "\x00\x00\x00\x00"+four[4:]),
		"a group":                v2(cmdProxy, famTCP4, "\xe0\x00\x00\x01"+four[4:]),
		"wrong checksum":         strings.Replace(summed(four), "\xc0\x00\x02\x07", "\xc0\x00\x02\x08", 1),
		"short checksum":         v2(cmdProxy, famTCP4, four+tlv(tlvCRC32C, "\x00")),
		"extension cut off":      v2(cmdProxy, famTCP4, four+"\x01\x00"),
		"extension too long":     v2(cmdProxy, famTCP4, four+"\x01\x00\x05abc"),
		"v1, no end":             "PROXY TCP4 " + strings.Repeat("1", 200),
		"v1, no CR":              "PROXY TCP4 192.0.2.7 198.51.100.1 40000 5061\n",
		"v1, a word less":        "PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
		"v1, two spaces":         "PROXY TCP4  192.0.2.7 198.51.100.1 40000 5061\r\n",
		"v1, another family":     "PROXY TCP4 2001:db8::7 2001:db8::1 40000 5061\r\n",
		"v1, a zone":             "PROXY TCP6 fe80::1%lo 2001:db8::1 40000 5061\r\n",
		"v1, leading zero":       "PROXY TCP4 192.0.2.7 198.51.100.1 040000 5061\r\n",
		"v1, port too large":     "PROXY TCP4 192.0.2.7 198.51.100.1 65536 5061\r\n",
		"v1, a local socket":     "PROXY UNIX a b 1 1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if h, err := Read(strings.NewReader(in)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v; want ErrMalformed", h, err)
			}
		})
	}
	for _, whole := range []string{v2(cmdProxy, famTCP4, four), "PROXY TCP4 192.0.2.7 198.51.100.1 40000 5061\r\n"} {
		for i := range whole {
			if h, err := Read(strings.NewReader(whole[:i])); err == nil || errors.Is(err, ErrMalformed) {
				t.Errorf("%q, cut off: %+v, %v; want an error of the reader", whole[:i], h, err)
			}
		}
	}
}

func TestBeginsLeavesOthersAlone(t *testing.T) {
	for _, s := range []string{"", "\r\n\r\n", "\r\n\r\nOPTIONS sip:a@b SIP/2.0", "PROXY sip:a@b SIP/2.0\r\n", "\x16\x03\x01\x02\x00"} {
		if Begins([]byte(s)) {
			t.Errorf("%q is taken for a header", s)
		}
	}
	if !Begins([]byte("PROXY")) || !Begins([]byte(signature)[:5]) {
		t.Error("five octets of a header are not known for one")
	}
}

// FuzzRead: a header that is taken has a source that a connection can come from, is no longer than allowed, and reading
// it takes nothing of what follows.
func FuzzRead(f *testing.F) {
	f.Add([]byte(v2(cmdProxy, famTCP4, four)))
	f.Add([]byte(v2(cmdProxy, famTCP6, six+tlv(0x20, "\x01\x00\x00\x00\x00"))))
	f.Add([]byte(v2(cmdLocal, famNone, "")))
	f.Add([]byte(summed(four)))
	f.Add([]byte("PROXY TCP4 192.0.2.7 198.51.100.1 40000 5061\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const after = "\r\n\r\nafter"
		in := bytes.NewReader(append(bytes.Clone(data), after...))
		h, err := Read(in)
		if taken := len(data) + len(after) - in.Len(); taken > MaxHeader {
			t.Errorf("took %d octets", taken)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v", err)
			}
			return
		}
		if h.Source != (netip.AddrPort{}) && !usable(h.Source) {
			t.Errorf("source %v", h.Source)
		}
		if h.Source.Addr().Is4In6() {
			t.Errorf("source %v is not unmapped", h.Source)
		}
		again, err := Read(bytes.NewReader(data))
		if in.Len() >= len(after) && (err != nil || again != h) {
			t.Errorf("alone %+v, %v; with more behind it %+v", again, err, h)
		}
	})
}
