package sip

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func streamed(body string, lines ...string) string {
	b := request(append(lines, "Content-Length: "+itoa(len(body)))...)
	return string(b) + body
}

func itoa(n int) string {
	w := NewBuilder(nil)
	w.state = builderOpen
	w.WriteUint(uint64(n))
	return string(w.buf)
}

// frames feeds a stream in pieces of the given sizes, the last one repeated.
func frames(stream string, max int, sizes ...int) (messages []string, pings int, err error) {
	f := Framer{Max: max}
	for len(stream) > 0 {
		n := min(sizes[0], len(stream))
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		f.Write([]byte(stream[:n]))
		stream = stream[n:]
		for {
			msg, ok, err := f.Next()
			pings += f.Pings()
			if err != nil {
				return messages, pings, err
			}
			if !ok {
				break
			}
			messages = append(messages, string(msg))
		}
	}
	return messages, pings, nil
}

// Two lengths, a body that is a request, pipelining, delivery octet by octet and
// keep-alives: what desynchronises a stream, and what must not.
func TestFramer(t *testing.T) {
	one := streamed("body")
	inner := streamed("", "Subject: smuggled")
	carrier := streamed(inner, "Subject: carrier")
	for name, c := range map[string]struct {
		in    string
		want  []string
		pings int
		fault Fault
	}{
		"one":                     {one, []string{one}, 0, FaultNone},
		"pipelined":               {one + carrier + one, []string{one, carrier, one}, 0, FaultNone},
		"a request in the body":   {carrier, []string{carrier}, 0, FaultNone},
		"part":                    {one[:len(one)-1], nil, 0, FaultNone},
		"keep-alives":             {"\r\n\r\n" + one + "\r\n\r\n\r\n\r\n", []string{one}, 3, FaultNone},
		"a single CRLF":           {"\r\n" + one + "\r\n" + one, []string{one, one}, 0, FaultNone},
		"dblreq on a stream":      {streamed("") + "\r\n" + one, []string{streamed(""), one}, 0, FaultNone},
		"compact length":          {string(request("l : 2")) + "ab" + one, []string{string(request("l : 2")) + "ab", one}, 0, FaultNone},
		"folded length":           {string(request("l:\r\n 2")) + "ab" + one, []string{string(request("l:\r\n 2")) + "ab", one}, 0, FaultNone},
		"no length":               {string(request()) + one, nil, 0, FaultNoContentLength},
		"length in the body":      {string(request()) + "Content-Length: 0\r\n\r\n", nil, 0, FaultNoContentLength},
		"two lengths":             {string(request("Content-Length: 0", "Content-Length: 4")) + one, nil, 0, FaultDuplicate},
		"two equal lengths":       {string(request("Content-Length: 0", "l: 0")), nil, 0, FaultDuplicate},
		"length 1 0":              {string(request("Content-Length: 1 0")), nil, 0, FaultContentLength},
		"length broken by a fold": {string(request("Content-Length: 1\r\n 0")), nil, 0, FaultContentLength},
		"length -1":               {string(request("Content-Length: -1")), nil, 0, FaultContentLength},
		"length +4":               {string(request("Content-Length: +4")), nil, 0, FaultContentLength},
		"length 2^32":             {string(request("Content-Length: 4294967296")), nil, 0, FaultTooLarge},
		"length 2^64":             {string(request("Content-Length: 18446744073709551616")), nil, 0, FaultContentLength},
		"length 2^63":             {string(request("Content-Length: 9223372036854775808")), nil, 0, FaultContentLength},
		"length of 65,535":        {string(request("Content-Length: 65535")), nil, 0, FaultTooLarge},
		"length in a start line":  {"l: 0\r\nVia: x\r\n\r\n", nil, 0, FaultNoContentLength},
		"length in a fold":        {string(request("Subject: x\r\n Content-Length: 0")), nil, 0, FaultNoContentLength},
		"good then bad":           {one + string(request()), []string{one}, 0, FaultNoContentLength},
		"bare LF":                 {strings.Replace(one, "a@b\r\n", "a@b\n", 1), nil, 0, FaultLineEnd},
		"LF LF":                   {"OPTIONS sip:a SIP/2.0\n\n", nil, 0, FaultLineEnd},
		"TLS ClientHello":         {"\x16\x03\x01\x02\x00\x01", nil, 0, FaultStreamStart},
		"LF first":                {"\n" + one, nil, 0, FaultStreamStart},
		"CR and something":        {"\rX", nil, 0, FaultStreamStart},
		"space first":             {" " + one, nil, 0, FaultStreamStart},
		"headers without end":     {"OPTIONS sip:a SIP/2.0\r\n" + strings.Repeat("Subject: x\r\n", 6000), nil, 0, FaultTooLarge},
		"line without end":        {strings.Repeat("A", DefaultMaxMessage+1), nil, 0, FaultTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]int{{len(c.in)}, {1}, {7}, {len(c.in) - 1, 1}} {
				got, pings, err := frames(c.in, 0, sizes...)
				if fault, _ := faultOf(t, err); fault != c.fault {
					t.Errorf("pieces of %v: got %v, want %v", sizes, fault, c.fault)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("pieces of %v: got %q, want %q", sizes, got, c.want)
				}
				if pings != c.pings {
					t.Errorf("pieces of %v: got %d pings, want %d", sizes, pings, c.pings)
				}
			}
		})
	}
}

