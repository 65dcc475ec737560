package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "carillon/api/v1"
	"carillon/clock"
	"carillon/server"
)

// script runs commands against one node, each with what it must leave behind.
type script struct {
	t   *testing.T
	env map[string]string
}

// run splits a command at blanks; a word in single quotes is one.
func (s script) run(command string) result {
	s.t.Helper()
	var args []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	return carillon(s.t, s.env, args...)
}

// expect runs a command that has to succeed and print each of want.
func (s script) expect(command string, want ...string) string {
	s.t.Helper()
	got := s.run(command)
	if got.status != 0 || got.err != "" {
		s.t.Fatalf("carillon %s: exit status %d, %s", command, got.status, got.err)
	}
	for _, w := range want {
		if !strings.Contains(got.out, w) {
			s.t.Errorf("carillon %s: no %q in\n%s", command, w, got.out)
		}
	}
	return got.out
}

// refuse runs a command that has to fail with a sentence.
func (s script) refuse(command string, status int, want string) {
	s.t.Helper()
	if got := s.run(command); got.status != status || !strings.Contains(got.err, want) || strings.Contains(got.err, "Exception") {
		s.t.Errorf("carillon %s: exit status %d, %q, want %d, %q", command, got.status, got.err, status, want)
	}
}

// decode runs a command with --json and reads what it printed.
func decode[T any](s script, command string) T {
	s.t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(s.expect(command + " --json")))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		s.t.Fatalf("carillon %s --json: %v", command, err)
	}
	return v
}

func TestCarriers(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	s.expect("carrier list", "NAME", "lab", "+19995550101")
	s.expect("carrier put up --target sip:192.0.2.1:5061;transport=tls --target sip:192.0.2.2:5061;transport=tls --prefix +1 --prefix +44 --srtp require --source 203.0.113.0/24 --probe 30s",
		"sip:192.0.2.1:5061;transport=tls", "sip:192.0.2.2:5061;transport=tls", "+1,+44", "require", "203.0.113.0/24", "30s")
	got := carillonReading(t, s.env, "hunter2hunter2\n", "carrier", "put", "auth", "--target", "sip:192.0.2.3:5060;transport=udp", "--user", "me", "--password", "-", "--json")
	if got.status != 0 || strings.Contains(got.out+got.err, "hunter2") || !strings.Contains(got.out, "me") {
		t.Errorf("a carrier with a password: %+v", got)
	}
	list := decode[v1.CarrierList](s, "carrier list")
	if len(list.Carriers) != 3 || list.Carriers[2].Name != "up" || list.Carriers[2].ProbeSeconds != 30 || list.Carriers[2].Targets[1] != "sip:192.0.2.2:5061;transport=tls" {
		t.Errorf("%+v", list)
	}
	s.refuse("carrier put up --target sip:192.0.2.1 --source 203.0.113.7/24", 2, "did you mean 203.0.113.0/24?")
	s.expect("carrier delete up", "Deleted carrier up.")
	s.refuse("carrier delete up", 1, "no carrier of that name")
	s.refuse("carrier delete lab", 1, "lab carrier")
	s.refuse("carrier put clear --target sip:192.0.2.1:5060;transport=udp --srtp require", 2, "transport=tls")
	if empty := decode[map[string]any](s, "carrier delete auth"); len(empty) != 0 {
		t.Errorf("a delete printed %v", empty)
	}
}

