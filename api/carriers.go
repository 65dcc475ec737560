package api

import (
	"net/netip"
	"time"

	v1 "carillon/api/v1"
	"carillon/call"
	"carillon/trunk"
)

func listCarriers(r *request) (any, error) {
	answer := &v1.CarrierList{Carriers: []v1.Carrier{}}
	for _, c := range r.snapshot.Carriers() {
		answer.Carriers = append(answer.Carriers, ownCarrier(c))
	}
	return answer, nil
}

func putCarrier(r *request) (any, error) {
	in, err := readOwn[v1.Carrier](r)
	if err != nil {
		return nil, err
	}
	c, err := domainCarrier(r.labels["name"], in)
	if err != nil {
		return nil, err
	}
	var stored *trunk.Carrier
	err = r.update(func(tx trunk.Tx) error {
		old, ok, err := trunk.Get[*trunk.Carrier](tx, c.EntityKey())
		if err != nil {
			return err
		}
		if ok && old.Lab {
			return labCarrier()
		}
		next := *c
		if ok && in.Password == "" && in.User == old.User {
			next.Password = old.Password
		}
		if (next.User == "") != next.Password.Empty() {
			return trunk.Errorf(trunk.Invalid, "A carrier needs user and password together, or neither.")
		}
		stored = &next
		tx.Put(stored)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ownCarrier(stored), nil
}

func deleteCarrier(r *request) (any, error) {
	key := trunk.EntityKey{Kind: trunk.KindCarrier, ID: r.labels["name"]}
	return nil, r.update(func(tx trunk.Tx) error {
		c, ok, err := trunk.Get[*trunk.Carrier](tx, key)
		switch {
		case err != nil:
			return err
		case !ok:
			return trunk.Errorf(trunk.NotFound, "There is no carrier of that name.")
		case c.Lab:
			return labCarrier()
		}
		tx.Delete(key)
		return nil
	})
}

func labCarrier() error {
	return trunk.Errorf(trunk.Forbidden, "The lab carrier is built in: it cannot be changed or deleted.")
}

func domainCarrier(name string, in *v1.Carrier) (*trunk.Carrier, error) {
	if in.Name != "" && in.Name != name {
		return nil, trunk.Errorf(trunk.Invalid, "The name in the body is not the one in the path.")
	}
	if in.Lab {
		return nil, labCarrier()
	}
	if len(in.Prefixes) > v1.MaxPrefixes || len(in.Sources) > v1.MaxSources || len(in.Targets) > trunk.MaxRoutes {
		return nil, trunk.Errorf(trunk.Invalid, "A carrier has at most %d targets, %d prefixes and %d sources.", trunk.MaxRoutes, v1.MaxPrefixes, v1.MaxSources)
	}
	// A day keeps the multiplication below from overflowing.
	if in.ProbeSeconds < 0 || in.ProbeSeconds > 86400 {
		return nil, trunk.Errorf(trunk.Invalid, "probe_seconds must be 0 to 86400.")
	}
	c := &trunk.Carrier{
		Name: name, Prefixes: in.Prefixes, Probe: time.Duration(in.ProbeSeconds) * time.Second,
		User: in.User, Password: trunk.NewSecret(in.Password),
	}
	if in.User != "" {
		if err := trunk.CheckUsername(in.User); err != nil {
			return nil, err
		}
	}
	if in.Password != "" {
		if err := trunk.CheckPassword(in.Password); err != nil {
			return nil, err
		}
	}
	if in.SRTP != "" {
		srtp, err := call.ParseSRTP(in.SRTP)
		if err != nil {
			return nil, trunk.Errorf(trunk.Invalid, "srtp must be off, offer or require.")
		}
		c.SRTP = srtp
	}
	for _, text := range in.Targets {
		t, err := trunk.ParseTarget(text)
		if err != nil {
			return nil, err
		}
		c.Targets = append(c.Targets, t)
	}
	for _, text := range in.Sources {
		p, err := parseNetwork(text)
		if err != nil {
			return nil, err
		}
		c.Sources = append(c.Sources, p)
	}
	if err := trunk.CheckCarrier(c); err != nil {
		return nil, err
	}
	return c, nil
}

// parseNetwork reads a network or a single address.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && p != p.Masked() && !p.Addr().Is4In6() {
		return p, trunk.Errorf(trunk.Invalid, "Source %q has bits behind its prefix; did you mean %s?", text, p.Masked())
	}
	if err != nil || p.Addr().Is4In6() {
		return p, trunk.Errorf(trunk.Invalid, "Source %q is not a network such as 203.0.113.0/27.", text)
	}
	return p, nil
}

func ownCarrier(c *trunk.Carrier) v1.Carrier {
	w := v1.Carrier{
		Name: c.Name, Targets: []string{}, Prefixes: c.Prefixes, SRTP: c.SRTP.String(),
		ProbeSeconds: int(c.Probe / time.Second), User: c.User, Lab: c.Lab,
	}
	for _, t := range c.Targets {
		w.Targets = append(w.Targets, t.String())
	}
	for _, p := range c.Sources {
		w.Sources = append(w.Sources, p.String())
	}
	return w
}
