package interop

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	voice "github.com/aws/aws-sdk-go-v2/service/chimesdkvoice"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkvoice/types"
	"github.com/aws/smithy-go"
)

// sdk returns the SDK's client of the namespace chime-sdk-voice.
func sdk(n *process, change ...func(*aws.Credentials)) *voice.Client {
	credentials := aws.Credentials{AccessKeyID: n.AccessKeyID, SecretAccessKey: n.SecretAccessKey}
	for _, f := range change {
		f(&credentials)
	}
	return voice.New(voice.Options{
		Region: "us-east-1", BaseEndpoint: &n.API, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil }),
	})
}

// must returns v of a call that must not fail.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// typed fails unless err is the exception E of the SDK.
func typed[E error](t *testing.T, what string, err error, says string) {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok || !strings.Contains(e.Error(), says) {
		t.Errorf("%s: got %v, want %T with %q", what, err, e, says)
	}
}

// TestSDKv2Errors: callers, Terraform among them, tell errors apart by their Go type.
func TestSDKv2Errors(t *testing.T) {
	ctx, n := t.Context(), node(t)
	c := sdk(n)
	id := aws.String(strings.Repeat("x", 22))
	create := func(c *voice.Client, name string, region types.VoiceConnectorAwsRegion) error {
		_, err := c.CreateVoiceConnector(ctx, &voice.CreateVoiceConnectorInput{Name: &name, RequireEncryption: aws.Bool(true), AwsRegion: region})
		return err
	}
	typed[*types.BadRequestException](t, "257 characters", create(c, strings.Repeat("n", 257), ""), "256")
	typed[*types.BadRequestException](t, "unknown region", create(c, "demo", "mars-1"), "mars-1")
	_, err := c.GetVoiceConnectorTermination(ctx, &voice.GetVoiceConnectorTerminationInput{VoiceConnectorId: id})
	typed[*types.NotFoundException](t, "termination of nobody", err, "")
	_, err = c.DeleteVoiceConnectorOrigination(ctx, &voice.DeleteVoiceConnectorOriginationInput{VoiceConnectorId: id})
	typed[*types.NotFoundException](t, "origination of nobody", err, "")
	_, err = c.ListVoiceProfileDomains(ctx, &voice.ListVoiceProfileDomainsInput{})
	typed[*types.ForbiddenException](t, "an operation that is not offered", err, "not offered")

	// Faults of the signature are in no model: the SDK has their code.
	code := func(what, want string, err error) {
		t.Helper()
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != want {
			t.Errorf("%s: got %v, want %s", what, err, want)
		}
	}
	code("another secret", "InvalidSignatureException", create(sdk(n, func(k *aws.Credentials) { k.SecretAccessKey = "x" }), "demo", ""))
	code("another key", "UnrecognizedClientException", create(sdk(n, func(k *aws.Credentials) { k.AccessKeyID = "AKIAQQQQQQQQQQQQQQQQ" }), "demo", ""))
	code("a session token", "InvalidClientTokenId", create(sdk(n, func(k *aws.Credentials) { k.SessionToken = "x" }), "demo", ""))
}

// TestSDKv2Story is the main job end to end, with Amazon's client and with phones that are not ours: create an
// encrypted connector, call out through it and hear the echo, be called, and see a plain call refused.
func TestSDKv2Story(t *testing.T) {
	t.Parallel()
	ctx, n := t.Context(), node(t)
	c := sdk(n)
	made := must(c.CreateVoiceConnector(ctx, &voice.CreateVoiceConnectorInput{Name: aws.String("story"), RequireEncryption: aws.Bool(true)}))(t).VoiceConnector
	vc := connector{ID: *made.VoiceConnectorId, Host: *made.OutboundHostName, number: freshNumber()}
	must(c.PutVoiceConnectorTermination(ctx, &voice.PutVoiceConnectorTerminationInput{VoiceConnectorId: &vc.ID,
		Termination: &types.Termination{CallingRegions: []string{"US"}, CidrAllowedList: []string{"127.0.0.0/8"}}}))(t)
	must(c.PutVoiceConnectorTerminationCredentials(ctx, &voice.PutVoiceConnectorTerminationCredentialsInput{VoiceConnectorId: &vc.ID,
		Credentials: []types.Credential{{Username: aws.String(phoneUser), Password: aws.String(phonePassword)}}}))(t)
	n.operate(t, "connector", "set", vc.ID, "digest=md5")
	n.operate(t, "number", "import", vc.number, "--connector", vc.ID)

	phone := startBaresip(t, baresipConfig{account: customerAccount(vc, "tls", "srtp-mand") + ";answermode=auto", tone: customerTone})
	phone.command("dial", "sip:"+labEcho+"@"+vc.Host)
	phone.wait("CALL_ESTABLISHED")
	phone.hears(heard)
	phone.command("hangup", "")
	phone.wait("CALL_CLOSED")
	phone.heard(customerTone, carrierTone, heard)
	r := n.records(t, vc, 1)[0]
	if r.Status != 200 || r.Customer.Transport != "tls" || r.Customer.Media.Profile != "RTP/SAVP" || r.Customer.Media.PlainSent != 0 || r.Customer.Media.Protected == 0 {
		t.Errorf("record %+v", r)
	}

	plain := startBaresip(t, baresipConfig{account: customerAccount(vc, "tls", ""), tone: customerTone})
	plain.command("dial", "sip:"+labEcho+"@"+vc.Host)
	if e := plain.wait("CALL_ESTABLISHED", "CALL_CLOSED"); !strings.HasPrefix(e.Param, "488") {
		t.Errorf("a plain call: %+v", e)
	}
	plain.stop()

	called := startBaresip(t, baresipConfig{account: account(vc.number+"@127.0.0.1", "tls", "srtp-mand") + ";answermode=auto", tone: customerTone})
	must(c.PutVoiceConnectorOrigination(ctx, &voice.PutVoiceConnectorOriginationInput{VoiceConnectorId: &vc.ID, Origination: &types.Origination{
		Routes: []types.OriginationRoute{{Host: aws.String("127.0.0.1"), Port: aws.Int32(int32(called.port + 1)), Protocol: types.OriginationRouteProtocolTcp, Priority: aws.Int32(1), Weight: aws.Int32(1)}}}}))(t)
	caller := freshNumber()
	far := startBaresip(t, baresipConfig{account: account(caller+"@127.0.0.1", "udp", ""), tone: carrierTone})
	n.carrierFor(t, far.target("udp"), "off", caller)
	far.command("dial", "sip:"+vc.number+"@"+n.SIP.UDP)
	called.wait("CALL_ESTABLISHED")
	called.hears(heard)
	far.command("hangup", "")
	called.wait("CALL_CLOSED")
	called.heard(carrierTone, customerTone, heard)
	r = n.records(t, vc, 3)[0]
	if r.Direction != "Inbound" || r.Status != 200 || r.Customer.Peer != "verified" || r.Customer.Media.Profile != "RTP/SAVP" || r.Customer.Media.PlainSent != 0 {
		t.Errorf("record %+v", r)
	}
}
