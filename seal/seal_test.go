package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func newKey(t testing.TB) DataKey {
	t.Helper()
	k, err := NewDataKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealOpen(t *testing.T) {
	b := NewBox(newKey(t))
	for _, text := range []string{"", "x", strings.Repeat("long ", 1000)} {
		context := Context("connector", "id", "field")
		sealed := b.Seal(context, []byte(text))
		if len(sealed) != len(text)+Overhead {
			t.Errorf("%d bytes are sealed into %d, want %d more", len(text), len(sealed), Overhead)
		}
		if len(text) > 4 && bytes.Contains(sealed, []byte(text[:4])) {
			t.Error("the sealed value shows the text")
		}
		if again := b.Seal(context, []byte(text)); bytes.Equal(again, sealed) {
			t.Error("the same text was sealed twice into the same value: nonces repeat")
		}
		got, err := b.Open(context, sealed)
		if err != nil || string(got) != text {
			t.Errorf("opened %q, %v; want %q", got, err, text)
		}
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	b := NewBox(newKey(t))
	sealed := b.Seal("place", []byte("the secret"))
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if got, err := b.Open("place", changed); err == nil {
				t.Fatalf("byte %d bit %d changed and opened as %q", i, bit, got)
			}
		}
	}
	for n := range sealed {
		if _, err := b.Open("place", sealed[:n]); !errors.Is(err, ErrTampered) {
			t.Errorf("cut to %d bytes gives %v", n, err)
		}
	}
	if _, err := b.Open("place", append(bytes.Clone(sealed), 0)); !errors.Is(err, ErrTampered) {
		t.Errorf("lengthened gives %v", err)
	}
	for _, place := range []string{"", "plac", "place ", "Place"} {
		if _, err := b.Open(place, sealed); !errors.Is(err, ErrTampered) {
			t.Errorf("opened for %q: %v", place, err)
		}
	}
}

func TestContextsAreDistinct(t *testing.T) {
	parts := []string{"", "a", "ab", "b", "1:a", "a1:b", "\x00", "/"}
	seen := map[string][3]string{}
	for _, kind := range parts {
		for _, id := range parts {
			for _, field := range parts {
				c := Context(kind, id, field)
				if other, twice := seen[c]; twice {
					t.Errorf("%q and %q share the context %q", other, [3]string{kind, id, field}, c)
				}
				seen[c] = [3]string{kind, id, field}
			}
		}
	}
}

func TestRotation(t *testing.T) {
	first, second := newKey(t), newKey(t)
	before := NewBox(first)
	sealed := before.Seal("p", []byte("old"))
	during := NewBox(second, first)
	if got, err := during.Open("p", sealed); err != nil || string(got) != "old" {
		t.Errorf("the old value opens as %q, %v", got, err)
	}
	fresh := during.Seal("p", []byte("new"))
	if _, err := before.Open("p", fresh); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a box without the new key gives %v, want ErrUnknownKey", err)
	}
	if _, err := NewBox(second).Open("p", sealed); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a box without the old key gives %v, want ErrUnknownKey", err)
	}
}

func TestDerive(t *testing.T) {
	k := newKey(t)
	b := NewBox(k)
	nonce := b.Derive("sip nonce")
	if len(nonce) != KeySize || !bytes.Equal(nonce, NewBox(k).Derive("sip nonce")) {
		t.Error("the derived key differs between two boxes of one data key")
	}
	if bytes.Equal(nonce, b.Derive("page token")) || bytes.Equal(nonce, NewBox(newKey(t)).Derive("sip nonce")) {
		t.Error("derived keys of other purposes or installations are equal")
	}
}

func TestNothingPrintsAKey(t *testing.T) {
	k := newKey(t)
	node, err := LoadNodeKey(filepath.Join(t.TempDir(), "k"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); got != "[data key]" {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, node); got != "[node key "+node.ID()+"]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestNodeKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	made, err := LoadNodeKey(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file has mode %v, %v; want 0600", info.Mode(), err)
	}
	again, err := LoadNodeKey(path, rand.Reader)
	if err != nil || again.ID() != made.ID() || !bytes.Equal(again.Public(), made.Public()) {
		t.Errorf("read again the key is %v, %v; want %v", again, err, made)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".node-key-*")); len(left) != 0 {
		t.Errorf("temporary files are left: %v", left)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadNodeKey(path, rand.Reader); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o gives %v, want a refusal that says what to do", mode, err)
		}
	}
}

func TestNodeKeyFileDamaged(t *testing.T) {
	dir := t.TempDir()
	secret := "c2VjcmV0LXRleHQ="
	for name, text := range map[string]string{
		"empty": "", "other": "-----BEGIN", "mark only": nodeKeyMark, "short": nodeKeyMark + secret, "not base64": nodeKeyMark + "%%%" + secret,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadNodeKey(path, rand.Reader)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want an error that names the file and not its content", name, err)
		}
	}
	if _, err := LoadNodeKey(dir, rand.Reader); err == nil {
		t.Error("a directory was read as a key file")
	}
	if _, err := LoadNodeKey(filepath.Join(dir, "no", "such"), rand.Reader); err == nil {
		t.Error("a key was made in a directory that does not exist")
	}
}

func TestNodesThatStartAtOnceShareOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	ids := make([]string, 16)
	var done sync.WaitGroup
	for i := range ids {
		done.Go(func() {
			k, err := LoadNodeKey(path, rand.Reader)
			if err != nil {
				t.Errorf("load: %v", err)
				return
			}
			ids[i] = k.ID()
		})
	}
	done.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("keys differ: %v", ids)
		}
	}
}

func TestWrap(t *testing.T) {
	load := func(name string) *NodeKey {
		k, err := LoadNodeKey(filepath.Join(t.TempDir(), name), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	mine, other, key := load("a"), load("b"), newKey(t)
	wrapped, err := Wrap(mine.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := mine.Unwrap(wrapped); err != nil || got != key {
		t.Errorf("unwrapped %v, %v", got == key, err)
	}
	if _, err := other.Unwrap(wrapped); !errors.Is(err, ErrTampered) {
		t.Errorf("another node's key gives %v", err)
	}
	for i := range wrapped {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 0x10
		if _, err := mine.Unwrap(changed); err == nil {
			t.Errorf("byte %d changed and unwrapped", i)
		}
	}
	if _, err := mine.Unwrap(nil); err == nil {
		t.Error("nothing was unwrapped")
	}
	if _, err := Wrap([]byte("short"), key); err == nil {
		t.Error("a data key was wrapped for no key")
	}
	if PublicKeyID(mine.Public()) != mine.ID() || mine.ID() == other.ID() {
		t.Error("node key ids do not tell keys apart")
	}
}

// FuzzOpen feeds a box what a disk may hold.
func FuzzOpen(f *testing.F) {
	b := NewBox(newKey(f))
	f.Add("place", b.Seal("elsewhere", []byte("text")))
	f.Add("", []byte{format, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, context string, sealed []byte) {
		if got, err := b.Open(context, sealed); err == nil {
			t.Errorf("opened made-up bytes as %q", got)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	box := NewBox(newKey(b))
	sealed := box.Seal("place", make([]byte, 64))
	for b.Loop() {
		if _, err := box.Open("place", sealed); err != nil {
			b.Fatal(err)
		}
	}
}