func TestNumbersAndKeys(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	s.expect("number list", "+12065550100", "+12065550199", "(pool)")
	s.expect("number import +12125550100 +12125550101 --account 123456789012", "+12125550101", "123456789012")
	if list := decode[v1.NumberList](s, "number list --account 123456789012"); len(list.Numbers) != 2 || list.NextToken != nil {
		t.Errorf("%+v", list)
	}
	var many []string
	for i := range 250 {
		many = append(many, "+1415555"+string([]byte{'0' + byte(i/1000), '0' + byte(i/100%10), '0' + byte(i/10%10), '0' + byte(i%10)}))
	}
	if list := decode[v1.NumberList](s, "number import "+strings.Join(many, " ")); len(list.Numbers) != 250 {
		t.Errorf("imported %d numbers, want 250", len(list.Numbers))
	}
	s.expect("number release "+many[0]+" +12125550101", "+12125550101", "(pool)")
	if list := decode[v1.NumberList](s, "number list --account 123456789012"); len(list.Numbers) != 1 {
		t.Errorf("after a release: %+v", list)
	}
	s.expect("number release "+many[0]+" +12125550101 --remove", "Removed "+many[0]+", +12125550101.")
	s.refuse("number release +12125550101", 1, "not a number of this installation")
	s.expect("number import +12125550101 --account 123456789012", "123456789012")
	if list := decode[v1.NumberList](s, "number list --group abcdefghijklmnopqrstuv"); len(list.Numbers) != 0 {
		t.Errorf("of a group that is not there: %+v", list)
	}
	s.refuse("number import 12", 2, "E.164")
	s.refuse("number import +1212555010", 2, "does not have the ten digits")
	s.refuse("number import +12125550101 +121255501011", 2, "+121255501011 does not have the ten digits")
	s.refuse("number import +12125550103 --connector abcdefghijklmnopqrstuv", 1, "")

	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"carillon:ListNumbers","Resource":"*"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.refuse("key create --policy /dev/null", 2, "policy cannot be used")
	s.refuse("key create --operator --policy /dev/null", 2, "policy cannot be used")
	tenant := decode[v1.Credentials](s, "key create --account 123456789012 --name reader --expires 1h --policy "+policy)
	if tenant.AccountID != "123456789012" || tenant.SessionToken == "" || tenant.Expires == nil {
		t.Errorf("%+v", tenant)
	}
	s.expect("key create", "export AWS_ACCESS_KEY_ID=AKIA", "export AWS_SECRET_ACCESS_KEY=")
	s.expect("key list", "operator", "everything", "as its policy says", "reader")

	// The tenant finds the node by the environment and sees what is its own.
	own := script{t, map[string]string{
		"CARILLON_API": s.ready().API, "AWS_ACCESS_KEY_ID": tenant.AccessKeyID, "AWS_SECRET_ACCESS_KEY": tenant.SecretAccessKey,
		"AWS_SESSION_TOKEN": tenant.SessionToken, "AWS_REGION": "eu-central-1",
	}}
	if list := decode[v1.NumberList](own, "number list"); len(list.Numbers) != 2 {
		t.Errorf("the tenant sees %d numbers, want 2", len(list.Numbers))
	}
	own.refuse("carrier list", 1, "")
	s.expect("key disable "+tenant.AccessKeyID, "Disabled access key")
	own.refuse("number list", 1, "")
	s.expect("key list", "nothing (disabled)")
	s.expect("key enable "+tenant.AccessKeyID, "Enabled access key")
	permanent := decode[v1.Credentials](s, "key create --account 123456789012 --name ci")
	s.expect("key rotate "+permanent.AccessKeyID+" --grace 1h", "export AWS_ACCESS_KEY_ID=AKIA", "unset AWS_SESSION_TOKEN")
	s.refuse("key rotate "+permanent.AccessKeyID, 1, "rotated already")
	permanent = decode[v1.Credentials](s, "key create --account 123456789012 --name ci")
	second := decode[v1.Credentials](s, "key rotate "+permanent.AccessKeyID)
	s.refuse("key rotate "+permanent.AccessKeyID, 1, "does not work any more")
	s.refuse("key rotate "+s.ready().AccessKeyID, 1, "time of grace")
	s.refuse("key rotate --grace 1ms "+second.AccessKeyID, 2, "--grace")
	policy = filepath.Join(t.TempDir(), "narrow.json")
	if err := os.WriteFile(policy, []byte(`{"Statement":{"Effect":"Allow","Action":"carillon:ListCarriers","Resource":"*"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect("key create --operator --name narrow --policy " + policy)
	s.expect("key list", "as an operator, what its policy says")
	s.expect("key delete "+tenant.AccessKeyID, "Deleted access key")
	s.refuse("key delete "+tenant.AccessKeyID, 1, "no access key")
	s.refuse("key delete "+s.ready().AccessKeyID, 1, "signs the request")
}

// ready reads the node's ready file.
func (s script) ready() (r server.Ready) {
	s.t.Helper()
	text, err := os.ReadFile(s.env["CARILLON_READY_FILE"])
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	list := decode[v1.QuotaList](s, "quota list")
	if len(list.Names) == 0 || len(list.Quotas) != 0 {
		t.Fatalf("%+v", list)
	}
	s.expect("quota list", list.Names[0], "no limit", "Voice Connectors per group", "3")
	s.expect("quota set '"+list.Names[0]+"' 3 --account 123456789012", "123456789012 3")
	s.expect("quota list", "123456789012", "no limit")
	s.expect("quota unset 'voice connectors' --account 123456789012", "Unset")
	s.refuse("quota unset 'voice connectors' --account 123456789012", 1, "not set")
	s.expect("quota set 'API requests per second: listkeys' 50", "API requests per second: ListKeys (each) 50")
	s.refuse("quota set 'API requests per second' 0", 2, "value must be 1")
	s.refuse("quota set nonsense 3", 2, "no quota of that name")
}

func TestRehearse(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	id := s.connector(true)
	refused := carillon(t, s.env, "rehearse", "--to", "+12125550123", "--source", "127.0.0.1", "--connector", id)
	if refused.status != 1 || !strings.Contains(refused.out, "termination_disabled") || !strings.Contains(refused.out, "Put a Termination") {
		t.Errorf("%+v", refused)
	}
	s.refuse("rehearse --to +12125550123", 2, "--source")
	s.connector(true)
	s.refuse("rehearse --to +12125550123 --source 127.0.0.1", 2, "--connector")
	if named := s.run("rehearse --to echo --source 127.0.0.1 --connector " + id); named.status != 1 || !strings.Contains(named.out, "termination_disabled") {
		t.Errorf("%+v", named)
	}
	// Without a caller id it is the one that a call would show.
	if err := newClient(s.ready(), clock.System()).putTermination(t.Context(), id, "127.0.0.1/32"); err != nil {
		t.Fatal(err)
	}
	s.expect("number import +12065550100 --connector " + id)
	s.expect("rehearse --to echo --source 127.0.0.1 --connector "+id, "+12065550100 US")
	s.expect("rehearse --to echo --source 127.0.0.1", "connector        "+id, "+12065550100 US")
	if stolen := s.run("rehearse --to echo --source 127.0.0.1 --from +12065559999 --connector " + id); !strings.Contains(stolen.out, "caller_id_not_owned") {
		t.Errorf("%+v", stolen)
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	s.expect("audit list", "TIME", "OPERATION")
	id := s.connector(true)
	s.expect("carrier put up --target sip:192.0.2.1:5060;transport=udp")
	s.expect("carrier put up --target sip:192.0.2.2:5060;transport=udp --prefix +1")
	s.expect("carrier delete up")
	me := s.ready()
	out := s.expect("audit list --since 1h", "carrier up created", "carrier up (prefixes, targets)", "carrier up deleted",
		"connector "+id+" created", me.AccountID, me.AccessKeyID, "127.0.0.1")
	if strings.Index(out, "deleted") > strings.Index(out, "(prefixes, targets)") {
		t.Errorf("the newest is not the first:\n%s", out)
	}
	list := decode[v1.AuditList](s, "audit list --resource "+id)
	if len(list.Entries) != 1 || list.Entries[0].Operation != "CreateVoiceConnector" || !strings.HasPrefix(list.Entries[0].UserAgent, "carillon/") {
		t.Errorf("%+v", list.Entries)
	}
	if list := decode[v1.AuditList](s, "audit list --operation PutCarrier --limit 1 --account "+me.AccountID); len(list.Entries) != 1 || list.NextToken == nil {
		t.Errorf("%+v", list)
	}
	s.refuse("audit list --operation createvoiceconnector", 2, `There is no operation "createvoiceconnector"; one is CreateVoiceConnector.`)
	s.refuse("audit list --operation delete-voice-connector", 2, "one is DeleteVoiceConnector.")
	s.refuse("audit list --operation frobnicate", 2, "one is ")
	if list := decode[v1.AuditList](s, "audit list --until 2020-01-01"); len(list.Entries) != 0 {
		t.Errorf("%+v", list)
	}
	if list := decode[v1.AuditList](s, "audit list --since 7d --operation CreateVoiceConnector"); len(list.Entries) != 1 {
		t.Errorf("%+v", list)
	}
	if list := decode[v1.AuditList](s, "audit list --until 1h"); len(list.Entries) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestConnectorSettings(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	id := s.connector(true)
	pin := strings.Repeat("ab", 32)
	s.expect("connector set "+id, "md5,sha-256", "plain-emergency", "off")
	s.expect("connector set "+id+" digest=sha-256 peer.SBC.example.org.pin="+pin+" peer.192.0.2.1.verify=off plain-emergency=on premium=on",
		"sha-256", "peer.sbc.example.org.pin", pin, "peer.192.0.2.1.verify", "peer not verified", "on")
	// A peer that is not named stays as it is.
	got := decode[v1.Settings](s, "connector set "+id+" peer.192.0.2.1.verify=on digest=")
	if len(*got.Peers) != 1 || (*got.Peers)["sbc.example.org"].Pin != pin || len(*got.Digest) != 2 || !*got.PlainEmergency || !*got.Premium {
		t.Errorf("%+v, %v, %t", *got.Peers, *got.Digest, *got.PlainEmergency)
	}
	for words, want := range map[string]string{
		"digest":                      "NAME=VALUE",
		"colour=blue":                 "no setting",
		"plain-emergency=yes":         "neither on nor off",
		"premium=yes":                 "neither on nor off",
		"peer.x.example.verify=maybe": "neither on nor off",
		"peer.x.example.colour=blue":  "neither peer.HOST.pin",
		"digest=md4":                  "md4",
		"peer.x.example.pin=deadbeef": "64 hex digits",
	} {
		s.refuse("connector set "+id+" "+words, 2, want)
	}
	s.refuse("connector set abcdefghijklmnopqrstuv", 1, "There is no Voice Connector abcdefghijklmnopqrstuv in this account; list them with: aws chime-sdk-voice list-voice-connectors")
}
