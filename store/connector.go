package store

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"carillon/trunk"
)

type storedConnector struct {
	header
	Account           string             `json:"account"`
	Name              string             `json:"name"`
	Region            string             `json:"region"`
	HostName          string             `json:"host"`
	RequireEncryption bool               `json:"require_encryption"`
	NetworkType       string             `json:"network_type"`
	IntegrationType   string             `json:"integration_type,omitempty"`
	Created           time.Time          `json:"created"`
	Updated           time.Time          `json:"updated"`
	Tags              []storedTag        `json:"tags,omitempty"`
	Termination       *storedTermination `json:"termination,omitempty"`
	Origination       *storedOrigination `json:"origination,omitempty"`
	Credentials       []storedCredential `json:"credentials,omitempty"`
	Services          *storedServices    `json:"services,omitempty"`
	Settings          storedSettings     `json:"settings,omitzero"`
}

type storedTag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type storedTermination struct {
	CallingRegions     []string     `json:"regions"`
	CidrAllowedList    []storedCIDR `json:"cidrs"`
	CpsLimit           int          `json:"cps"`
	DefaultPhoneNumber string       `json:"default_number,omitempty"`
	Disabled           bool         `json:"disabled,omitempty"`
}

type storedCIDR struct {
	Text   string       `json:"text"`
	Prefix netip.Prefix `json:"prefix"`
}

type storedOrigination struct {
	Routes   []storedRoute `json:"routes"`
	Disabled bool          `json:"disabled,omitempty"`
}

type storedRoute struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port,omitempty"`
	Protocol string `json:"protocol"`
	Priority int    `json:"priority"`
	Weight   int    `json:"weight"`
}

type storedCredential struct {
	Username string `json:"user"`
	Realm    string `json:"realm"`
	MD5      []byte `json:"md5,omitempty"`
	SHA256   []byte `json:"sha256,omitempty"`
}

type storedSettings struct {
	Digest         []string              `json:"digest,omitempty"`
	Peers          map[string]storedPeer `json:"peers,omitempty"`
	PlainEmergency bool                  `json:"plain_emergency,omitempty"`
	Premium        bool                  `json:"premium,omitempty"`
	ClientCerts    bool                  `json:"client_certificates,omitempty"`
	Redirects      string                `json:"redirects,omitempty"`
	Transfers      string                `json:"transfers,omitempty"`
	Headers        []string              `json:"headers,omitzero"`
}

// IsZero leaves settings nobody made out of the stored form.
func (s storedSettings) IsZero() bool {
	return len(s.Digest) == 0 && len(s.Peers) == 0 && !s.PlainEmergency && !s.Premium && !s.ClientCerts && s.Redirects == "" && s.Transfers == "" && s.Headers == nil
}

type storedPeer struct {
	Pin      string `json:"pin,omitempty"`
	NoVerify bool   `json:"no_verify,omitempty"`
}

func connectorForm(c *trunk.Connector, v *vault) *storedConnector {
	f := &storedConnector{
		header: header{formVersion}, Account: c.Account, Name: c.Name, Region: string(c.Region), HostName: c.HostName,
		RequireEncryption: c.RequireEncryption, NetworkType: string(c.NetworkType), IntegrationType: c.IntegrationType,
		Created: c.Created.UTC(), Updated: c.Updated.UTC(), Tags: tagsForm(c.Tags), Services: servicesForm(c.Services),
	}
	if t := c.Termination; t != nil {
		f.Termination = &storedTermination{
			CallingRegions: t.CallingRegions, CpsLimit: t.CpsLimit, DefaultPhoneNumber: t.DefaultPhoneNumber, Disabled: t.Disabled,
		}
		for _, cidr := range t.CidrAllowedList {
			f.Termination.CidrAllowedList = append(f.Termination.CidrAllowedList, storedCIDR(cidr))
		}
	}
	if o := c.Origination; o != nil {
		f.Origination = &storedOrigination{Disabled: o.Disabled}
		for _, r := range o.Routes {
			f.Origination.Routes = append(f.Origination.Routes, storedRoute(r))
		}
	}
	for _, cred := range c.Credentials {
		f.Credentials = append(f.Credentials, storedCredential{
			Username: cred.Username, Realm: cred.Realm,
			MD5: v.seal(credentialField(cred.Username, "md5"), cred.MD5), SHA256: v.seal(credentialField(cred.Username, "sha256"), cred.SHA256),
		})
	}
	for _, d := range c.Settings.Digest {
		f.Settings.Digest = append(f.Settings.Digest, string(d))
	}
	for host, p := range c.Settings.Peers {
		if f.Settings.Peers == nil {
			f.Settings.Peers = map[string]storedPeer{}
		}
		f.Settings.Peers[host] = storedPeer(p)
	}
	f.Settings.PlainEmergency, f.Settings.Premium = c.Settings.PlainEmergency, c.Settings.Premium
	f.Settings.Headers, f.Settings.ClientCerts = c.Settings.Headers, c.Settings.ClientCertificates
	f.Settings.Redirects, f.Settings.Transfers = string(c.Settings.Redirects), string(c.Settings.Transfers)
	return f
}

