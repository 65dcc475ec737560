package srtp

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"carillon/rtp"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type gcmVector struct {
	ID        string   `json:"id"`
	Kind      string   `json:"kind"`
	Key       hexBytes `json:"key"`
	Salt      hexBytes `json:"salt"`
	ROC       uint32   `json:"roc"`
	Index     uint32   `json:"index"`
	Plain     hexBytes `json:"plain"`
	Protected hexBytes `json:"protected"`
}

type vectors struct {
	CM []struct {
		ID     string              `json:"id"`
		Key    hexBytes            `json:"session_key"`
		IV     hexBytes            `json:"iv"`
		Blocks map[string]hexBytes `json:"blocks"`
	} `json:"aes_cm"`
	KDF []struct {
		ID         string   `json:"id"`
		Key        hexBytes `json:"master_key"`
		Salt       hexBytes `json:"master_salt"`
		CipherKey  hexBytes `json:"cipher_key"`
		CipherSalt hexBytes `json:"cipher_salt"`
		AuthKey    hexBytes `json:"auth_key"`
	} `json:"kdf"`
	F8  []struct{ ID string } `json:"f8"`
	GCM []gcmVector           `json:"gcm"`
}

func load(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.CM) != 3 || len(v.KDF) != 3 || len(v.F8) != 1 || len(v.GCM) != 8 {
		t.Fatalf("read %d, %d, %d, %d vectors; want 3, 3, 1, 8", len(v.CM), len(v.KDF), len(v.F8), len(v.GCM))
	}
	return v
}

