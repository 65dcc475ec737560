package api

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	v1 "carillon/api/v1"
	"carillon/trunk"
)

func getSettings(r *request) (any, error) {
	c, ok := r.snapshot.Connector(r.labels["voiceConnectorId"])
	if !ok || !r.operatedConnector(c) {
		return nil, notFound()
	}
	return ownSettings(&c.Settings), nil
}

func putSettings(r *request) (any, error) {
	in, err := readOwn[v1.Settings](r)
	if err != nil {
		return nil, err
	}
	// Who pays for the calls, and who answers for those in the clear, is the operator.
	if (in.PlainEmergency != nil || in.Premium != nil) && !r.principal.Operator {
		return nil, r.denied()
	}
	if err := checkSettings(in); err != nil {
		return nil, err
	}
	var changed *trunk.Connector
	err = r.update(func(tx trunk.Tx) error {
		c, ok, err := trunk.Get[*trunk.Connector](tx, trunk.EntityKey{Kind: trunk.KindConnector, ID: r.labels["voiceConnectorId"]})
		if err != nil {
			return err
		}
		if !ok || !r.operatedConnector(c) {
			return notFound()
		}
		changed = c.Clone()
		applySettings(&changed.Settings, in)
		tx.Put(changed)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ownSettings(&changed.Settings), nil
}

func checkSettings(in *v1.Settings) error {
	if in.Digest != nil {
		for i, mode := range *in.Digest {
			if mode != string(trunk.DigestMD5) && mode != string(trunk.DigestSHA256) {
				return trunk.Errorf(trunk.Invalid, "digest holds %q; use md5 and sha-256.", mode)
			}
			if slices.Contains((*in.Digest)[:i], mode) {
				return trunk.Errorf(trunk.Invalid, "digest holds %q twice.", mode)
			}
		}
	}
	if in.Redirects != nil && !slices.Contains(trunk.RedirectPolicies(), trunk.RedirectPolicy(*in.Redirects)) {
		return trunk.Errorf(trunk.Invalid, "redirects is %q; use refuse or follow.", *in.Redirects)
	}
	if in.Transfers != nil && !slices.Contains(trunk.TransferPolicies(), trunk.TransferPolicy(*in.Transfers)) {
		return trunk.Errorf(trunk.Invalid, "transfers is %q; use refuse, relay or execute.", *in.Transfers)
	}
	if in.Headers != nil {
		if err := trunk.CheckHeaders(*in.Headers); err != nil {
			return err
		}
	}
	if in.Peers == nil {
		return nil
	}
	if len(*in.Peers) > v1.MaxPeers {
		return trunk.Errorf(trunk.Invalid, "peers has %d entries; at most %d are allowed.", len(*in.Peers), v1.MaxPeers)
	}
	for host, p := range *in.Peers {
		if !trunk.ValidHost(host) {
			return trunk.Errorf(trunk.Invalid, "peers holds %q, which is neither a host name nor an IP address.", host)
		}
		if p.Pin == "" && !p.NoVerify {
			return trunk.Errorf(trunk.Invalid, "peers: %s has neither pin nor no_verify; leave it out.", host)
		}
		if raw, err := hex.DecodeString(p.Pin); err != nil || p.Pin != "" && (len(raw) != 32 || p.NoVerify) {
			return trunk.Errorf(trunk.Invalid, "peers: the pin of %s must be 64 hex digits, without no_verify.", host)
		}
	}
	return nil
}

func applySettings(s *trunk.Settings, in *v1.Settings) {
	if in.Digest != nil {
		s.Digest = nil
		for _, mode := range *in.Digest {
			s.Digest = append(s.Digest, trunk.DigestMode(mode))
		}
	}
	if in.Peers != nil {
		s.Peers = make(map[string]trunk.PeerPolicy, len(*in.Peers))
		for host, p := range *in.Peers {
			s.Peers[strings.ToLower(host)] = trunk.PeerPolicy{Pin: strings.ToLower(p.Pin), NoVerify: p.NoVerify}
		}
	}
	if in.PlainEmergency != nil {
		s.PlainEmergency = *in.PlainEmergency
	}
	if in.Premium != nil {
		s.Premium = *in.Premium
	}
	if in.ClientCertificates != nil {
		s.ClientCertificates = *in.ClientCertificates
	}
	if in.Redirects != nil {
		s.Redirects = trunk.RedirectPolicy(*in.Redirects)
	}
	if in.Headers != nil {
		s.Headers = append([]string{}, *in.Headers...)
	}
	if in.Transfers != nil {
		s.Transfers = trunk.TransferPolicy(*in.Transfers)
	}
}

func ownSettings(s *trunk.Settings) *v1.Settings {
	modes, peers := []string{}, map[string]v1.Peer{}
	for _, mode := range s.DigestModes() {
		modes = append(modes, string(mode))
	}
	for host, p := range s.Peers {
		peers[host] = v1.Peer{Pin: p.Pin, NoVerify: p.NoVerify}
	}
	return &v1.Settings{
		Digest: &modes, Peers: &peers, PlainEmergency: new(s.PlainEmergency), Premium: new(s.Premium),
		ClientCertificates: new(s.ClientCertificates),
		Headers:            new(s.CustomHeaders()),
		Redirects:          new(string(cmp.Or(s.Redirects, trunk.RefuseRedirects))), Transfers: new(string(cmp.Or(s.Transfers, trunk.RefuseTransfers))),
	}
}
