package trunk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestHostNames(t *testing.T) {
	const id = "abcdef1ghij2klmno3pqr4"
	for _, r := range Regions() {
		want := id + "." + string(r) + ".vc.chime.test"
		if r == "us-east-1" || r == "us-west-2" {
			want = id + ".voiceconnector.chime.test"
		}
		if got := r.HostName(id, "chime.test"); got != want {
			t.Errorf("%s: %s, want %s", r, got, want)
		}
	}
	c := Connector{ID: id, Region: "eu-west-1", Account: "111122223333"}
	if got, want := c.ARN(), "arn:aws:chime:eu-west-1:111122223333:vc/"+id; got != want {
		t.Errorf("ARN is %s, want %s", got, want)
	}
}

// TestCloneSharesNothing changes everything that can be reached through a clone and looks at the original.
func TestCloneSharesNothing(t *testing.T) {
	fresh := func() *Connector {
		return &Connector{
			Tags: []Tag{{"k", "v"}}, Credentials: []Credential{{Username: "u"}},
			Termination: &Termination{CallingRegions: []string{"US"}, CidrAllowedList: []CIDR{{Text: "10.0.0.0/8"}}},
			Origination: &Origination{Routes: []Route{{Host: "a.example"}}},
			Services: &Services{
				Streaming: &Streaming{Targets: []string{"SQS"}}, Logging: new(Logging), Emergency: &Emergency{DNIS: []DNIS{{Number: "+1206"}}},
				ExternalSystems: &ExternalSystems{SessionBorderControllers: []string{"x"}, ContactCenters: []string{"x"}},
				Proxy:           &Proxy{Countries: []string{"US"}},
			},
			Settings: Settings{Digest: []DigestMode{DigestMD5}, Peers: map[string]PeerPolicy{"a.example": {Pin: "x"}}},
		}
	}
	c := fresh()
	d := c.Clone()
	if !reflect.DeepEqual(c, d) {
		t.Fatalf("the clone is %+v", d)
	}
	d.Tags[0].Value, d.Credentials[0].Username = "x", "x"
	d.Termination.Disabled, d.Termination.CallingRegions[0], d.Termination.CidrAllowedList[0].Text = true, "x", "x"
	d.Origination.Disabled, d.Origination.Routes[0].Host = true, "x"
	d.Services.Streaming.Targets[0], d.Services.Streaming.Disabled, d.Services.Logging.SIP = "x", true, true
	d.Services.Emergency.DNIS[0].Number, d.Services.Proxy.Countries[0] = "x", "x"
	d.Services.ExternalSystems.SessionBorderControllers[0], d.Services.ExternalSystems.ContactCenters[0] = "y", "y"
	d.Settings.Digest[0], d.Settings.Peers["b.example"] = "x", PeerPolicy{}
	if !reflect.DeepEqual(c, fresh()) {
		t.Errorf("the original changed to %+v", c)
	}
	empty := new(Connector).Clone()
	if empty.Termination != nil || empty.Origination != nil || empty.Settings.Peers != nil {
		t.Errorf("the clone of an empty connector is %+v", empty)
	}
}

// TestCloneCoversEveryField fails when a field that can share memory is added and Clone is not taught about it.
func TestCloneCoversEveryField(t *testing.T) {
	known := map[string]bool{"Tags": true, "Termination": true, "Origination": true, "Credentials": true, "Settings": true, "Services": true}
	typ := reflect.TypeFor[Connector]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		switch f.Type.Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer:
			if !known[f.Name] {
				t.Errorf("does Clone copy %s?", f.Name)
			}
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for i := range 200 {
		id, err := NewID(bytes.NewReader(bytes.Repeat([]byte{255, byte(i), 0, 251}, 64)))
		if err != nil || !regexp.MustCompile(`^[a-z0-9]{22}$`).MatchString(id) {
			t.Fatalf("got %q, %v", id, err)
		}
		if seen[id] && i < 36 {
			t.Errorf("%q came twice", id)
		}
		seen[id] = true
	}
	if id, err := NewID(bytes.NewReader(bytes.Repeat([]byte{255, 254, 253, 252}, 1000))); err == nil {
		t.Errorf("bytes that favour letters made %q", id)
	}
	if _, err := NewID(io.LimitReader(bytes.NewReader(make([]byte, 64)), 8)); err == nil {
		t.Error("no error for a source that has run dry")
	}
}

