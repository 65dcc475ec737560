package sdp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestParseCrypto(t *testing.T) {
	long := strings.Repeat("0", 15)
	for _, tt := range []struct {
		line     string
		lifetime uint64
		mki      []byte
		want     error
		why      string // is part of the reason
	}{
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30, 0, nil, nil, ""},
		{"999999999 x inline:" + key30 + "|2^48", 1 << 48, nil, nil, ""},
		{"0 x inline:" + key30 + "|2^0", 1, nil, nil, ""},
		{"000000001 x inline:" + key30 + "|2^31", 1 << 31, nil, nil, ""},
		{"1 x inline:" + key30 + "|281474976710656", 1 << 48, nil, nil, ""},
		{"1 x inline:" + key30 + "|1048576|1:4", 1 << 20, []byte{0, 0, 0, 1}, nil, ""},
		{"1 x inline:" + key30 + "|1:4", 0, []byte{0, 0, 0, 1}, nil, ""},
		{"1 x inline:" + key30 + "||1:4", 0, []byte{0, 0, 0, 1}, nil, ""},
		{"1 x inline:" + key30 + "|258:2", 0, []byte{1, 2}, nil, ""},
		{"1 x inline:" + key30 + "|0:1", 0, []byte{0}, nil, ""},
		{"1 x inline:" + key30 + "|18446744073709551616:9", 0, []byte{1, 0, 0, 0, 0, 0, 0, 0, 0}, nil, ""}, // 2^64
		{"1 x inline:" + key30 + "|1:128", 0, append(make([]byte, 127), 1), nil, ""},
		{"1\tx  inline:" + key30 + " ", 0, nil, nil, ""},
		{"1 x INLINE:" + key30 + " WSH=64 -UNKNOWN", 0, nil, nil, ""},
		{"1 x inline:AAAA==", 0, nil, nil, ""},
		{"1 x inline:" + key30 + "====", 0, nil, nil, ""},
		{"", 0, nil, ErrCrypto, "lacks"},
		{"1 x", 0, nil, ErrCrypto, "lacks"},
		{"x x inline:" + key30, 0, nil, ErrCrypto, "tag"},
		{"-1 x inline:" + key30, 0, nil, ErrCrypto, "tag"},
		{"+1 x inline:" + key30, 0, nil, ErrCrypto, "tag"},
		{"1000000000 x inline:" + key30, 0, nil, ErrCrypto, "tag"},
		{"0000000001 x inline:" + key30, 0, nil, ErrCrypto, "tag"},
		{"\u0661 x inline:" + key30, 0, nil, ErrCrypto, "tag"}, // a digit, but not of ours
		{"1 x inline:" + strings.Repeat("A", MaxCryptoLine), 0, nil, ErrCrypto, "512"},
		{"1 x uri:" + key30, 0, nil, ErrCryptoKey, "inline"},
		{"1 x inline:", 0, nil, ErrCryptoKey, "inline"},
		{"1 x inline:=", 0, nil, ErrCryptoKey, "base64"},
		{"1 x inline:!!!!", 0, nil, ErrCryptoKey, "base64"},
		{"1 x inline:AAAAA", 0, nil, ErrCryptoKey, "base64"},
		{"1 x inline:AA=AA", 0, nil, ErrCryptoKey, "base64"},
		{"1 x inline:AA-_", 0, nil, ErrCryptoKey, "base64"},
		{"1 x inline:" + key30 + "|", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "||", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|2^49", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|281474976710657", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|99999999999999999999", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|0", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|-5", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|0100", 0, nil, ErrCryptoKey, "leading zeros"},
		{"1 x inline:" + key30 + "|2^020", 0, nil, ErrCryptoKey, "leading zeros"},
		{"1 x inline:" + key30 + "|2^", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|3^20", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|2^-1", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|1:4|2^20", 0, nil, ErrCryptoKey, "lifetime"},
		{"1 x inline:" + key30 + "|1:0", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|256:1", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|1:129", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|1:256", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|1:-1", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|1:", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|:4", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|-1:4", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|1_0:4", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|2^20|1", 0, nil, ErrCryptoKey, "MKI"},
		{"1 x inline:" + key30 + "|2^20|1:1|x", 0, nil, ErrCryptoKey, "more than"},
		{"1 x inline:" + key30 + ";inline:" + key30, 0, nil, ErrCryptoKey, "several"},
		{"1 x inline:" + key30 + "|1:4;inline:" + key30 + "|2:4", 0, nil, ErrCryptoKey, "several"},
		{"1 x inline:" + key30 + " UNENCRYPTED_SRTP", 0, nil, ErrCryptoParameter, "UNENCRYPTED_SRTP"},
		{"1 x inline:" + key30 + " WSH=64 unencrypted_srtcp", 0, nil, ErrCryptoParameter, "UNENCRYPTED_SRTCP"},
		{"1 x inline:" + key30 + " UNAUTHENTICATED_SRTP", 0, nil, ErrCryptoParameter, "UNAUTHENTICATED_SRTP"},
		{"1 x inline:" + key30 + " UNENCRYPTED_SRTP=0", 0, nil, ErrCryptoParameter, "UNENCRYPTED_SRTP"},
		{"1 x inline:" + key30 + " KDR=1", 0, nil, ErrCryptoParameter, "KDR"},
		{"1 x inline:" + key30 + " FEC_ORDER=FEC_SRTP", 0, nil, ErrCryptoParameter, "FEC_ORDER"},
		{"1 x inline:" + key30 + " FEC_KEY=inline:" + key30, 0, nil, ErrCryptoParameter, "FEC_KEY"},
		{"1 x inline:" + key30 + " WSH=" + long + "x", 0, nil, ErrCryptoParameter, "WSH"},
		{"1 x inline:" + key30 + " WSH", 0, nil, ErrCryptoParameter, "WSH"},
		{"1 x inline:" + key30 + " -", 0, nil, ErrCryptoParameter, "insists"},
		{"1 x inline:" + key30 + " SOMETHING=new", 0, nil, ErrCryptoParameter, "insists"},
	} {
		c, err := ParseCrypto(Secret(tt.line))
		if !errors.Is(err, tt.want) || err == nil && (!bytes.Equal(c.MKI, tt.mki) || c.Lifetime != tt.lifetime) {
			t.Errorf("ParseCrypto(%q) = lifetime %d, mki %x, %v; want %d, %x, %v", tt.line, c.Lifetime, c.MKI, err, tt.lifetime, tt.mki, tt.want)
		}
		if tt.want == nil {
			continue
		}
		reason, ok := errors.AsType[*CryptoError](err)
		if !ok || !strings.Contains(reason.Why, tt.why) || len(c.KeySalt) > 0 && tt.want != ErrCryptoParameter {
			t.Errorf("ParseCrypto(%q): %v; want a reason with %q", tt.line, err, tt.why)
		}
	}
}

// A tag is a number, whatever zeros it begins with, and is repeated as it was written.
func TestTags(t *testing.T) {
	for _, tt := range []struct {
		a, b Tag
		same bool
	}{{"1", "1", true}, {"1", "001", true}, {"0", "000", true}, {"1", "10", false}, {"0", "1", false}, {"", "0", false}, {"", "", false}} {
		if tt.a.Is(tt.b) != tt.same || tt.b.Is(tt.a) != tt.same {
			t.Errorf("%q is %q: %v; want %v", tt.a, tt.b, tt.a.Is(tt.b), tt.same)
		}
	}
	c, err := ParseCrypto(Secret("0007 AES_CM_256_HMAC_SHA1_80 inline:AAAA"))
	if got, want := c.Line(), "a=crypto:0007 AES_CM_256_HMAC_SHA1_80 inline:AAAA"; err != nil || got != want {
		t.Errorf("%v, repeated as %q; want %q", err, got, want)
	}
}

func FuzzCrypto(f *testing.F) {
	f.Add("1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20|1:4 WSH=64")
	f.Add("1 AES_CM_256_HMAC_SHA1_80 inline:AAAA= UNENCRYPTED_SRTP")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCrypto(Secret(line))
		if err != nil {
			if why, ok := errors.AsType[*CryptoError](err); !ok || why.Why == "" {
				t.Fatalf("no reason: %v", err)
			}
			if len(c.KeySalt) > 0 && !errors.Is(err, ErrCryptoParameter) {
				t.Fatal("a key of a line that was not read")
			}
			return
		}
		if len(c.MKI) > maxMKI || c.Lifetime > 1<<48 || len(c.Tag) < 1 || len(c.Tag) > 9 {
			t.Fatalf("out of bounds: tag %q, MKI of %d octets, lifetime %d", c.Tag, len(c.MKI), c.Lifetime)
		}
		again, err := ParseCrypto(Secret(strings.TrimPrefix(c.Line(), "a=crypto:")))
		if err != nil || again.Tag != c.Tag || again.Suite != c.Suite || !bytes.Equal(again.KeySalt, c.KeySalt) {
			t.Fatalf("line %q reads back as %v, %v", line, again, err)
		}
	})
}