func TestCounterModeVectors(t *testing.T) {
	for _, v := range load(t).CM {
		block, err := aes.NewCipher(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		stream := make([]byte, 65282*16)
		var k keyStream
		k.begin(block, v.IV[:14])
		k.xor(NewScratch(), stream, 0, 0)
		for n, want := range v.Blocks {
			i, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			if got := stream[16*i : 16*i+16]; !bytes.Equal(got, want) {
				t.Errorf("%s block %s: %x; want %x", v.ID, n, got, want)
			}
		}
	}
}

func TestKeyDerivationVectors(t *testing.T) {
	for _, v := range load(t).KDF {
		p, err := newPRF(v.Key, v.Salt)
		if err != nil {
			t.Fatal(err)
		}
		for label, want := range map[byte]hexBytes{labelRTPCipher: v.CipherKey, labelRTPAuth: v.AuthKey, labelRTPSalt: v.CipherSalt} {
			if got := p.derive(make([]byte, len(want)+15), label, len(want)); !bytes.Equal(got, want) {
				t.Errorf("%s label %d: %x; want %x", v.ID, label, got, want)
			}
		}
	}
}

func TestGCMVectors(t *testing.T) {
	for _, v := range load(t).GCM {
		suite := AEAD_AES_128_GCM
		if len(v.Key) == 32 {
			suite = AEAD_AES_256_GCM
		}
		tr := blank(suite)
		if err := tr.begin(suite, &sessionKeys{cipher: v.Key, salt: v.Salt}); err != nil {
			t.Fatal(err)
		}
		switch v.Kind {
		case "rtp":
			checkRTPVector(t, tr, v)
		case "rtcp":
			ssrc, word := binary.BigEndian.Uint32(v.Plain[4:]), v.Index|encrypted
			got := tr.sealRTCP(append(make([]byte, 0, 200), v.Plain...), ssrc, word)
			if !bytes.Equal(got, v.Protected) {
				t.Errorf("%s: %x; want %x", v.ID, got, v.Protected)
			}
			n, ok := tr.openRTCP(got, ssrc, word)
			if !ok || !bytes.Equal(got[:n], v.Plain) {
				t.Errorf("%s: opens as %x, %v; want %x", v.ID, got[:n], ok, v.Plain)
			}
		case "rtcp-auth-only":
			// Authentication without encryption is never negotiated (UNENCRYPTED_SRTCP is refused), so the
			// right outcome of these packets is a refusal.
			r := &Receiver{rtp: tr, rtcp: &later{made: tr}, tag: 16, rtcpTag: 16}
			if _, err := r.UnprotectRTCP(make([]byte, 0, 200), v.Protected); err != ErrClear {
				t.Errorf("%s: %v; want %v", v.ID, err, ErrClear)
			}
		case "rtp-auth-only":
			// Likewise UNENCRYPTED_SRTP; such a packet does not open under the encrypting transform.
			h, err := rtp.Parse(v.Protected)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := tr.open(bytes.Clone(v.Protected), h.Size, h.SSRC, uint64(h.Sequence)); ok {
				t.Errorf("%s: opened a packet that was not encrypted", v.ID)
			}
		default:
			t.Errorf("%s: kind %q is not tested", v.ID, v.Kind)
		}
	}
}

func checkRTPVector(t *testing.T, tr transform, v gcmVector) {
	t.Helper()
	h, err := rtp.Parse(v.Plain)
	if err != nil {
		t.Fatal(err)
	}
	index := uint64(v.ROC)<<16 | uint64(h.Sequence)
	got := tr.seal(append(make([]byte, 0, 200), v.Plain...), h.Size, h.SSRC, index)
	if !bytes.Equal(got, v.Protected) {
		t.Errorf("%s: %x; want %x", v.ID, got, v.Protected)
	}
	n, ok := tr.open(got, h.Size, h.SSRC, index)
	if !ok || !bytes.Equal(got[:n], v.Plain) {
		t.Errorf("%s: opens as %x, %v; want %x", v.ID, got[:n], ok, v.Plain)
	}
}

// AES-f8 (RFC 3711 B.1) is optional and not offered by anyone we know: it must be refused, not mistaken.
func TestF8IsRefused(t *testing.T) {
	for _, v := range load(t).F8 {
		if s, ok := ParseSuite("F8_128_HMAC_SHA1_80"); ok {
			t.Errorf("%s: F8_128_HMAC_SHA1_80 was read as %v", v.ID, s)
		}
	}
}

// Every suite has the name that IANA registered, and the one in which AWS and libsrtp write the numbers the other way
// round. RFC 5234 section 2.3 has no upper and lower case in names.
func TestSuiteNames(t *testing.T) {
	names := map[Suite][2]string{
		AEAD_AES_128_GCM:        {"AEAD_AES_128_GCM", "AEAD_AES_128_GCM"},
		AEAD_AES_256_GCM:        {"AEAD_AES_256_GCM", "AEAD_AES_256_GCM"},
		AES_CM_128_HMAC_SHA1_80: {"AES_CM_128_HMAC_SHA1_80", "AES_128_CM_HMAC_SHA1_80"},
		AES_CM_128_HMAC_SHA1_32: {"AES_CM_128_HMAC_SHA1_32", "AES_128_CM_HMAC_SHA1_32"},
		AES_192_CM_HMAC_SHA1_80: {"AES_192_CM_HMAC_SHA1_80", "AES_CM_192_HMAC_SHA1_80"},
		AES_192_CM_HMAC_SHA1_32: {"AES_192_CM_HMAC_SHA1_32", "AES_CM_192_HMAC_SHA1_32"},
		AES_256_CM_HMAC_SHA1_80: {"AES_256_CM_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_80"},
		AES_256_CM_HMAC_SHA1_32: {"AES_256_CM_HMAC_SHA1_32", "AES_CM_256_HMAC_SHA1_32"},
	}
	for _, s := range Suites() {
		for _, name := range []string{names[s][0], names[s][1], strings.ToLower(names[s][1])} {
			if got, ok := ParseSuite(name); !ok || got != s || name == "" {
				t.Errorf("ParseSuite(%q) = %v, %v; want %v", name, got, ok, s)
			}
		}
		if s.String() != names[s][0] || s.KeySize() == 0 || s.SaltSize() == 0 {
			t.Errorf("%v is called %q and has a key of %d and a salt of %d octets; want %q", int(s), s, s.KeySize(), s.SaltSize(), names[s][0])
		}
	}
	for _, bad := range []string{"", "NULL_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_8", "AES_CM_128_HMAC_SHA1_800", " AES_CM_128_HMAC_SHA1_80"} {
		if s, ok := ParseSuite(bad); ok {
			t.Errorf("ParseSuite(%q) = %v", bad, s)
		}
	}
}
