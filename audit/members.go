package audit

import (
	"time"

	"carillon/iam"
	"carillon/trunk"
)

// appendMembers appends what may be shown of an entity: the fields listed here and no others, the same ones in the same
// order for each entity of a kind. Of a secret it shows that there is one, and that it is not the one of other, the state
// before. Of a kind that is not listed it shows nothing.
func appendMembers(to []member, e, other trunk.Entity) []member {
	switch e := e.(type) {
	case *trunk.Connector:
		old, _ := other.(*trunk.Connector)
		return appendConnector(to, e, old)
	case *trunk.PhoneNumber:
		return append(to, []member{
			{"account", e.Account}, {"connector_id", e.ConnectorID}, {"group_id", e.GroupID}, {"product_type", string(e.ProductType)},
			{"name", e.Name}, {"calling_name", e.CallingName}, {"order_id", e.OrderID}, {"deleted", stamp(e.Deleted)}, {"tags", tags(e.Tags)},
		}...)
	case *trunk.Group:
		return append(to, []member{{"name", e.Name}, {"distribution", string(e.Distribution)}, {"members", priorities(e.Members)}, {"tags", tags(e.Tags)}}...)
	case *trunk.Order:
		return append(to, []member{{"product_type", string(e.ProductType)}, {"numbers", acquired(e.Numbers)}}...)
	case *trunk.SIPRule:
		return append(to, []member{
			{"name", e.Name}, {"disabled", e.Disabled}, {"trigger", string(e.Trigger)}, {"trigger_value", e.TriggerValue}, {"targets", ruleTargets(e.Targets)},
		}...)
	case *trunk.AccountSettings:
		return append(to, []member{{"cdr_bucket", e.CdrBucket}, {"business_cdr_bucket", e.BusinessCdrBucket}, {"calling_name", e.CallingName}}...)
	case *trunk.Carrier:
		old, _ := other.(*trunk.Carrier)
		return appendCarrier(to, e, old)
	case *trunk.Quota:
		if e.Value == trunk.Unset {
			return append(to, []member{{"value", nil}}...)
		}
		return append(to, []member{{"value", e.Value}}...)
	case *trunk.Installation:
		return append(to, []member{{"domain", e.Domain}, {"account", e.Account}}...)
	case *iam.AccessKey:
		old, _ := other.(*iam.AccessKey)
		return appendAccessKey(to, e, old)
	}
	return to
}

// appendConnector leaves out what never changes and follows from the rest: host name, times.
func appendConnector(to []member, c, old *trunk.Connector) []member {
	var before []trunk.Credential
	if old != nil {
		before = old.Credentials
	}
	var services trunk.Services
	if c.Services != nil {
		services = *c.Services
	}
	return append(to, []member{
		{"name", c.Name}, {"region", string(c.Region)}, {"require_encryption", c.RequireEncryption}, {"network_type", string(c.NetworkType)},
		{"integration_type", c.IntegrationType}, {"tags", tags(c.Tags)}, {"termination", termination(c.Termination)},
		{"credentials", credentials(c.Credentials, before)}, {"origination", origination(c.Origination)},
		{"streaming", streaming(services.Streaming)}, {"logging", logging(services.Logging)}, {"emergency", emergency(services.Emergency)},
		{"external_systems", externalSystems(services.ExternalSystems)}, {"proxy", proxy(services.Proxy)},
		{"digest", digest(c.Settings.Digest)}, {"peers", peers(c.Settings.Peers)}, {"plain_emergency", c.Settings.PlainEmergency}, {"premium", c.Settings.Premium},
		{"client_certificates", c.Settings.ClientCertificates},
		{"headers", c.Settings.Headers}, {"redirects", string(c.Settings.Redirects)}, {"transfers", string(c.Settings.Transfers)},
	}...)
}

func appendCarrier(to []member, c, old *trunk.Carrier) []member {
	targets := make([]string, 0, len(c.Targets))
	for _, t := range c.Targets {
		targets = append(targets, t.String())
	}
	var before trunk.Secret
	if old != nil {
		before = old.Password
	}
	return append(to, []member{
		{"targets", targets}, {"prefixes", c.Prefixes}, {"srtp", c.SRTP.String()}, {"sources", c.Sources},
		{"probe_seconds", c.Probe.Seconds()}, {"user", c.User}, {"password", secret(c.Password, before)}, {"lab", c.Lab},
	}...)
}

func appendAccessKey(to []member, k, old *iam.AccessKey) []member {
	var before iam.AccessKey
	if old != nil {
		before = *old
	}
	return append(to, []member{
		{"name", k.Name}, {"expires", stamp(k.Expires)}, {"disabled", k.Disabled}, {"operator", k.Operator}, {"bootstrap", k.Bootstrap}, {"policy", k.Policy},
		{"secret", secret(k.Secret, before.Secret)}, {"session_token", secret(k.SessionToken, before.SessionToken)},
	}...)
}

// secret says of a secret what may be said; before is empty where there was none.
func secret(now, before trunk.Secret) string {
	switch {
	case now.Empty():
		return ""
	case !before.Empty() && !now.Equal(before):
		return "(changed)"
	}
	return "(set)"
}