func TestSecretHides(t *testing.T) {
	s := struct{ Password Secret }{NewSecret("geheim")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s.Password, "inside", s)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), fmt.Sprintf("%v %s %q", s.Password, s.Password, s.Password),
		fmt.Sprintf("%x %X "+string("%d"), s.Password, s.Password, s.Password), string(text), log.String(),
	} {
		if strings.Contains(got, "geheim") || strings.Contains(strings.ToLower(got), "67656865696d") {
			t.Errorf("shown: %s", got)
		}
	}
	if s.Password.Reveal() != "geheim" || s.Password.Empty() || !new(Secret).Empty() {
		t.Error("the secret is lost")
	}
	if !s.Password.Equal(NewSecret("geheim")) || s.Password.Equal(NewSecret("geheim ")) || s.Password.Equal(Secret{}) {
		t.Error("Equal is wrong")
	}
}

func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, k := range Kinds() {
		if names[k.String()] || k.String() == "unknown" || k.String() == "" {
			t.Errorf("kind %d is called %q", k, k)
		}
		names[k.String()] = true
		if got := KindOf(fmt.Errorf("outer: %w", Errorf(k, "x"))); got != k {
			t.Errorf("KindOf a wrapped %v is %v", k, got)
		}
	}
	if KindOf(errors.New("x")) != Internal || KindOf(nil) != Internal || kindCount.String() != "unknown" {
		t.Error("an error without kind is not Internal")
	}
}

// fakeTx has one entity under every key.
type fakeTx struct {
	Tx
	entity Entity
	err    error
}

func (f fakeTx) Get(EntityKey) (Entity, error) { return f.entity, f.err }

func TestGet(t *testing.T) {
	key := EntityKey{KindConnector, "x"}
	if _, ok, err := Get[*Connector](fakeTx{}, key); ok || err != nil {
		t.Errorf("nothing there: %v, %v", ok, err)
	}
	if c, ok, err := Get[*Connector](fakeTx{entity: &Connector{ID: "x"}}, key); !ok || err != nil || c.ID != "x" {
		t.Errorf("there: %v, %v, %v", c, ok, err)
	}
	if _, ok, err := Get[*Connector](fakeTx{entity: &Carrier{}}, key); ok || err == nil || KindOf(err) != Internal {
		t.Errorf("another type: %v, %v", ok, err)
	}
	if _, _, err := Get[*Connector](fakeTx{err: Errorf(Unavailable, "x")}, key); KindOf(err) != Unavailable {
		t.Errorf("an error: %v", err)
	}
}

func TestEntityKeysAreDistinct(t *testing.T) {
	seen := map[EntityKey]bool{}
	for _, e := range []Entity{
		&Connector{ID: "x"}, &PhoneNumber{E164: "x"}, &Carrier{Name: "x"}, &Quota{Account: "x"}, &Health{ConnectorID: "x"},
		&Usage{Account: "x"}, &Group{ID: "x"}, &Order{ID: "x"}, &SIPRule{ID: "x"}, &AccountSettings{Account: "x"}, &Dedup{Key: "x"}, &Installation{}, &Quota{Account: "x", Name: QuotaCPS},
	} {
		if k := e.EntityKey(); k.Kind == "" || k.ID == "" || seen[k] {
			t.Errorf("%T has key %v", e, k)
		}
		seen[e.EntityKey()] = true
	}
}

func TestDigestModes(t *testing.T) {
	if got := fmt.Sprint(new(Settings).DigestModes()); got != "[md5 sha-256]" {
		t.Errorf("default is %s", got)
	}
	if got := fmt.Sprint((&Settings{Digest: []DigestMode{DigestSHA256}}).DigestModes()); got != "[sha-256]" {
		t.Errorf("set is %s", got)
	}
}
