package seal

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// nodeKeyMark begins a key file, so that another file named by mistake is told from a damaged one.
	nodeKeyMark = "carillon-node-key-1 "
	// maxNodeKeyFile bounds what is read of a file that may be anything.
	maxNodeKeyFile = 4096

	wrapInfo = "carillon data key for a node, form 1"
)

// NodeKey is a node's own key pair. Its private half never leaves the node's key file; its public half lets any node
// of the installation wrap the data key for it.
type NodeKey struct {
	private *ecdh.PrivateKey
	id      string
}

// LoadNodeKey reads the key file at path, or makes one from random when there is none. The file appears whole or not
// at all, is readable by its owner only, and is refused when others may read it.
func LoadNodeKey(path string, random io.Reader) (*NodeKey, error) {
	k, err := readNodeKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createNodeKey(path, random); err == nil || errors.Is(err, fs.ErrExist) {
			k, err = readNodeKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load node key: %w", err)
	}
	return k, nil
}

func readNodeKey(path string) (*NodeKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if loose := info.Mode().Perm() & 0o077; loose != 0 {
		return nil, fmt.Errorf("%s may be read or written by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxNodeKeyFile))
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), nodeKeyMark)
	if !ok {
		return nil, fmt.Errorf("%s is not a node key file", path)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged", path) // the decoder's error would quote the key
	}
	private, err := ecdh.X25519().NewPrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged", path)
	}
	return newNodeKey(private), nil
}

func newNodeKey(private *ecdh.PrivateKey) *NodeKey {
	return &NodeKey{private: private, id: PublicKeyID(private.PublicKey().Bytes())}
}

// createNodeKey links the finished file to its name: two processes that start at once end up with one key, and a
// crash leaves no half of one.
func createNodeKey(path string, random io.Reader) (err error) {
	var secret [KeySize]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".node-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(nodeKeyMark + base64.StdEncoding.EncodeToString(secret[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir puts a directory's entries on disk: a data key wrapped for a key file that a power cut unmade would be lost.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ID names the node key: 16 hex digits of its public half's hash.
func (k *NodeKey) ID() string { return k.id }

// Public returns the public half, 32 bytes, which is no secret.
func (k *NodeKey) Public() []byte { return k.private.PublicKey().Bytes() }

// String returns the id only.
func (k *NodeKey) String() string { return "[node key " + k.id + "]" }

// GoString returns the id only.
func (k *NodeKey) GoString() string { return k.String() }

// PublicKeyID returns the ID of the node key whose public half that is.
func PublicKeyID(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// Wrap seals a data key (RFC 9180, base mode, X25519, AES-256-GCM) so that only the node with that public half opens it.
func Wrap(public []byte, k DataKey) ([]byte, error) {
	point, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("read public node key: %w", err)
	}
	to, err := hpke.NewDHKEMPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("read public node key: %w", err)
	}
	wrapped, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(wrapInfo), k.secret[:])
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	return wrapped, nil
}

// Unwrap opens a data key that was wrapped for this node.
func (k *NodeKey) Unwrap(wrapped []byte) (DataKey, error) {
	private, err := hpke.NewDHKEMPrivateKey(k.private)
	if err != nil {
		return DataKey{}, fmt.Errorf("read node key: %w", err)
	}
	secret, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(wrapInfo), wrapped)
	if err != nil || len(secret) != KeySize {
		return DataKey{}, fmt.Errorf("unwrap data key with node key %s: %w", k.id, ErrTampered)
	}
	return DataKey{secret: [KeySize]byte(secret)}, nil
}
