package transport

import (
	"crypto/subtle"
	"crypto/x509"
	"net/url"
	"slices"
	"strings"

	"carillon/sip"
)

// maxIdentities bounds the names of one client certificate by which its connection is found.
const maxIdentities = 32

// reuseInfo is what an accepted connection has shown of its peer. It does not change.
type reuseInfo struct {
	roots *x509.CertPool // that the certificate leads to
	key   SPKIHash
	names []string // canonical
}

// identities are the SIP domain identities of a certificate (RFC 5922 §7.1), IP addresses among
// them, exact names only: a wildcard says whom it may speak for and not who it is.
func identities(cert *x509.Certificate) []string {
	var names []string
	add := func(name string) {
		if name = canonicalName(name); name != "" && !strings.Contains(name, "*") && !slices.Contains(names, name) && len(names) < maxIdentities {
			names = append(names, name)
		}
	}
	for _, uri := range cert.URIs {
		if host, ok := domainOf(uri); ok {
			add(host)
		}
	}
	for _, name := range cert.DNSNames {
		add(name)
	}
	for _, ip := range cert.IPAddresses {
		add(ip.String())
	}
	return names
}

// domainOf returns the host of a sip URI that names a domain and not somebody in it.
func domainOf(uri *url.URL) (string, bool) {
	if uri.Scheme != "sip" || uri.Opaque == "" || strings.ContainsAny(uri.Opaque, "@:;?[]") {
		return "", false
	}
	return uri.Opaque, true
}

// offerReuse notes that the peer of an accepted connection wants requests on it: the topmost Via
// of a request of its says alias (RFC 5923 §5). Without a verified certificate that is ignored.
func (t *Transport) offerReuse(s *stream, m *sip.Message) {
	via := m.Via()
	if via == nil || !m.IsRequest() {
		return
	}
	if _, wants := via.Param("alias"); !wants {
		return
	}
	port := via.Port
	if port == 0 {
		port = TLS.DefaultPort()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.alias == port {
		return
	}
	if s.alias == 0 {
		for _, name := range s.reuse.names {
			t.reusable[name] = append(t.reusable[name], s)
		}
	}
	s.alias = port
}

// withdraw takes a connection that has ended out of those that can be used. The goroutine that
// reads it offers and withdraws, so nothing is offered after that.
func (t *Transport) withdraw(s *stream) {
	if s.reuse == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.alias == 0 {
		return
	}
	for _, name := range s.reuse.names {
		left := slices.DeleteFunc(t.reusable[name], func(o *stream) bool { return o == s })
		if len(left) == 0 {
			delete(t.reusable, name)
		} else {
			t.reusable[name] = left
		}
	}
}

// Reuse returns the latest connection that a peer has opened to us and offered for requests to it,
// if that peer has proven to be c.ServerName under the same roots, and by one of the pins if there
// are any. port is the one that requests to that host would go to, which the peer must have named
// as its own; 0 leaves it open. No address is looked at.
func (t *Transport) Reuse(c *ClientTLS, port uint16) (Flow, bool) {
	name := canonicalName(c.ServerName)
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.reusable[name]
	for i := len(all) - 1; i >= 0; i-- {
		s := all[i]
		if port != 0 && s.alias != port || s.reuse.roots != c.Roots || !pinned(s.reuse.key, c.Pins) {
			continue
		}
		t.stats.Reused.Add(1)
		return s.flow(), true
	}
	return Flow{}, false
}

func pinned(key SPKIHash, pins []SPKIHash) bool {
	if len(pins) == 0 {
		return true
	}
	for _, pin := range pins {
		if subtle.ConstantTimeCompare(key[:], pin[:]) == 1 {
			return true
		}
	}
	return false
}