// credentialField names an HA1. The user is part of it, so that one user's HA1 cannot be moved to another.
func credentialField(user, algorithm string) string {
	return fmt.Sprintf("credential/%q/%s", user, algorithm)
}

func (f *storedConnector) entity(id string, v *vault) (trunk.Entity, error) {
	if strings.HasPrefix(f.HostName, id) {
		id = f.HostName[:len(id)] // one text less in memory, and one less to fetch for a look-up by host name
	}
	c := &trunk.Connector{
		ID: id, Account: shared(f.Account), Name: f.Name, Region: trunk.Region(shared(f.Region)), HostName: f.HostName,
		RequireEncryption: f.RequireEncryption, NetworkType: trunk.NetworkType(shared(f.NetworkType)),
		IntegrationType: shared(f.IntegrationType), Created: f.Created, Updated: f.Updated,
		Settings: trunk.Settings{
			PlainEmergency: f.Settings.PlainEmergency, Premium: f.Settings.Premium, ClientCertificates: f.Settings.ClientCerts, Redirects: trunk.RedirectPolicy(shared(f.Settings.Redirects)),
			Transfers: trunk.TransferPolicy(shared(f.Settings.Transfers)), Headers: f.Settings.Headers,
		},
	}
	c.Tags, c.Services = tags(f.Tags), f.Services.entity()
	c.Termination = f.Termination.entity()
	c.Origination = f.Origination.entity()
	if n := len(f.Credentials); n > 0 {
		c.Credentials = make([]trunk.Credential, 0, n)
		for _, s := range f.Credentials {
			c.Credentials = append(c.Credentials, s.entity(c.HostName, v))
		}
	}
	for _, d := range f.Settings.Digest {
		c.Settings.Digest = append(c.Settings.Digest, trunk.DigestMode(shared(d)))
	}
	for host, p := range f.Settings.Peers {
		if c.Settings.Peers == nil {
			c.Settings.Peers = map[string]trunk.PeerPolicy{}
		}
		c.Settings.Peers[host] = trunk.PeerPolicy(p)
	}
	return c, nil
}

func (s *storedTermination) entity() *trunk.Termination {
	if s == nil {
		return nil
	}
	t := &trunk.Termination{CpsLimit: s.CpsLimit, DefaultPhoneNumber: s.DefaultPhoneNumber, Disabled: s.Disabled}
	for _, r := range s.CallingRegions {
		t.CallingRegions = append(t.CallingRegions, shared(r))
	}
	for _, cidr := range s.CidrAllowedList {
		t.CidrAllowedList = append(t.CidrAllowedList, trunk.CIDR(cidr))
	}
	return t
}

func (s *storedOrigination) entity() *trunk.Origination {
	if s == nil {
		return nil
	}
	o := &trunk.Origination{Disabled: s.Disabled}
	for _, r := range s.Routes {
		r.Protocol = shared(r.Protocol)
		o.Routes = append(o.Routes, trunk.Route(r))
	}
	return o
}

func (s *storedCredential) entity(host string, v *vault) trunk.Credential {
	realm := s.Realm
	if realm == host {
		realm = host // one copy of the text for both
	}
	return trunk.Credential{
		Username: s.Username, Realm: realm,
		MD5: v.open(credentialField(s.Username, "md5"), s.MD5), SHA256: v.open(credentialField(s.Username, "sha256"), s.SHA256),
	}
}
