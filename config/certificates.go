package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"carillon/trunk"
)

// LoadCertificates reads the files of --tls-cert, each with the one of --tls-key at its place; its errors name the files.
func LoadCertificates(certs, keys []string) ([]*tls.Certificate, error) {
	var given []*tls.Certificate
	for i := range min(len(certs), len(keys)) {
		cert, err := tls.LoadX509KeyPair(certs[i], keys[i])
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s with --tls-key %s: %w", certs[i], keys[i], err)
		}
		given = append(given, &cert)
	}
	return given, nil
}

// Doubts are plain sentences about certificates of --tls-cert that a node takes and that its clients will not: those
// that have ended, and those among which none has the name of a connector.
func (c *Config) Doubts(given []*tls.Certificate, now time.Time) []string {
	var doubts []string
	for i, cert := range given {
		if end := cert.Leaf.NotAfter; now.After(end) {
			doubts = append(doubts, fmt.Sprintf("--tls-cert %s ended at %s: clients that check it will not connect.", c.TLSCert[i], end.UTC().Format(time.RFC3339)))
		}
	}
	named := func(cert *tls.Certificate) bool { return slices.ContainsFunc(cert.Leaf.DNSNames, c.connectorName) }
	if len(given) > 0 && !slices.ContainsFunc(given, named) {
		doubts = append(doubts, fmt.Sprintf("--tls-cert %s has no name for *%s: clients that check it will not connect.",
			strings.Join(c.TLSCert, ", "), trunk.DefaultRegion.HostName("", c.Domain)))
	}
	return doubts
}

// connectorName reports whether a name in a certificate is a connector's, or a wildcard for those of a region.
func (c *Config) connectorName(name string) bool {
	id, parent, ok := strings.Cut(strings.ToLower(name), ".")
	return ok && id != "" && slices.ContainsFunc(trunk.Regions(), func(r trunk.Region) bool { return r.HostName("", c.Domain) == "."+parent })
}
