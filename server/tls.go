package server

import (
	"crypto/tls"
	"net"
	"strings"
	"time"
)

// tlsListener serves the API with the node's certificate.
func (n *Node) tlsListener(ln net.Listener) net.Listener {
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.identity.forHello, NextProtos: []string{"http/1.1"}})
}

// describe logs what each certificate of --tls-cert is good for, and what clients will hold against them.
func (n *Node) describe(given []*tls.Certificate) {
	for i, cert := range given {
		n.log.Info("certificate read", "file", n.config.TLSCert[i], "names", strings.Join(cert.Leaf.DNSNames, ","), "not_after", cert.Leaf.NotAfter.UTC())
	}
	for _, doubt := range n.config.Doubts(given, n.clock.Now()) {
		n.log.Warn(doubt)
	}
}

// firstEnd is when the first of the node's certificates ends. Leaves of the own CA are made anew in time; the CA is not.
func (id *identity) firstEnd() time.Time {
	given := id.given.Load()
	if given == nil {
		return id.ca.NotAfter
	}
	end := (*given)[0].Leaf.NotAfter
	for _, cert := range *given {
		if cert.Leaf.NotAfter.Before(end) {
			end = cert.Leaf.NotAfter
		}
	}
	return end
}