// credentials has the users of a connector and what may be said of their secrets.
func credentials(now, before []trunk.Credential) any {
	if len(now) == 0 {
		return nil
	}
	all := make(map[string]string, len(now))
	for _, c := range now {
		all[c.Username] = "(set)"
		for _, old := range before {
			if old.Username == c.Username && !(old.MD5.Equal(c.MD5) && old.SHA256.Equal(c.SHA256)) {
				all[c.Username] = "(changed)"
			}
		}
	}
	return all
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func tags(all []trunk.Tag) any {
	if len(all) == 0 {
		return nil
	}
	m := make(map[string]string, len(all))
	for _, t := range all {
		m[t.Key] = t.Value
	}
	return m
}

func termination(t *trunk.Termination) any {
	if t == nil {
		return nil
	}
	allowed := make([]string, 0, len(t.CidrAllowedList))
	for _, c := range t.CidrAllowedList {
		allowed = append(allowed, c.Text)
	}
	return struct {
		CallingRegions     []string `json:"calling_regions"`
		CidrAllowedList    []string `json:"cidr_allowed_list"`
		CpsLimit           int      `json:"cps_limit"`
		DefaultPhoneNumber string   `json:"default_phone_number,omitempty"`
		Disabled           bool     `json:"disabled"`
	}{t.CallingRegions, allowed, t.CpsLimit, t.DefaultPhoneNumber, t.Disabled}
}

func origination(o *trunk.Origination) any {
	if o == nil {
		return nil
	}
	type route struct {
		Host     string `json:"host"`
		Port     uint16 `json:"port,omitempty"`
		Protocol string `json:"protocol"`
		Priority int    `json:"priority"`
		Weight   int    `json:"weight"`
	}
	routes := make([]route, 0, len(o.Routes))
	for _, r := range o.Routes {
		routes = append(routes, route(r))
	}
	return struct {
		Routes   []route `json:"routes"`
		Disabled bool    `json:"disabled"`
	}{routes, o.Disabled}
}

func streaming(s *trunk.Streaming) any {
	if s == nil {
		return nil
	}
	type insights struct {
		ARN      string `json:"arn"`
		Disabled bool   `json:"disabled"`
	}
	return struct {
		RetentionHours int       `json:"retention_hours"`
		Disabled       bool      `json:"disabled"`
		Targets        []string  `json:"targets,omitempty"`
		Insights       *insights `json:"media_insights,omitempty"`
	}{s.RetentionHours, s.Disabled, s.Targets, (*insights)(s.Insights)}
}

func logging(l *trunk.Logging) any {
	if l == nil {
		return nil
	}
	return struct {
		SIP          bool `json:"sip"`
		MediaMetrics bool `json:"media_metrics"`
	}(*l)
}

func emergency(e *trunk.Emergency) any {
	if e == nil {
		return nil
	}
	type dnis struct {
		Number  trunk.Number `json:"number"`
		Test    trunk.Number `json:"test,omitempty"`
		Country string       `json:"country"`
	}
	all := make([]dnis, 0, len(e.DNIS))
	for _, d := range e.DNIS {
		all = append(all, dnis(d))
	}
	return all
}

func externalSystems(s *trunk.ExternalSystems) any {
	if s == nil {
		return nil
	}
	return struct {
		SessionBorderControllers []string `json:"session_border_controllers,omitempty"`
		ContactCenters           []string `json:"contact_centers,omitempty"`
	}(*s)
}

func proxy(p *trunk.Proxy) any {
	if p == nil {
		return nil
	}
	return struct {
		ExpiryMinutes int      `json:"expiry_minutes"`
		Disabled      bool     `json:"disabled"`
		Fallback      string   `json:"fallback,omitempty"`
		Countries     []string `json:"countries,omitempty"`
	}(*p)
}

func digest(modes []trunk.DigestMode) any {
	if len(modes) == 0 {
		return nil
	}
	return modes
}

func peers(all map[string]trunk.PeerPolicy) any {
	if len(all) == 0 {
		return nil
	}
	type peer struct {
		Pin      string `json:"pin,omitempty"`
		NoVerify bool   `json:"no_verify,omitempty"`
	}
	m := make(map[string]peer, len(all))
	for host, p := range all {
		m[host] = peer(p)
	}
	return m
}

func priorities(all []trunk.Member) any {
	type item struct {
		ConnectorID string `json:"connector_id"`
		Priority    int    `json:"priority"`
	}
	items := make([]item, 0, len(all))
	for _, m := range all {
		items = append(items, item(m))
	}
	return items
}

func acquired(all []trunk.OrderedNumber) any {
	type item struct {
		E164     trunk.Number `json:"number"`
		Acquired bool         `json:"acquired"`
	}
	items := make([]item, 0, len(all))
	for _, n := range all {
		items = append(items, item(n))
	}
	return items
}

func ruleTargets(all []trunk.RuleTarget) any {
	type item struct {
		ApplicationID string `json:"application_id"`
		Priority      int    `json:"priority,omitempty"`
		Region        string `json:"region,omitempty"`
	}
	items := make([]item, 0, len(all))
	for _, t := range all {
		items = append(items, item(t))
	}
	return items
}
