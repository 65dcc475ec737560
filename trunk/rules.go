package trunk

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Limits of a connector's configuration. They are AWS's where AWS has one.
const (
	// MaxNameLength is the longest name in characters.
	MaxNameLength = 256
	// MaxCIDRs is the most entries of an allow list.
	MaxCIDRs = 10
	// MaxRoutes is the most routes of an origination.
	MaxRoutes = 20
	// MaxCredentials is the most digest users of a connector.
	MaxCredentials = 10
	// MaxTags is the most tags of a resource.
	MaxTags = 50
	// MaxCallingRegions is more countries than there are.
	MaxCallingRegions = 300
	// MaxPriority and MaxWeight bound a route.
	MaxPriority = 100
	MaxWeight   = 100
	// MaxHeaders is the most patterns of custom headers of a connector.
	MaxHeaders = 20
	// MaxDNIS is the most emergency numbers of a connector.
	MaxDNIS = 20
)

// Rules are the limits an installation's operator may move.
type Rules struct {
	// ShortestIPv4 and ShortestIPv6 are the shortest prefixes of an allow list.
	ShortestIPv4, ShortestIPv6 int
	// MaxCPS caps CpsLimit; 0 is no cap.
	MaxCPS int
	// Country reports whether a two-letter code is a country; nil accepts every pair of capital letters.
	Country func(string) bool
}

// DefaultRules returns the limits used when the operator sets none.
func DefaultRules() Rules { return Rules{ShortestIPv4: 8, ShortestIPv6: 32} }

// CheckName judges a connector's name.
func CheckName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > MaxNameLength {
		return Errorf(Invalid, "Name has %d characters; it must have 1 to %d.", n, MaxNameLength)
	}
	// A name reaches logs and the console; control characters would forge lines there.
	if !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) {
		return Errorf(Invalid, "Name has a control character or is not valid UTF-8.")
	}
	return nil
}

