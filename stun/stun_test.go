package stun

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// The request of RFC 5769 section 2.1, and its password.
const (
	samplePassword = "VOkJxbRl1RmTxUk/WvJxBt"
	sampleRequest  = "000100582112a442b7e7a701bc34d686fa87dfae" +
		"802200105354554e207465737420636c69656e74" +
		"002400046e0001ff" +
		"80290008932ff9b151263b36" +
		"000600096576746a3a68367659202020" +
		"000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2" +
		"80280004e57a3bcf"
)

func sample(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(sampleRequest)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSampleRequest(t *testing.T) {
	r, err := Parse(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Username) != "evtj:h6vY" || r.Priority != 0x6e0001ff || !r.Controlled || r.UseCandidate || r.Unknown() {
		t.Errorf("read %+v", r)
	}
	if !r.Authentic(NewProof(samplePassword)) || r.Authentic(NewProof(samplePassword+"x")) || r.Authentic(NewProof("")) {
		t.Error("the password is not told from others")
	}
}

// The answer of RFC 5769 section 2.2 has the mapped address and the proof that ours has for the same request, apart from
// the SOFTWARE attribute that tells whose it is.
func TestAnswers(t *testing.T) {
	r, err := Parse(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, mapped string }{
		{"192.0.2.1:32853", "002000080001a147e112a643"},
		{"[2001:db8:1234:5678:11:2233:4455:6677]:32853", "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"},
	} {
		b := r.AppendSuccess([]byte("before"), netip.MustParseAddrPort(tt.from), NewProof(samplePassword))[6:]
		if got := hex.EncodeToString(b); !strings.HasPrefix(got, "0101") || !strings.Contains(got, tt.mapped) || !bytes.Equal(b[4:20], sample(t)[4:20]) {
			t.Errorf("answer to %s is %s; want %s in it", tt.from, got, tt.mapped)
		}
		checkAnswer(t, b)
	}
	r.unknown, r.unknowns = [maxUnknownAttributes]uint16{0x0002, 0x7fff, 0x0099}, 3
	for code, want := range map[int]string{CodeRoleConflict: "0009000400000457", CodeUnknownAttribute: "0009000400000414" + "000a000600027fff00990000"} {
		b := r.AppendError(nil, code, NewProof(samplePassword))
		if got := hex.EncodeToString(b); !strings.HasPrefix(got, "0111") || !strings.Contains(got, want) {
			t.Errorf("answer %d is %s; want %s in it", code, got, want)
		}
		checkAnswer(t, b)
	}
}

// checkAnswer has the parser of requests judge an answer: both are made alike.
func checkAnswer(t *testing.T, b []byte) {
	t.Helper()
	if len(b) > MaxAnswer {
		t.Errorf("an answer of %d octets; want at most %d", len(b), MaxAnswer)
	}
	like := bytes.Clone(b)
	r := Request{raw: like}
	for at := headerSize; at < len(like); {
		kind, size := int(like[at])<<8|int(like[at+1]), int(like[at+3])
		switch kind {
		case attrIntegrity:
			r.integrity = at
		case attrFingerprint:
			if want := fingerprint(like[:at]); hex.EncodeToString(like[at+4:]) != hex.EncodeToString([]byte{byte(want >> 24), byte(want >> 16), byte(want >> 8), byte(want)}) {
				t.Error("the checksum is wrong")
			}
		}
		at += 4 + (size+3)&^3
	}
	if !r.Authentic(NewProof(samplePassword)) {
		t.Error("the answer is not authentic")
	}
}

func TestRefused(t *testing.T) {
	good := sample(t)
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	noFingerprint := change(func(b []byte) []byte { b[3] -= 8; return b[:len(b)-8] })
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":              {nil, ErrMalformed},
		"RTP":                {append([]byte{0x80, 0}, good[2:]...), ErrMalformed},
		"no cookie":          {change(func(b []byte) []byte { b[4] = 0; return b }), ErrMalformed},
		"an answer":          {change(func(b []byte) []byte { b[0] = 1; return b }), ErrMalformed},
		"an indication":      {change(func(b []byte) []byte { b[1] = 0x11; return b }), ErrMalformed},
		"cut off":            {good[:len(good)-4], ErrMalformed},
		"something behind":   {append(good, 0, 0, 0, 0), ErrMalformed},
		"wrong checksum":     {change(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), ErrMalformed},
		"changed":            {change(func(b []byte) []byte { b[44] ^= 1; return b }), ErrMalformed}, // by its checksum
		"long":               {make([]byte, MaxRequest+1), ErrMalformed},
		"attribute too long": {change(func(b []byte) []byte { b[23] = 0xff; return b }), ErrMalformed},
		"no checksum":        {noFingerprint, nil},
		"no credentials":     {[]byte("\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl"), ErrUnprotected},
		"no user":            {append([]byte("\x00\x01\x00\x18\x21\x12\xa4\x42abcdefghijkl\x00\x08\x00\x14"), make([]byte, 20)...), ErrUnprotected},
	} {
		if _, err := Parse(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
	}
	for i := range noFingerprint[:len(noFingerprint)-24] {
		b := bytes.Clone(noFingerprint)
		b[i] ^= 0x10
		if r, err := Parse(b); err == nil && r.Authentic(NewProof(samplePassword)) {
			t.Errorf("octet %d changed: authentic", i)
		}
	}
	// What stands behind the proof is nobody's word.
	behind := append(bytes.Clone(noFingerprint), 0, 0x25, 0, 0)
	behind[3] += 4
	if r, err := Parse(behind); err != nil || r.UseCandidate || !r.Authentic(NewProof(samplePassword)) {
		t.Errorf("an attribute behind the proof: %+v, %v", r, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte("\x00\x01\x00\x08\x21\x12\xa4\x42abcdefghijkl\x00\x25\x00\x00\x00\x02\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		r.Authentic(NewProof(samplePassword))
		for _, out := range [][]byte{r.AppendSuccess(nil, netip.MustParseAddrPort("[::1]:9"), NewProof("x")), r.AppendError(nil, CodeUnknownAttribute, NewProof("x"))} {
			if len(out) > MaxAnswer || !Is(out) {
				t.Fatalf("an answer of %d octets to %d", len(out), len(b))
			}
		}
	})
}
