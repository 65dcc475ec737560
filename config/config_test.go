package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// sources builds Sources from texts. Flags are parsed as the command line's parser does.
func sources(t *testing.T, flags, env map[string]string, file string) Sources {
	t.Helper()
	s := Sources{
		Given:    func(name string) bool { _, ok := flags[name]; return ok },
		Getenv:   func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(string) ([]byte, error) { return []byte(file), nil },
	}
	for _, f := range Fields() {
		if text, ok := flags[f.Name]; ok {
			if err := setText(f.value(&s.Flags), text); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func TestPrecedence(t *testing.T) {
	const file = "config-less: here\n"
	tests := []struct {
		name       string
		flags, env map[string]string
		file       string
		want       Listen
	}{
		{name: "default", want: "127.0.0.1:8080"},
		{name: "file", file: "api: 127.0.0.1:1", want: "127.0.0.1:1"},
		{name: "environment", file: "api: 127.0.0.1:1", env: map[string]string{"CARILLON_API": "127.0.0.1:2"}, want: "127.0.0.1:2"},
		{name: "flag", file: "api: 127.0.0.1:1", env: map[string]string{"CARILLON_API": "127.0.0.1:2"},
			flags: map[string]string{"api": "127.0.0.1:3"}, want: "127.0.0.1:3"},
		{name: "empty variable", file: "api: 127.0.0.1:1", env: map[string]string{"CARILLON_API": ""}, want: "127.0.0.1:1"},
		{name: "URL in the environment", env: map[string]string{"CARILLON_API": "http://127.0.0.1:2/"}, want: "127.0.0.1:2"},
	}
	for _, tt := range tests {
		if tt.flags == nil {
			tt.flags = map[string]string{}
		}
		tt.flags["config"] = "x.yaml"
		got, err := Load(sources(t, tt.flags, tt.env, tt.file))
		if err != nil || got.API != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got.API, err, tt.want)
		}
	}
	if _, err := Load(sources(t, map[string]string{"config": "x.yaml"}, nil, file)); err == nil {
		t.Error("a file with an unknown key was accepted")
	}
}

func TestZeroBeatsDefaultWhenGiven(t *testing.T) {
	got, err := Load(sources(t, map[string]string{"dev": "false", "data": "", "config": "x"}, nil, "dev: true\nmax-calls: 0"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Dev || got.Data != "" || got.MaxCalls != 0 {
		t.Errorf("dev %v, data %q, max-calls %d: a default replaced what was given", got.Dev, got.Data, got.MaxCalls)
	}
	err = got.Check()
	for _, want := range []string{"--data names no folder", "--max-calls 0 is less than 1", "--domain is required", "--media-ip is required"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check does not say %q: %v", want, err)
		}
	}
}

func TestDevDefaults(t *testing.T) {
	for _, s := range []Sources{
		sources(t, map[string]string{"dev": "true"}, nil, ""),
		sources(t, nil, map[string]string{"CARILLON_DEV": "1"}, ""),
		sources(t, nil, map[string]string{"CARILLON_CONFIG": "x"}, "dev: true"),
	} {
		got, err := Load(s)
		if err != nil || !reflect.DeepEqual(got.withoutFile(), Default(true)) {
			t.Errorf("got %+v, %v", got, err)
		}
		if err := got.Check(); err != nil {
			t.Errorf("Check: %v", err)
		}
		for _, l := range []Listen{got.API, got.SIPUDP, got.SIPTCP, got.SIPTLS, got.DNS, got.Metrics} {
			if !strings.HasPrefix(l.String(), "127.0.0.1:") {
				t.Errorf("a trial node listens on %s", l)
			}
		}
	}
}

func (c Config) withoutFile() Config { c.File = ""; return c }

func TestZeroValueIsUsable(t *testing.T) {
	if got, want := (Config{}).WithDefaults(), Default(false); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c := Config{Domain: "voice.example.org", MediaIP: []netip.Addr{netip.MustParseAddr("192.0.2.7")}}.WithDefaults()
	if err := c.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
	if got := (Config{Dev: true, MaxCalls: 3}).WithDefaults(); got.MaxCalls != 3 || got.Domain != "carillon.test" {
		t.Errorf("got %+v", got)
	}
}

func TestEverySettingFromEverySource(t *testing.T) {
	value := map[string]string{
		"dev": "true", "data": "/d", "config": "/c", "ready-file": "/r", "store": "etcd://h:2379,[::1]:2380",
		"domain": "a.example", "log-level": "debug", "log-format": "json", "api": "1.2.3.4:1", "api-tls": "true",
		"sip-udp": "[::1]:2", "sip-tcp": ":0", "sip-tls": "off", "dns": "1.2.3.4:5", "metrics": "localhost:6",
		"sip-advertise": "sip.example,192.0.2.1", "media-ip": "192.0.2.1,2001:db8::1", "media-ports": "2000-2999",
		"media-advertise": "192.0.2.9", "allow-private": "true", "allow-loopback": "true", "tls-cert": "/crt,/crt2",
		"tls-key": "/key,/key2", "tls-trust": "/ca", "max-calls": "1", "max-connections": "2", "max-connections-per-ip": "3",
		"max-transactions": "4", "max-record-bytes": "5MiB", "memory-headroom": "6MiB", "audit-entries": "88", "audit-keep": "99h", "shortest-prefix-ipv4": "6", "shortest-prefix-ipv6": "7",
		"target-silence": "8s", "ring-time": "9s", "media-silence": "10s", "max-call-time": "12h",
		"resolver":       "192.0.2.53:53,[2001:db8::53]:53",
		"proxy-protocol": "192.0.2.0/24,2001:db8::/32", "api-proxy-protocol": "192.0.2.1/32",
		"store-stale": "11s", "max-unproven-calls": "77", "drain": "13s", "max-datagram": "1400", "api-throttle-exception": "ThrottlingException",
		"media-dscp": "34", "media-xdp": "eth0", "sip-dscp": "63", "max-api-connections": "14", "max-api-connections-per-ip": "15",
	}
	env, file := map[string]string{}, ""
	for _, f := range Fields() {
		if value[f.Name] == "" {
			t.Fatalf("this test has no value for --%s", f.Name)
		}
		env[f.Env] = value[f.Name]
		if f.Name != "config" {
			file += f.Name + `: "` + value[f.Name] + "\"\n"
		}
	}
	fromFlags, err1 := Load(sources(t, value, nil, ""))
	fromEnv, err2 := Load(sources(t, nil, env, ""))
	fromFile, err3 := Load(sources(t, map[string]string{"config": "/c"}, nil, file))
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	if !reflect.DeepEqual(fromFlags, fromEnv) || !reflect.DeepEqual(fromFlags, fromFile) {
		t.Errorf("flags %+v\nenvironment %+v\nfile %+v", fromFlags, fromEnv, fromFile)
	}
	for _, f := range Fields() {
		if f.value(&fromFlags).IsZero() {
			t.Errorf("--%s was not set", f.Name)
		}
	}
}

func TestFileSentences(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"slip", "\nsip-usp: :5060\n", `x.yaml, line 2: there is no setting "sip-usp"; did you mean "sip-udp"?`},
		{"other word", "zebra: 1\n", `x.yaml, line 1: there is no setting "zebra"`},
		{"twice", "dns: :53\ndns: :54\n", "x.yaml, line 2: dns is there twice"},
		{"value", "media-ports: 9\n", `x.yaml, line 1: media-ports: "9" is not LO-HI`},
		{"duration", "drain: 300\n", `x.yaml, line 1: drain: "300" is not a duration such as 90s or 1h30m`},
		{"number", "max-calls: many\n", `x.yaml, line 1: max-calls: "many" is not a whole number`},
		{"bool", "dev: perhaps\n", `x.yaml, line 1: dev: "perhaps" is neither true nor false`},
		{"list for a plain value", "dns: [a, b]\n", "x.yaml, line 1: dns: give a plain value"},
		{"map", "dns: {a: b}\n", "x.yaml, line 1: dns: give a plain value"},
		{"nested list", "media-ip: [[a]]\n", "x.yaml, line 1: media-ip: a list holds plain values"},
		{"no map", "- dns\n", `x.yaml, line 1: settings are lines of "key: value"`},
		{"not YAML", "dns: [\n", "x.yaml: yaml:"},
		{"file in file", "config: y.yaml\n", "x.yaml, line 1: a file cannot name another file"},
		{"too long", strings.Repeat("# comment\n", 200_000), "x.yaml is longer than"},
	}
	for _, tt := range tests {
		_, err := Load(sources(t, map[string]string{"config": "x.yaml"}, nil, tt.file))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, file := range []string{"", "# nothing\n", "media-ip:\n  - 192.0.2.1\n  - 192.0.2.2\n", "media-ip: 192.0.2.1, 192.0.2.2\n"} {
		if _, err := Load(sources(t, map[string]string{"config": "x.yaml"}, nil, file)); err != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
	if _, err := Load(Sources{Flags: Config{File: "/does/not/exist"}, Given: func(n string) bool { return n == "config" }}); err == nil {
		t.Error("a missing file was accepted")
	}
	if _, err := Load(sources(t, nil, map[string]string{"CARILLON_DNS": "x"}, "")); err == nil ||
		!strings.Contains(err.Error(), "environment variable CARILLON_DNS: ") {
		t.Errorf("environment: %v", err)
	}
}

func addrs(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestCheckSentences(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string // empty: accepted
	}{
		{"nothing", func(*Config) {}, ""},
		{"domain in capitals", func(c *Config) { c.Domain = "Voice.example" }, "--domain"},
		{"domain without a dot", func(c *Config) { c.Domain = "voice" }, "--domain"},
		{"log level", func(c *Config) { c.LogLevel = "loud" }, "--log-level"},
		{"log format", func(c *Config) { c.LogFormat = "xml" }, "--log-format"},
		{"throttle exception", func(c *Config) { c.APIThrottleException = "SlowDown" }, "--api-throttle-exception"},
		{"no API", func(c *Config) { c.API = Off }, "--api cannot be off"},
		{"no metrics", func(c *Config) { c.Metrics = Off }, ""},
		{"no SIP", func(c *Config) { c.SIPUDP, c.SIPTCP, c.SIPTLS = Off, Off, Off }, "all off"},
		{"TLS only", func(c *Config) { c.SIPUDP, c.SIPTCP = Off, Off }, ""},
		{"two on one port", func(c *Config) { c.SIPTCP = c.SIPTLS }, "--sip-tcp and --sip-tls both listen on"},
		{"free ports", func(c *Config) { c.SIPTCP, c.SIPTLS, c.API = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0" }, ""},
		{"advertise", func(c *Config) { c.SIPAdvertise = []string{"a b"} }, "--sip-advertise"},
		{"advertise nowhere", func(c *Config) { c.SIPAdvertise = []string{"::"} }, "not an address that peers can reach"},
		{"advertise two names", func(c *Config) { c.SIPAdvertise = []string{"a.example", "b.example"} }, "two host names"},
		{"advertise one family twice", func(c *Config) { c.SIPAdvertise = []string{"192.0.2.1", "192.0.2.2"} }, "two addresses of IPv4"},
		{"advertise all there is", func(c *Config) { c.SIPAdvertise = []string{"192.0.2.1", "a.example", "2001:db8::1"} }, ""},
		{"any media address", func(c *Config) { c.MediaIP = []netip.Addr{netip.IPv4Unspecified()} }, "--media-ip"},
		{"no media address", func(c *Config) { c.MediaIP = []netip.Addr{{}} }, "--media-ip"},
		{"multicast", func(c *Config) { c.MediaAdvertise = addrs("224.0.0.1") }, "--media-advertise"},
		{"media of one family twice", func(c *Config) { c.MediaAdvertise = addrs("2001:db8::1", "2001:db8::2") }, "two addresses of IPv6"},
		{"media of both families", func(c *Config) { c.MediaAdvertise = addrs("192.0.2.1", "2001:db8::2") }, ""},
		{"low ports", func(c *Config) { c.MediaPorts = Ports{1000, 2000} }, "--media-ports"},
		{"few ports", func(c *Config) { c.MediaPorts = Ports{20000, 20002} }, "too short"},
		{"just enough ports", func(c *Config) { c.MediaPorts = Ports{20000, 20003} }, ""},
		{"ports backwards", func(c *Config) { c.MediaPorts = Ports{20003, 20000} }, "too short"},
		{"SIP within media", func(c *Config) { c.SIPUDP = ":20001" }, "lies within --media-ports"},
		{"certificate alone", func(c *Config) { c.TLSCert = []string{"x"} }, "together"},
		{"anybody as balancer", func(c *Config) { c.ProxyProtocol = prefixes("0.0.0.0/0") }, "--proxy-protocol 0.0.0.0/0 would let anybody"},
		{"balancer with bits to spare", func(c *Config) { c.APIProxyProtocol = prefixes("192.0.2.1/24") }, "did you mean 192.0.2.0/24?"},
		{"balancer in IPv6 clothes", func(c *Config) { c.ProxyProtocol = prefixes("::ffff:192.0.2.0/120") }, "write it as IPv4"},
		{"balancer for nothing", func(c *Config) { c.ProxyProtocol, c.SIPTCP, c.SIPTLS = prefixes("192.0.2.0/24"), Off, Off }, "which are both off"},
		{"resolver without a port", func(c *Config) { c.Resolver = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")} }, "--resolver 192.0.2.1:0"},
		{"balancers", func(c *Config) { c.ProxyProtocol = prefixes("192.0.2.0/24", "2001:db8::/32") }, ""},
		{"certificate missing", func(c *Config) { c.TLSCert, c.TLSKey = []string{"/none"}, []string{"/none"} }, "--tls-cert"},
		{"trust missing", func(c *Config) { c.TLSTrust = "/none" }, "--tls-trust"},
		{"trust empty", func(c *Config) { c.TLSTrust = os.DevNull }, "no certificate"},
		{"prefix too short", func(c *Config) { c.ShortestPrefixIPv4 = 0 }, "--shortest-prefix-ipv4 0 is less than 1"},
		{"prefix too long", func(c *Config) { c.ShortestPrefixIPv4 = 33 }, "--shortest-prefix-ipv4 33 is more than 32"},
		{"silence too short", func(c *Config) { c.TargetSilence = time.Millisecond }, "--target-silence 1ms is less than 100ms"},
		{"records too small", func(c *Config) { c.MaxRecordBytes = 1 }, "--max-record-bytes 1 is less than 1MiB"},
		{"cluster without data", func(c *Config) { c.Data, c.Store = "", Store{[]string{"h:1"}} }, "--data"},
	}
	for _, tt := range tests {
		c := Default(true)
		tt.change(&c)
		err := c.Check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestCheckReadsCertificates(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := Default(true)
	c.TLSCert, c.TLSKey = []string{write("crt", "CERTIFICATE", der)}, []string{write("key", "PRIVATE KEY", keyDER)}
	c.TLSTrust = c.TLSCert[0]
	if err := c.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
	c.TLSCert, c.TLSKey = c.TLSKey, c.TLSCert
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), c.TLSCert[0]) {
		t.Errorf("a key for a certificate: got %v, want an error that names %s", err, c.TLSCert[0])
	}
}

func TestTexts(t *testing.T) {
	for _, text := range []string{"0", "1", "1023", "1KiB", "3MiB", "1GiB", "2TiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != text {
			t.Errorf("Size %q = %q, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "-1", "1KB", "1 MiB", "9999999999TiB", "x"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("Size %q was accepted", text)
		}
	}
	for _, text := range []string{"embedded", "etcd://a:1", "etcd://a:1,[::1]:2"} {
		var s Store
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != text {
			t.Errorf("Store %q = %q, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "etcd", "etcd://", "etcd://a", "etcd://a:0", "etcd://:1", "etcd://a:1,", "http://a:1"} {
		if err := new(Store).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("Store %q was accepted", text)
		}
	}
	for _, text := range []string{"", "1", "a:1", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:x", "ftp://1.2.3.4:1"} {
		if err := new(Listen).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("Listen %q was accepted", text)
		}
	}
	for text, want := range map[string]Listen{"http://127.0.0.1": "127.0.0.1:80", "https://[::1]": "[::1]:443", "off": Off} {
		var l Listen
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("Listen %q = %q, %v; want %q", text, l, err, want)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add("api: :80\nmedia-ip: [192.0.2.1]\n")
	f.Add("a: &a [*a]\n")
	f.Add("? [a]\n: b\n")
	fields := Fields()
	f.Fuzz(func(t *testing.T, text string) {
		read := func(string) ([]byte, error) { return []byte(text), nil }
		c, named, err := readFile(read, "x", fields)
		if err == nil {
			for _, f := range fields {
				if !named[f.Name] && !f.value(&c).IsZero() {
					t.Errorf("%s is set and not named", f.Name)
				}
			}
		}
	})
}

func TestDoubtsAboutCertificates(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	cert := func(end time.Duration, names ...string) *tls.Certificate {
		return &tls.Certificate{Leaf: &x509.Certificate{DNSNames: names, NotAfter: now.Add(end)}}
	}
	const noName = "--tls-cert a.pem, b.pem has no name for *.voiceconnector.voice.example: clients that check it will not connect."
	for _, tt := range []struct {
		name  string
		given []*tls.Certificate
		want  []string
	}{
		{"the own CA signs", nil, nil},
		{"the wildcard", []*tls.Certificate{cert(time.Hour, "*.VoiceConnector.voice.example")}, nil},
		{"one connector", []*tls.Certificate{cert(time.Hour, "abc.voiceconnector.voice.example")}, nil},
		{"another region", []*tls.Certificate{cert(time.Hour, "*.eu-central-1.vc.voice.example")}, nil},
		{"in the second", []*tls.Certificate{cert(time.Hour, "api.voice.example"), cert(time.Hour, "*.voiceconnector.voice.example")}, nil},
		{"a wildcard of one level less", []*tls.Certificate{cert(time.Hour, "*.voice.example", "voiceconnector.voice.example")}, []string{noName}},
		{"a region that is none", []*tls.Certificate{cert(time.Hour, "*.mars-1.vc.voice.example")}, []string{noName}},
		{"a wildcard of two levels", []*tls.Certificate{cert(time.Hour, "x.abc.voiceconnector.voice.example")}, []string{noName}},
		{"ended", []*tls.Certificate{cert(-time.Hour, "*.voiceconnector.voice.example")},
			[]string{"--tls-cert a.pem ended at 2026-11-28T11:00:00Z: clients that check it will not connect."}},
	} {
		c := Config{Domain: "voice.example", TLSCert: []string{"a.pem", "b.pem"}}
		if got := c.Doubts(tt.given, now); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