func TestFramerErrorIsFinal(t *testing.T) {
	var f Framer
	bad := string(request("Subject: no length"))
	f.Write([]byte(bad))
	head, ok, err := f.Next()
	if ok || err == nil {
		t.Fatal("accepted a message without Content-Length")
	}
	var m Message
	if m.Parse(head); !m.Answerable() {
		t.Errorf("the error cannot be answered along %q", head)
	}
	f.Write([]byte(streamed("")))
	if _, ok, again := f.Next(); ok || !errors.Is(again, err) {
		t.Errorf("after the error: got %v %v", ok, again)
	}
}

// The length a peer claims must cost nothing before its octets arrive.
func TestFramerAllocatesWhatArrived(t *testing.T) {
	f := Framer{Max: 1 << 30}
	f.Write(request("Content-Length: 1000000000"))
	if _, ok, err := f.Next(); ok || err != nil {
		t.Fatalf("got %v %v", ok, err)
	}
	if got := cap(f.buf); got > 4096 {
		t.Errorf("a claim of 1 GB made a buffer of %d", got)
	}
	if f.Buffered() != len(request("Content-Length: 1000000000")) {
		t.Errorf("buffered: got %d", f.Buffered())
	}
}

func TestFramerFill(t *testing.T) {
	one := streamed(strings.Repeat("x", 3000))
	stream := strings.Repeat(one, 50)
	var f Framer
	r := strings.NewReader(stream)
	var got bytes.Buffer
	for {
		_, err := f.Fill(r)
		for {
			msg, ok, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			got.Write(msg)
		}
		if err == io.EOF {
			break
		}
	}
	if got.String() != stream {
		t.Errorf("got %d octets back, want %d", got.Len(), len(stream))
	}
	if cap(f.buf) > 8*minFill {
		t.Errorf("the buffer grew to %d for messages of %d", cap(f.buf), len(one))
	}
}

// A long message must not leave its memory with a connection that then waits.
func TestFramerGivesLongBuffersBack(t *testing.T) {
	const head = "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 60000\r\n\r\n"
	var f Framer
	in := strings.NewReader(head + strings.Repeat("x", 60000))
	whole := false
	for !whole {
		if _, err := f.Fill(in); err != nil {
			t.Fatal(err)
		}
		var err error
		if _, whole, err = f.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Fill(strings.NewReader("OPT")); err != nil || string(f.Peek()) != "OPT" {
		t.Fatalf("after it came %q, %v", f.Peek(), err)
	}
	if n := cap(f.buf); n > keptFill {
		t.Errorf("%d octets are kept, want %d at most", n, keptFill)
	}
}
