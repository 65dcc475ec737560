package server

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carillon/clock"
	"carillon/config"
	"carillon/store"
	"carillon/trunk"
)

// Life of certificates the own CA signs. Leaves are made anew in memory, so theirs may be short; the CA's is what
// customers import.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// leafRenew is how long before its end a leaf is replaced.
	leafRenew = 30 * 24 * time.Hour
	keyBits   = 2048
	// maxLeaves bounds the certificates kept for exact host names; above it all are made again as they are asked for.
	maxLeaves = 4096
	caName    = "ca"
	nodeName  = "node"
)

// identity is what the node shows to TLS peers and whom it trusts.
type identity struct {
	clock  clock.Clock
	random io.Reader
	caFile string
	// roots are the system's, those of --tls-trust and the own CA; replaced as a whole when the file is read again.
	roots atomic.Pointer[x509.CertPool]
	// given are the certificates of --tls-cert, never empty; nil when the own CA signs.
	given atomic.Pointer[[]*tls.Certificate]

	ca      *x509.Certificate
	caKey   crypto.Signer
	leafKey *rsa.PrivateKey
	names   []string // host names of every leaf, wildcards among them
	ips     []netip.Addr
	// hosted reports whether a host name is a connector's: only those get a leaf of their own.
	hosted func(string) bool

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// loadIdentity loads the certificate the operator gave or makes the installation's own CA, which persists in the store.
func (n *Node) loadIdentity(ctx context.Context) error {
	id := &identity{
		clock: n.clock, random: n.random, leaves: make(map[string]*tls.Certificate),
		names: serverNames(n.ready.Domain, advertisedName(n.config.SIPAdvertise)), ips: n.certificateIPs(),
		hosted: func(host string) bool { _, ok := n.directory.Snapshot().ConnectorByHost(host); return ok },
	}
	n.identity = id
	if len(n.config.TLSCert) > 0 {
		return n.Reload()
	}
	if err := id.loadCA(ctx, n); err != nil {
		return err
	}
	if err := n.Reload(); err != nil {
		return err
	}
	id.caFile = filepath.Join(n.dir, "ca.pem")
	return writeFile(id.caFile, pemOf("CERTIFICATE", id.ca.Raw))
}

// Reload reads the files of certificates again, all of them or none; connections that are open keep what they have.
func (n *Node) Reload() error {
	id := n.identity
	roots, err := id.trusted(n.config.TLSTrust)
	if err != nil {
		return err
	}
	given, err := config.LoadCertificates(n.config.TLSCert, n.config.TLSKey)
	if err != nil {
		return err
	}
	if len(given) > 0 {
		id.given.Store(&given)
		n.describe(given)
	}
	// Connections are shared between those who trust the same pool: while the file says the same, it stays.
	if old := id.roots.Load(); old == nil || !old.Equal(roots) {
		id.roots.Store(roots)
	}
	return nil
}

// trusted makes the pool of whom to trust: the system's roots, the operator's file and the own CA.
func (id *identity) trusted(file string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if id.ca != nil {
		roots.AddCert(id.ca)
	}
	if file == "" {
		return roots, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read --tls-trust: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read --tls-trust: %s holds no certificate in PEM", file)
	}
	return roots, nil
}

// loadCA reads the CA and the node's key from the store, or makes them once for all nodes.
func (id *identity) loadCA(ctx context.Context, n *Node) error {
	ca, err := n.certificate(ctx, caName, func() (*store.Certificate, error) { return id.newCA(n.ready.Domain) })
	if err != nil {
		return err
	}
	node, err := n.certificate(ctx, nodeName, func() (*store.Certificate, error) { return id.newNodeKey() })
	if err != nil {
		return err
	}
	block, _ := pem.Decode(ca.CertPEM)
	if block == nil {
		return errors.New("the stored CA certificate is damaged")
	}
	if id.ca, err = x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("read the stored CA: %w", err)
	}
	caKey, err := parseKey(ca.Key)
	if err != nil {
		return fmt.Errorf("read the stored CA key: %w", err)
	}
	id.caKey = caKey
	id.leafKey, err = parseKey(node.Key)
	return err
}

