package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
)

// PeerCheck says what is known about the other end of a TLS connection.
type PeerCheck uint8

// The outcomes of checking a peer's certificate.
const (
	// PeerNotVerified: encrypted, but it may be anybody.
	PeerNotVerified PeerCheck = iota
	// PeerVerified: the certificate leads to a trusted root and, when we dialed, names the server.
	PeerVerified
	// PeerPinned: the key is one the operator pinned.
	PeerPinned
)

// String returns the words used in records: "not verified", "verified" or "pinned".
func (c PeerCheck) String() string {
	switch c {
	case PeerVerified:
		return "verified"
	case PeerPinned:
		return "pinned"
	}
	return "not verified"
}

// TLSInfo describes an established TLS session. It does not change.
type TLSInfo struct {
	Version uint16 // as in crypto/tls: tls.VersionTLS12 or tls.VersionTLS13
	Cipher  string // IANA name of the cipher suite
	// ServerName is the name the peer was checked for when we dialed, or the one it asked for
	// by SNI when it did; empty if there was none.
	ServerName string
	Check      PeerCheck
	// Names are the DNS names, IP addresses and URIs of a verified peer certificate. For an
	// accepted connection they are the client's verified identity (RFC 5923); empty otherwise.
	Names []string
}

// VersionName returns "TLS 1.2" or "TLS 1.3".
func (i *TLSInfo) VersionName() string { return tls.VersionName(i.Version) }

// SPKIHash is the SHA-256 of a certificate's SubjectPublicKeyInfo, the value that is pinned.
type SPKIHash [sha256.Size]byte

// HashSPKI returns the pin of a certificate.
func HashSPKI(cert *x509.Certificate) SPKIHash { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// ClientTLS says whom a TLS target must prove to be. With no Pins and SkipVerify false the
// certificate must lead to Roots and be valid for ServerName.
type ClientTLS struct {
	// ServerName is the host to verify: a DNS name, sent as SNI, or an IP literal, compared with
	// the certificate's iPAddress entries.
	ServerName string
	// Roots are the trusted roots; nil means the system's. Connections are shared only between
	// targets with the same pool, so keep one pool for as long as its content is the same.
	Roots *x509.CertPool
	// Pins replaces the check of name and roots: the peer's key must be one of these.
	Pins []SPKIHash
	// SkipVerify accepts anybody; the flow then says PeerNotVerified.
	SkipVerify bool
	// Certificate is presented when the peer asks for one; nil presents none. Like Roots it is
	// part of what must be equal for a connection to be shared.
	Certificate *tls.Certificate
}

// identity is a ClientTLS as a map key: two targets share a connection only when everything that
// was proven about its peer, and everything we showed to it, is the same.
type identity struct {
	serverName  string
	roots       *x509.CertPool
	pins        string
	skipVerify  bool
	certificate *tls.Certificate
}

func (c *ClientTLS) identity() identity {
	pins := slices.Clone(c.Pins)
	slices.SortFunc(pins, func(a, b SPKIHash) int { return strings.Compare(string(a[:]), string(b[:])) })
	var joined strings.Builder
	for _, p := range slices.Compact(pins) {
		joined.Write(p[:])
	}
	return identity{
		serverName:  canonicalName(c.ServerName),
		roots:       c.Roots,
		pins:        joined.String(),
		skipVerify:  c.SkipVerify,
		certificate: c.Certificate,
	}
}

func canonicalName(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
}

// config returns the settings of one connection. There is no session cache: a resumed session
// carries the proof of an earlier handshake, which may have been made for another identity.
func (c *ClientTLS) config() (*tls.Config, error) {
	name := canonicalName(c.ServerName)
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, RootCAs: c.Roots}
	if c.Certificate != nil {
		own := c.Certificate
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	switch {
	case len(c.Pins) > 0:
		pins := slices.Clone(c.Pins)
		conf.InsecureSkipVerify = true // the pin is the check
		conf.VerifyConnection = func(s tls.ConnectionState) error { return checkPins(s, pins) }
	case c.SkipVerify:
		conf.InsecureSkipVerify = true
	case name == "":
		return nil, ErrNoServerName
	}
	return conf, nil
}

func checkPins(s tls.ConnectionState, pins []SPKIHash) error {
	if len(s.PeerCertificates) == 0 {
		return ErrPinMismatch
	}
	if !pinned(HashSPKI(s.PeerCertificates[0]), pins) {
		return ErrPinMismatch
	}
	return nil
}

// clientInfo describes a connection we dialed, whose handshake has already applied the policy.
func (c *ClientTLS) clientInfo(s tls.ConnectionState) *TLSInfo {
	info := sessionInfo(s)
	info.ServerName = canonicalName(c.ServerName)
	switch {
	case len(c.Pins) > 0:
		info.Check = PeerPinned
	case !c.SkipVerify:
		info.Check = PeerVerified
		info.Names = certificateNames(s.PeerCertificates[0])
	}
	return info
}

// ServerTLS configures a TLS listener.
type ServerTLS struct {
	// GetCertificate returns the certificate for the name the client asks for by SNI, which may
	// be empty. It is called for every handshake, so a change needs no restart.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientRoots, when set, makes the listener ask for a client certificate, and is called for
	// every handshake. One that does not lead to these roots, or none, does not end the handshake:
	// many phones carry a certificate of their maker. The flow says which it was.
	ClientRoots func() *x509.CertPool
	// Ask says by the name the client asks for, "" for none, whether it is asked for a certificate;
	// nil asks everybody. Some phones stop to ask their user which one to show.
	Ask func(serverName string) bool
}

// serverSide is a ServerTLS with the settings all connections of its listener share.
type serverSide struct {
	ServerTLS
	conf *tls.Config
}

func (c ServerTLS) config() *tls.Config {
	conf := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.GetCertificate,
		// A ticket issued under one server name must not vouch for a client under another.
		SessionTicketsDisabled: true,
	}
	if c.ClientRoots == nil {
		return conf
	}
	asking := conf.Clone()
	asking.ClientAuth = tls.RequestClientCert
	if c.Ask == nil {
		return asking
	}
	conf.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if c.Ask(canonicalName(h.ServerName)) {
			return asking, nil
		}
		return nil, nil
	}
	return conf
}

// serverInfo describes an accepted connection and verifies the client's certificate, if any. A
// certificate for servers is as good as one for clients: what it proves here is the name under
// which requests reach its holder, and public CAs issue hardly any others (RFC 5922 §7.1).
func (c ServerTLS) serverInfo(s tls.ConnectionState) (*TLSInfo, *reuseInfo) {
	info := sessionInfo(s)
	info.ServerName = canonicalName(s.ServerName)
	if c.ClientRoots == nil || len(s.PeerCertificates) == 0 {
		return info, nil
	}
	roots := c.ClientRoots()
	intermediates := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return info, nil
	}
	leaf := s.PeerCertificates[0]
	info.Check = PeerVerified
	info.Names = certificateNames(leaf)
	return info, &reuseInfo{roots: roots, key: HashSPKI(leaf), names: identities(leaf)}
}

func sessionInfo(s tls.ConnectionState) *TLSInfo {
	return &TLSInfo{Version: s.Version, Cipher: tls.CipherSuiteName(s.CipherSuite)}
}

func certificateNames(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range cert.URIs {
		names = append(names, uri.String())
	}
	return names
}
