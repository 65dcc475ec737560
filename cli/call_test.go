package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/clock"
	"carillon/phone"
)

// connector creates one through the command line's own client.
func (s script) connector(encrypted bool) string {
	s.t.Helper()
	var made wire.CreateVoiceConnectorResponse
	in := &wire.CreateVoiceConnectorRequest{Name: new("test"), RequireEncryption: &encrypted}
	if err := newClient(s.ready(), clock.System()).aws(s.t.Context(), wire.OpCreateVoiceConnector, in, &made); err != nil {
		s.t.Fatal(err)
	}
	return *made.VoiceConnector.VoiceConnectorID
}

// TestCall places test calls as a person and as a pipeline would.
func TestCall(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	s.refuse("call --to echo", 1, "no Voice Connector to call through")
	id := s.connector(true)
	s.refuse("call --to echo", 1, "no number to call from")
	for _, unknown := range []string{"abcdefghijklmnopqrstuv", "front-desk"} {
		s.refuse("call --to echo --connector "+unknown, 1, "There is no Voice Connector "+unknown+" in this account")
	}
	s.expect("call --to echo --prepare --duration 1s --assert transport=tls --assert tls=1.3 --assert srtp=AEAD_AES_128_GCM --assert mos>=4.0 --assert lost=0 --assert setup<2s",
		"200 OK", "our own tone came back", "peer verified", "held        srtp=AEAD_AES_128_GCM")
	s.expect("call --to echo --press 147*#D --duration 3s --assert keys=147*#D", "147*#D pressed, 147*#D came", "our own tone came back")
	s.expect("call --to dtmf --duration 1s", "sound")
	s.refuse("call --to echo --press 12x", 2, "keys are digits")
	s.expect("call --to +19995550102 --duration 1s --connector "+id, "the laboratory's tone")

	var o outcome
	if err := json.Unmarshal([]byte(s.expect("call --to busy --assert status=486 --json")), &o); err != nil || o.Status != 486 || !o.Held {
		t.Errorf("%+v: %v", o, err)
	}
	plain := s.run("call --to echo --transport tcp")
	if plain.status != 1 || !strings.Contains(plain.out, "403 Forbidden") || !strings.Contains(plain.out, "SIP must come over TLS") || plain.err != "" {
		t.Errorf("a plain call: %+v", plain)
	}
	s.expect("call --to echo --srtp off --assert status=488", "488", "RTP/SAVP")
	other := script{t, startNode(t)}
	strange := s.run("call --to echo --ca " + other.ready().CAFile)
	if want := "The call to " + s.ready().SIP.TLS + " over TLS failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"; strange.status != 1 ||
		!strings.HasPrefix(strange.err, "carillon: "+want) || !strings.HasSuffix(strange.err, " Give the node's CA with --ca FILE.\n") || strings.Count(strange.err, s.ready().SIP.TLS) != 1 {
		t.Errorf("a node whose CA is not trusted: %+v, want %q", strange, want)
	}
	wrong := s.run("call --to echo --duration 1s --assert srtp=AES_CM_128_HMAC_SHA1_80")
	if wrong.status != 1 || !strings.Contains(wrong.out, "NOT HELD    srtp=AES_CM_128_HMAC_SHA1_80 (AEAD_AES_128_GCM)") {
		t.Errorf("an assertion that does not hold: %+v", wrong)
	}
	var list v1.CallList
	for deadline := time.Now().Add(5 * time.Second); len(list.Calls) < 8 && time.Now().Before(deadline); {
		list = decode[v1.CallList](s, "calls list --connector "+id) // the last one is written after its BYE is answered
	}
	if len(list.Calls) != 8 {
		t.Errorf("%d calls are recorded, want 8", len(list.Calls))
	}
	if two := decode[v1.CallList](s, "calls list --max 2"); len(two.Calls) != 2 || two.NextToken == nil || two.Calls[1].Reason != "media_not_encrypted" {
		t.Errorf("the newest two: %+v", two)
	}
	for filter, want := range map[string]int{
		"--number +19995550108": 1, "--number " + list.Calls[0].From: 8, "--number +19995550109": 0, "--reason media_not_encrypted": 1,
		"--since 1h": 8, "--since 2100-01-01": 0, "--reason media_not_encrypted --number +19995550108": 0,
	} {
		if got := decode[v1.CallList](s, "calls list "+filter); len(got.Calls) != want {
			t.Errorf("calls list %s: %d calls, want %d", filter, len(got.Calls), want)
		}
	}
	s.refuse("calls list --reason media-not-encrypted", 2, "one is media_not_encrypted.")
	s.refuse("calls list --since yesterday", 2, "--since")
	s.refuse("calls list --connector abcdefghijklmnopqrstuv", 1, "There is no Voice Connector abcdefghijklmnopqrstuv")
	s.expect("calls list --connector "+s.connector(true), "ID") // one without calls
	s.expect("calls list", "signalling_not_encrypted", "tls+srtp")
	s.refuse("calls show 00000000-0000-0000-0000-000000000000", 1, "no call of that id")
}