// certificate reads a certificate from the store; the first node to ask makes it. Making a key takes a good part of a
// second, so it is done only where there is none.
func (n *Node) certificate(ctx context.Context, name string, make func() (*store.Certificate, error)) (*store.Certificate, error) {
	var stored, fresh *store.Certificate
	look := func(tx trunk.Tx) error {
		existing, found, err := trunk.Get[*store.Certificate](tx, (&store.Certificate{Name: name}).EntityKey())
		switch {
		case err != nil:
			return err
		case found:
			stored = existing
		case fresh != nil:
			stored = fresh
			tx.Create(fresh)
		}
		return nil
	}
	if _, err := n.store.Update(ctx, look); err != nil || stored != nil {
		return stored, err
	}
	var err error
	if fresh, err = make(); err != nil {
		return nil, err
	}
	_, err = n.store.Update(ctx, look)
	return stored, err
}

func (id *identity) newNodeKey() (*store.Certificate, error) {
	key, err := rsa.GenerateKey(id.random, keyBits)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &store.Certificate{Name: nodeName, Key: trunk.NewSecret(string(pemOfKey(key)))}, nil
}

func (id *identity) newCA(domain string) (*store.Certificate, error) {
	key, err := rsa.GenerateKey(id.random, keyBits)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	now := id.clock.Now()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Carillon CA of " + domain},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if template.SerialNumber, err = serial(id.random); err != nil {
		return nil, err
	}
	raw, err := x509.CreateCertificate(id.random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}
	return &store.Certificate{Name: caName, CertPEM: pemOf("CERTIFICATE", raw), Key: trunk.NewSecret(string(pemOfKey(key)))}, nil
}

// forHello answers a TLS handshake: the given certificate that fits, else a leaf for the name the client asks for. The
// wildcards in every leaf serve most clients; a leaf of its own gives a connector's exact name to those that must not
// take a wildcard for SIP (RFC 5922 section 7.2).
func (id *identity) forHello(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if given := id.given.Load(); given != nil {
		return choose(*given, hello), nil
	}
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if host != "" && !id.hosted(host) {
		host = ""
	}
	return id.leaf(host)
}

// choose returns the first certificate that has the name a client asks for and that it can verify, and the first of all
// for a client that none fits: it may know what it does.
func choose(given []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	for _, cert := range given {
		if hello.SupportsCertificate(cert) == nil {
			return cert
		}
	}
	return given[0]
}

// leaf returns the certificate for a connector's host name, or the node's own for "".
func (id *identity) leaf(host string) (*tls.Certificate, error) {
	id.mu.Lock()
	cert := id.leaves[host]
	id.mu.Unlock()
	if cert != nil && id.clock.Now().Before(cert.Leaf.NotAfter.Add(-leafRenew)) {
		return cert, nil
	}
	cert, err := id.sign(host)
	if err != nil {
		return nil, err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	if len(id.leaves) >= maxLeaves {
		clear(id.leaves)
	}
	id.leaves[host] = cert
	return cert, nil
}

func (id *identity) sign(host string) (*tls.Certificate, error) {
	now := id.clock.Now()
	template := &x509.Certificate{
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if host != "" {
		template.DNSNames = append(template.DNSNames, host)
	}
	template.DNSNames = append(template.DNSNames, id.names...)
	template.Subject.CommonName = template.DNSNames[0]
	for _, ip := range id.ips {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	var err error
	if template.SerialNumber, err = serial(id.random); err != nil {
		return nil, err
	}
	raw, err := x509.CreateCertificate(id.random, template, id.ca, id.leafKey.Public(), id.caKey)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{raw, id.ca.Raw}, PrivateKey: id.leafKey, Leaf: leaf}, nil
}

// own returns the certificate the node shows when it dials and is asked for one: that of today, not of the start.
func (id *identity) own() *tls.Certificate {
	if given := id.given.Load(); given != nil {
		return (*given)[0]
	}
	cert, err := id.leaf("")
	if err != nil {
		return nil // randomness failed; a peer that insists will say so
	}
	return cert
}

// serverNames are the names in every certificate: the wildcards of the connectors' host names, and the node's own.
func serverNames(domain, advertise string) []string {
	names := []string{domain, "*." + domain, "*.voiceconnector." + domain}
	for _, r := range trunk.Regions() {
		if r != "us-east-1" && r != "us-west-2" {
			names = append(names, "*."+string(r)+".vc."+domain)
		}
	}
	if advertise != "" {
		names = append(names, strings.ToLower(advertise))
	}
	return append(names, "localhost")
}

func serial(random io.Reader) (*big.Int, error) {
	n, err := rand.Int(random, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n, nil
}

func pemOf(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

func pemOfKey(key *rsa.PrivateKey) []byte {
	return pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}

func parseKey(s trunk.Secret) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(s.Reveal()))
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}