// CheckTermination judges a termination and completes it: the limit of calls a second becomes at least 1 and each
// allow-list entry gets its canonical prefix.
func (r Rules) CheckTermination(t *Termination) error {
	if t.CpsLimit == 0 {
		t.CpsLimit = 1
	}
	if t.CpsLimit < 1 || (r.MaxCPS > 0 && t.CpsLimit > r.MaxCPS) {
		return Errorf(Invalid, "CpsLimit %d is not between 1 and the account's limit.", t.CpsLimit)
	}
	if len(t.CallingRegions) > MaxCallingRegions {
		return Errorf(Invalid, "CallingRegions has more than %d entries.", MaxCallingRegions)
	}
	for _, c := range t.CallingRegions {
		if !r.isCountry(c) {
			return Errorf(Invalid, "CallingRegions holds %q; give countries as two capital letters (ISO 3166-1 alpha-2).", c)
		}
	}
	if t.DefaultPhoneNumber != "" {
		if _, ok := ParseNumber(t.DefaultPhoneNumber); !ok {
			return Errorf(Invalid, "DefaultPhoneNumber must be a number in E.164, for example +12065550100.")
		}
	}
	if len(t.CidrAllowedList) > MaxCIDRs {
		return Errorf(Invalid, "CidrAllowedList has %d entries; at most %d are allowed.", len(t.CidrAllowedList), MaxCIDRs)
	}
	for i := range t.CidrAllowedList {
		if err := r.checkCIDR(&t.CidrAllowedList[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r Rules) isCountry(c string) bool {
	if len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z' {
		return false
	}
	return r.Country == nil || r.Country(c)
}

func (r Rules) checkCIDR(c *CIDR) error {
	p, err := netip.ParsePrefix(c.Text)
	if err != nil {
		return Errorf(Invalid, "CidrAllowedList holds %q, which is not a network such as 203.0.113.0/27.", c.Text)
	}
	// ::ffff:0:0/96 in IPv6 spelling would admit all of IPv4 past the IPv4 limit.
	if p.Addr().Is4In6() {
		return Errorf(Invalid, "CidrAllowedList holds %q; write IPv4 networks in IPv4 form.", c.Text)
	}
	if p != p.Masked() {
		return Errorf(Invalid, "CidrAllowedList holds %q, which has host bits set; write %s.", c.Text, p.Masked())
	}
	shortest := r.ShortestIPv4
	if p.Addr().Is6() {
		shortest = r.ShortestIPv6
	}
	if p.Bits() < max(shortest, 1) {
		return Errorf(Invalid, "CidrAllowedList holds %q; prefixes shorter than /%d are not allowed.", c.Text, max(shortest, 1))
	}
	c.Prefix = p
	return nil
}

// CheckOrigination judges an origination.
func CheckOrigination(o *Origination) error {
	if len(o.Routes) > MaxRoutes {
		return Errorf(Invalid, "Routes has %d entries; at most %d are allowed.", len(o.Routes), MaxRoutes)
	}
	for i := range o.Routes {
		if err := checkRoute(&o.Routes[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkRoute(r *Route) error {
	if !ValidHost(r.Host) {
		return Errorf(Invalid, "Host %q is neither a host name nor an IP address.", r.Host)
	}
	if r.Protocol != "TCP" && r.Protocol != "UDP" {
		return Errorf(Invalid, "Protocol %q is neither TCP nor UDP.", r.Protocol)
	}
	if r.Priority < 1 || r.Priority > MaxPriority {
		return Errorf(Invalid, "Priority %d is not between 1 and %d.", r.Priority, MaxPriority)
	}
	if r.Weight < 1 || r.Weight > MaxWeight {
		return Errorf(Invalid, "Weight %d is not between 1 and %d.", r.Weight, MaxWeight)
	}
	return nil
}

// ValidHost reports whether s is an IP address or a host name of letters, digits, dashes and dots (RFC 1123
// section 2.1). Everything it accepts may be written into a SIP message as it is.
func ValidHost(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() == ""
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return false
		}
	}
	// A last label of digits is a mistyped address, not a name (RFC 3696 section 2).
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != ""
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(label, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	})
}

// CheckUsername judges a digest user name: printable US-ASCII that needs no quoting in a header or a record.
func CheckUsername(name string) error {
	if name == "" || len(name) > 128 {
		return Errorf(Invalid, "A Username must have 1 to 128 characters.")
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ':' || c == ',' {
			return Errorf(Invalid, "A Username may hold printable US-ASCII except space, comma, colon, quote and backslash.")
		}
	}
	return nil
}

// CheckPassword judges a digest password: 1 to 128 printable US-ASCII characters. The text of the error never
// holds the password.
func CheckPassword(password string) error {
	if password == "" || len(password) > 128 {
		return Errorf(Invalid, "A Password must have 1 to 128 characters.")
	}
	for i := range len(password) {
		if c := password[i]; c < ' ' || c > '~' {
			return Errorf(Invalid, "A Password may hold printable US-ASCII only.")
		}
	}
	return nil
}

// CheckTags judges tags: keys of 1 to 128 characters, unique and not aws:, values up to 256.
func CheckTags(tags []Tag) error {
	if len(tags) > MaxTags {
		return Errorf(Invalid, "Tags has %d entries; at most %d are allowed.", len(tags), MaxTags)
	}
	seen := make(map[string]bool, len(tags))
	for _, tag := range tags {
		if n := utf8.RuneCountInString(tag.Key); n < 1 || n > 128 {
			return Errorf(Invalid, "A tag's Key must have 1 to 128 characters.")
		}
		if len(tag.Key) >= 4 && strings.EqualFold(tag.Key[:4], "aws:") {
			return Errorf(Invalid, "A tag's Key must not begin with aws:, which is for AWS's own tags.")
		}
		if utf8.RuneCountInString(tag.Value) > 256 {
			return Errorf(Invalid, "The Value of tag %q has more than 256 characters.", tag.Key)
		}
		if seen[tag.Key] {
			return Errorf(Invalid, "Tags holds the key %q twice.", tag.Key)
		}
		seen[tag.Key] = true
	}
	return nil
}

// CheckHeaders judges the patterns of custom headers: names that begin with X-, at their end perhaps a star. The names
// that only the node may write are never let through, whatever the patterns.
func CheckHeaders(patterns []string) error {
	if len(patterns) > MaxHeaders {
		return Errorf(Invalid, "headers has %d entries; at most %d are allowed.", len(patterns), MaxHeaders)
	}
	for _, p := range patterns {
		name := strings.TrimSuffix(p, "*")
		if len(p) > 64 || len(name) < 2 || !strings.EqualFold(name[:2], "X-") || strings.ContainsFunc(name, notNameRune) {
			return Errorf(Invalid, "headers holds %q; give names that begin with X-, with a star at the end for all that go on.", p)
		}
	}
	return nil
}

// CheckCarrier judges a carrier.
func CheckCarrier(c *Carrier) error {
	if c.Name == "" || len(c.Name) > 64 || strings.ContainsFunc(c.Name, notNameRune) {
		return Errorf(Invalid, "A carrier's name must have 1 to 64 letters, digits, dots, dashes or underscores.")
	}
	if len(c.Targets) == 0 || len(c.Targets) > MaxRoutes {
		return Errorf(Invalid, "A carrier needs 1 to %d targets.", MaxRoutes)
	}
	for _, t := range c.Targets {
		if !ValidHost(t.Host) {
			return Errorf(Invalid, "Target host %q is neither a host name nor an IP address.", t.Host)
		}
		switch t.Transport {
		case UDP, TCP, TLS:
		case AnyTransport:
			if !t.choosable() {
				return Errorf(Invalid, "Target %s leaves its transport to the DNS, which says nothing of addresses and ports: add ;transport=udp, tcp or tls.", t)
			}
		default:
			return Errorf(Invalid, "Target transport %q is not udp, tcp or tls.", t.Transport)
		}
		if t.Transport != TLS && c.SRTP != 0 {
			return Errorf(Invalid, "Target %s is not TLS: with --srtp %s its keys could be read by anyone on the path. Use transport=tls or --srtp off.", t, c.SRTP)
		}
	}
	for _, p := range c.Prefixes {
		if len(p) > 16 || !strings.HasPrefix(p, "+") || strings.Trim(p[1:], "0123456789") != "" {
			return Errorf(Invalid, "Prefix %q is not a plus sign and digits.", p)
		}
	}
	for _, p := range c.Sources {
		if !p.IsValid() || p.Bits() < 1 {
			return Errorf(Invalid, "Source %s would let everybody in as this carrier.", p)
		}
	}
	if c.Probe < 0 {
		return Errorf(Invalid, "The probe interval is negative.")
	}
	return nil
}

func notNameRune(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c))
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// choosable reports whether the DNS can choose the target's transport: an address has none of its own, and a port is
// given for one (RFC 3263 section 4.1).
func (t Target) choosable() bool {
	_, err := netip.ParseAddr(t.Host)
	return err != nil && t.Port == 0
}

// ParseTarget reads a target as operators write it: sip:HOST[:PORT][;transport=udp|tcp|tls]. Without a transport sips:
// and port 5061 mean TLS, a host name alone leaves it to the DNS, and everything else means UDP.
func ParseTarget(s string) (Target, error) {
	rest, secure := strings.CutPrefix(s, "sips:")
	if !secure {
		rest = strings.TrimPrefix(s, "sip:")
	}
	if strings.ContainsRune(s, ',') {
		return Target{}, Errorf(Invalid, "Target %q holds a comma; give each target by itself.", s)
	}
	rest, params, _ := strings.Cut(rest, ";")
	var t Target
	named := false
	if secure {
		t.Transport = TLS
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		return t, Errorf(Invalid, "Target %q holds a user; give sip:HOST:PORT.", s)
	}
	host, port, err := splitHostPort(rest)
	if err != nil {
		return t, Errorf(Invalid, "Target %q: %v", s, err)
	}
	t.Host, t.Port = host, port
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		switch {
		case p == "":
		case strings.EqualFold(name, "transport") && named:
			return t, Errorf(Invalid, "Target %q names a transport twice.", s)
		case strings.EqualFold(name, "transport"):
			named = true
			t.Transport = Transport(strings.ToLower(value))
		default:
			return t, Errorf(Invalid, "Target %q: the parameter %q is not known; use transport=udp, tcp or tls.", s, name)
		}
	}
	if t.Transport == AnyTransport && !t.choosable() {
		t.Transport = UDP
		if t.Port == 5061 {
			t.Transport = TLS
		}
	}
	if secure && t.Transport != TLS {
		return t, Errorf(Invalid, "Target %q: sips needs transport=tls.", s)
	}
	return t, CheckCarrier(&Carrier{Name: "t", Targets: []Target{t}})
}

func splitHostPort(s string) (string, uint16, error) {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, Errorf(Invalid, "the bracket is not closed")
		}
		host = s[1:end]
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() {
			return "", 0, Errorf(Invalid, "only an IPv6 address may stand in brackets")
		}
		if s = s[end+1:]; s != "" {
			after, ok := strings.CutPrefix(s, ":")
			if port = after; !ok || port == "" {
				return "", 0, Errorf(Invalid, "only a colon and a port may follow the bracket")
			}
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, _ = strings.Cut(s, ":")
		if port == "" {
			return "", 0, Errorf(Invalid, "the port is missing after the colon")
		}
	}
	if port == "" {
		return host, 0, nil
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' || n > 65535 {
			return "", 0, Errorf(Invalid, "the port %q is not a number from 1 to 65535", port)
		}
		n = n*10 + int(port[i]-'0')
	}
	if n < 1 || n > 65535 {
		return "", 0, Errorf(Invalid, "the port %q is not a number from 1 to 65535", port)
	}
	return host, uint16(n), nil
}
