package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	voice "github.com/aws/aws-sdk-go-v2/service/chimesdkvoice"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/chime"
	"github.com/aws/aws-sdk-go/service/sts"
)

// phonesBlock returns the first block of docs/phones.md, under a heading, that begins with a text.
func phonesBlock(t *testing.T, heading, begins string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/phones.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, found := strings.Cut(section, "```\n"+begins)
	block, _, closed := strings.Cut(block, "\n```")
	if !ok || !found || !closed {
		t.Fatalf("docs/phones.md has no block under %s that begins with %q", heading, begins)
	}
	return begins + block
}

// onConnector puts a connector's own into a block of the page.
func onConnector(block string, vc connector) string {
	return strings.NewReplacer("HOST", vc.Host, "NUMBER", vc.number, "USER", phoneUser, "PASSWORD", phonePassword).Replace(block)
}

// TestPhonesPageBaresip calls with the account of docs/phones.md. startBaresip ends each account as the page does.
func TestPhonesPageBaresip(t *testing.T) {
	t.Parallel()
	n := node(t)
	vc := n.connect(t, true, "md5")
	account, ok := strings.CutSuffix(onConnector(phonesBlock(t, "baresip", "<sip:"), vc), ";regint=0;audio_codecs=pcmu")
	if !ok {
		t.Fatalf("the page's account does not end as the test's: %s", account)
	}
	if !strings.HasPrefix(phonesBlock(t, "baresip", "sip_cafile"), "sip_cafile ca.pem") {
		t.Error("the page does not name the CA")
	}
	phone := startBaresip(t, baresipConfig{account: account, tone: customerTone})
	phone.command("dial", "sip:"+labEcho+"@"+vc.Host)
	if e := phone.wait("CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_ESTABLISHED" {
		t.Fatalf("the call ended: %+v\n%s", e, phone.log.tail(4000))
	}
	phone.command("hangup", "")
	if r := n.records(t, vc, 1)[0]; r.Status != 200 || r.AuthUser != phoneUser || r.Customer.Media.Profile != "RTP/SAVP" {
		t.Errorf("record %+v", r)
	}
}

// TestPhonesPageSIPp calls with the command of docs/phones.md, and plays what the page makes for it. The scenario, the
// transport and one call are given to every SIPp here.
func TestPhonesPageSIPp(t *testing.T) {
	t.Parallel()
	n := node(t)
	vc := n.connect(t, false)
	command := strings.Replace(onConnector(phonesBlock(t, "SIPp", "sipp "), vc), "NODE:5060", n.SIP.UDP, 1)
	rest, ok := strings.CutPrefix(command, "sipp -sf sipp_customer_call.xml -t u1 ")
	rest, once := strings.CutSuffix(rest, " -m 1")
	if !ok || !once {
		t.Fatalf("the page's command begins or ends otherwise: %s", command)
	}
	dir := t.TempDir()
	make := exec.Command("sh", "-ec", phonesBlock(t, "SIPp", "head "))
	make.Dir = dir
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("the page's command for the tone: %v\n%s", err, out)
	}
	text, err := os.ReadFile("testdata/sipp_customer_call.xml")
	if err != nil {
		t.Fatal(err)
	}
	scenario := strings.ReplaceAll(string(text), `rtp_stream="tone.ul,`, `rtp_stream="`+filepath.Join(dir, "tone.ul")+`,`)
	if scenario == string(text) {
		t.Fatal("the scenario plays no tone.ul")
	}
	startSIPp(t, scenario, "udp", strings.Fields(rest)...).wait()
	r := n.records(t, vc, 1)[0]
	if m := r.Customer.Media; m.Received == 0 {
		t.Errorf("the page's tone was not heard: %+v", m)
	}
	if r.Status != 200 || r.AuthUser != phoneUser || r.To != labEcho {
		t.Errorf("record %+v", r)
	}
}

var terraformEndpoint = regexp.MustCompile(`(?m)^ +(chimesdkvoice|chime|sts) += "http://127\.0\.0\.1:8080(/?[a-z]*)"`)

// TestTerraformPage asks each endpoint of docs/terraform.md with the client that the provider has for it.
func TestTerraformPage(t *testing.T) {
	n := node(t)
	page, err := os.ReadFile("../docs/terraform.md")
	if err != nil {
		t.Fatal(err)
	}
	endpoints := map[string]string{}
	for _, m := range terraformEndpoint.FindAllStringSubmatch(string(page), -1) {
		endpoints[m[1]] = n.API + m[2]
	}
	if len(endpoints) != 3 {
		t.Fatalf("the page has the endpoints %v", endpoints)
	}
	old := func(endpoint string) *session.Session {
		return must(session.NewSession(&aws.Config{Endpoint: &endpoint, Region: aws.String("us-east-1"), MaxRetries: aws.Int(0),
			Credentials: credentials.NewStaticCredentials(n.AccessKeyID, n.SecretAccessKey, "")}))(t)
	}
	if who := must(sts.New(old(endpoints["sts"])).GetCallerIdentity(nil))(t); *who.Account != n.AccountID {
		t.Errorf("sts: %v", who)
	}
	must(chime.New(old(endpoints["chime"])).ListVoiceConnectors(&chime.ListVoiceConnectorsInput{}))(t)
	client := voice.New(voice.Options{Region: "us-east-1", BaseEndpoint: awsv2.String(endpoints["chimesdkvoice"]),
		Credentials: awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
			return awsv2.Credentials{AccessKeyID: n.AccessKeyID, SecretAccessKey: n.SecretAccessKey}, nil
		})})
	must(client.ListVoiceConnectors(t.Context(), &voice.ListVoiceConnectorsInput{}))(t)
}
