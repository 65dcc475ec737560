package store

import (
	"fmt"
	"net/netip"
	"time"

	"carillon/call"
	"carillon/iam"
	"carillon/trunk"
)

// KindCertificate is the kind of Certificate.
const KindCertificate trunk.EntityKind = "certificate"

// Certificate is a certificate of the installation with its key, for example its own CA's.
type Certificate struct {
	// Name says what it is for.
	Name string
	// CertPEM is the chain, leaf first.
	CertPEM []byte
	// Key is the private key as PEM; it is sealed in the store.
	Key trunk.Secret
}

// EntityKey implements trunk.Entity.
func (c *Certificate) EntityKey() trunk.EntityKey {
	return trunk.EntityKey{Kind: KindCertificate, ID: c.Name}
}

type storedQuota struct {
	header
	Value int `json:"value"`
}

type storedHealth struct {
	header
	Source netip.Addr `json:"source"`
	Time   time.Time  `json:"time"`
}

type storedDedup struct {
	header
	ResultID string    `json:"result"`
	Expires  time.Time `json:"expires"`
}

type storedUsage struct {
	header
	Count int `json:"count"`
}

type storedInstallation struct {
	header
	Domain  string    `json:"domain"`
	Account string    `json:"account"`
	Created time.Time `json:"created"`
}

type storedCertificate struct {
	header
	CertPEM string `json:"cert"`
	Key     []byte `json:"key,omitempty"`
}

type storedCarrier struct {
	header
	Targets  []storedTarget `json:"targets"`
	Prefixes []string       `json:"prefixes,omitempty"`
	SRTP     string         `json:"srtp"`
	Sources  []netip.Prefix `json:"sources,omitempty"`
	Probe    string         `json:"probe,omitempty"`
	User     string         `json:"user,omitempty"`
	Password []byte         `json:"password,omitempty"`
	Lab      bool           `json:"lab,omitempty"`
}

type storedTarget struct {
	Host      string `json:"host"`
	Port      uint16 `json:"port,omitempty"`
	Transport string `json:"transport"`
}

func carrierForm(c *trunk.Carrier, v *vault) storedCarrier {
	f := storedCarrier{
		header: header{formVersion}, Prefixes: c.Prefixes, SRTP: c.SRTP.String(), Sources: c.Sources,
		User: c.User, Password: v.seal("password", c.Password), Lab: c.Lab,
	}
	if c.Probe != 0 {
		f.Probe = c.Probe.String()
	}
	for _, t := range c.Targets {
		f.Targets = append(f.Targets, storedTarget{t.Host, t.Port, string(t.Transport)})
	}
	return f
}

func (f *storedCarrier) entity(id string, v *vault) (trunk.Entity, error) {
	c := &trunk.Carrier{
		Name: id, Prefixes: f.Prefixes, Sources: f.Sources, User: f.User, Password: v.open("password", f.Password), Lab: f.Lab,
	}
	var err error
	if c.SRTP, err = call.ParseSRTP(f.SRTP); err != nil {
		return nil, err
	}
	if f.Probe != "" {
		if c.Probe, err = time.ParseDuration(f.Probe); err != nil {
			return nil, fmt.Errorf("probe: %w", err)
		}
	}
	for _, t := range f.Targets {
		c.Targets = append(c.Targets, trunk.Target{Host: t.Host, Port: t.Port, Transport: trunk.Transport(shared(t.Transport))})
	}
	return c, nil
}

type storedAccessKey struct {
	header
	Account      string    `json:"account"`
	Name         string    `json:"name,omitempty"`
	Secret       []byte    `json:"secret"`
	SessionToken []byte    `json:"session_token,omitempty"`
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires,omitzero"`
	Disabled     bool      `json:"disabled,omitempty"`
	Operator     bool      `json:"operator,omitempty"`
	Bootstrap    bool      `json:"bootstrap,omitempty"`
	Policy       string    `json:"policy,omitempty"`
}

func accessKeyForm(k *iam.AccessKey, v *vault) storedAccessKey {
	return storedAccessKey{
		header: header{formVersion}, Account: k.Account, Name: k.Name,
		Secret: v.seal("secret", k.Secret), SessionToken: v.seal("session_token", k.SessionToken),
		Created: k.Created.UTC(), Expires: k.Expires.UTC(), Disabled: k.Disabled, Operator: k.Operator, Bootstrap: k.Bootstrap,
		Policy: k.Policy,
	}
}

func (f *storedAccessKey) entity(id string, v *vault) trunk.Entity {
	return &iam.AccessKey{
		ID: id, Account: shared(f.Account), Name: f.Name,
		Secret: v.open("secret", f.Secret), SessionToken: v.open("session_token", f.SessionToken),
		Created: f.Created, Expires: f.Expires, Disabled: f.Disabled, Operator: f.Operator, Bootstrap: f.Bootstrap,
		Policy: f.Policy,
	}
}
