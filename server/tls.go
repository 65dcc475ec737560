package server

import (
	"crypto/tls"
	"net"
)

// tlsListener serves the API with the node's certificate.
func (n *Node) tlsListener(ln net.Listener) net.Listener {
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.identity.forHello, NextProtos: []string{"http/1.1"}})
}