// TestOrdinaryKeyCalls: a key that may chime:* alone prepares its account's connector and calls; one that may less changes
// nothing before it is refused.
func TestOrdinaryKeyCalls(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	r := s.ready()
	as := func(flags string) script {
		key := decode[v1.Credentials](s, "key create --name tenant --account 444455556666"+flags)
		return script{t, map[string]string{"CARILLON_API": r.API, "AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey}}
	}
	tenant := as("")
	node, err := (&nodeFlags{}).connect(&session{getenv: func(name string) (string, bool) { v, ok := tenant.env[name]; return v, ok }, clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	var made wire.CreateVoiceConnectorResponse
	if err := node.aws(t.Context(), wire.OpCreateVoiceConnector, &wire.CreateVoiceConnectorRequest{Name: new("tenant"), RequireEncryption: new(true)}, &made); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"Statement":[{"Effect":"Allow","Action":"chime:*","Resource":"*"},
		{"Effect":"Deny","Action":["chime:CreatePhoneNumberOrder"],"Resource":"*"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	place := "call --to echo --duration 1s --sip " + r.SIP.TLS + " --ca " + r.CAFile
	as(" --policy "+policy).refuse(place+" --prepare", 1, "CreatePhoneNumberOrder")
	if got, err := node.termination(t.Context(), found{id: *made.VoiceConnector.VoiceConnectorID}); err != nil || got != nil {
		t.Errorf("a preparation that was refused left the termination %+v, %v", got, err)
	}
	tenant.refuse(place, 1, "no number to call from")
	tenant.expect(place+" --prepare", "our own tone came back")
	tenant.expect(place, "our own tone came back")
}

// TestCallWithCredentials: the environment names the API, flags where SIP is.
func TestCallWithCredentials(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	id := s.connector(true)
	in := &wire.PutVoiceConnectorTerminationCredentialsRequest{VoiceConnectorID: id, Credentials: []wire.Credential{
		{Username: new(wire.Sensitive("alice")), Password: new(wire.Sensitive("right"))},
	}}
	r := s.ready()
	client := newClient(r, clock.System())
	if err := client.putTermination(t.Context(), id, "127.0.0.1/32"); err != nil {
		t.Fatal(err)
	}
	if err := client.aws(t.Context(), wire.OpPutVoiceConnectorTerminationCredentials, in, nil); err != nil {
		t.Fatal(err)
	}
	away := script{t, map[string]string{"CARILLON_API": r.API, "AWS_ACCESS_KEY_ID": r.AccessKeyID, "AWS_SECRET_ACCESS_KEY": r.SecretAccessKey}}
	place := "call --prepare --to echo --duration 1s --sip " + r.SIP.TLS + " --ca " + r.CAFile
	away.expect(place+" --user alice --password right", "our own tone came back")
	if got := away.run(place); got.status != 1 || !strings.Contains(got.out, "407") {
		t.Errorf("without credentials: %+v", got)
	}
	away.refuse("call --to echo --sip nonsense", 2, "not an IP address and a port")
	away.refuse("call --to echo", 1, "does not resolve")
}

func TestAssertions(t *testing.T) {
	answered := &outcome{
		Status: 200, Transport: "tls", TLSVersion: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Profile: "RTP/SAVP",
		Suite: "AEAD_AES_128_GCM", Codec: "PCMU/8000", PacketsReceived: 50, MOS: 4.41, Audio: audioEcho, SetupMillis: 120,
	}
	plain := &outcome{Status: 200, Transport: "udp", Profile: "RTP/AVP", Codec: "PCMU/8000", Audio: audioSilence}
	refused := &outcome{Status: 403, Transport: "tcp"}
	for _, tt := range []struct {
		text string
		of   *outcome
		held bool
	}{
		{"status=200", answered, true}, {"status=200", refused, false}, {"status>=400", refused, true},
		{"transport=TLS", answered, true}, {"transport=tls", plain, false},
		{"tls=1.3", answered, true}, {"tls=1.2", answered, false}, {"tls=1.3", plain, false},
		{"cipher=TLS_AES_128_GCM_SHA256", answered, true},
		{"srtp=any", answered, true}, {"srtp=any", plain, false}, {"srtp=any", refused, false},
		{"srtp=off", plain, true}, {"srtp=off", answered, false}, {"srtp=off", refused, false},
		{"srtp=AEAD_AES_128_GCM", answered, true}, {"srtp=AES_CM_128_HMAC_SHA1_80", answered, false},
		{"mos>=4.0", answered, true}, {"mos>4.41", answered, false}, {"mos<4.5", answered, true}, {"mos<=4.41", answered, true},
		{"lost=0", answered, true}, {"lost=0", refused, false}, {"packets>49", answered, true}, {"packets<=49", answered, false},
		{"audio=echo", answered, true}, {"audio=echo", plain, false}, {"codec=pcmu/8000", plain, true},
		{"setup<200ms", answered, true}, {"setup<0.1s", answered, false}, {"setup>=0s", refused, true},
	} {
		a, err := parseAssertion(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if got := a.check(tt.of); got.Held != tt.held || got.Text != tt.text {
			t.Errorf("%s of %d: %+v, want %t", tt.text, tt.of.Status, got, tt.held)
		}
	}
	for _, text := range []string{"", "mos", "=4", "mos>=", "mos>=good", "transport>tls", "colour=blue", "setup<fast", "mos=>4"} {
		if a, err := parseAssertion(text); err == nil {
			t.Errorf("%q was read as %+v", text, a)
		}
	}
}

// FuzzParseAssertion: what is accepted can be checked, and is shown as it was given.
func FuzzParseAssertion(f *testing.F) {
	for _, seed := range []string{"mos>=4.0", "srtp=any", "status=200", "setup<1s", "=", "mos>==4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAssertion(text)
		if err != nil {
			return
		}
		if got := a.check(&outcome{}); got.Text != text {
			t.Errorf("%q is shown as %q", text, got.Text)
		}
	})
}

func TestVerdictOf(t *testing.T) {
	for _, tt := range []struct {
		failure phone.Failure
		want    string
	}{
		{phone.Failure{Warning: `399 host "Use \"TLS\", port 5061."`, Reason: `Q.850;cause=21;text="other"`}, `Use "TLS", port 5061.`},
		{phone.Failure{Reason: `Q.850;cause=21;text="The rule."`}, "The rule."},
		{phone.Failure{Local: "answered in the clear", Warning: `399 h "x"`}, "answered in the clear"},
		{phone.Failure{Warning: `399 host "never closed`}, ""},
		{phone.Failure{}, ""},
	} {
		if got := verdictOf(&tt.failure); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.failure, got, tt.want)
		}
	}
}
