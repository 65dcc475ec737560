package transport

import (
	"crypto/tls"
	"errors"
	"net/netip"

	"carillon/proxyproto"
)

var errLateProxy = errors.New("load balancer's header takes too long")

// isProxy reports whether an address is that of a load balancer.
func (t *Transport) isProxy(ip netip.Addr) bool {
	ip = ip.WithZone("")
	for _, p := range t.proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// unwrap reads the header that a load balancer's connection begins with, before TLS, and makes the source in it the
// stream's. The connection is closed when ok is false; source is valid when it was counted for one.
func (s *stream) unwrap() (source netip.Prefix, ok bool) {
	s.watch.start(phaseProxy, s.t.limits.Handshake)
	h, err := proxyproto.Read(s.queue.Conn)
	if err != nil {
		s.watch.stop()
		s.mu.Lock()
		late := s.ended // by the watchdog or by Close
		s.mu.Unlock()
		if !late {
			s.t.stats.BadProxy.Add(1)
			s.t.log.Debug("refuse connection", "balancer", s.remote, "err", err)
		}
		s.fail(err)
		return source, false
	}
	if h.Source.IsValid() {
		s.t.stats.Proxied.Add(1)
		s.remote = h.Source
	}
	if source, ok = s.t.admitSource(s.remote.Addr()); !ok {
		s.watch.stop()
		s.fail(nil)
	}
	return source, ok
}

var errStrangeProxy = errors.New("load balancer's header from an address that is not listed")

// strange reports the header of a load balancer that is not listed, where SIP should begin. Without this its first
// word would be taken for a method, and whoever forgot to list the balancer would look for the fault elsewhere.
func (s *stream) strange() bool {
	if !proxyproto.Begins(s.framer.Peek()) {
		return false
	}
	s.noteStrange()
	return true
}

// strangeRecord is strange for what should have been TLS.
func (s *stream) strangeRecord(err error) {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && proxyproto.Begins(record.RecordHeader[:]) {
		s.noteStrange()
	}
}

func (s *stream) noteStrange() {
	s.t.stats.StrangeProxy.Add(1)
	s.t.log.Debug("refuse connection", "remote", s.remote, "err", errStrangeProxy)
}
