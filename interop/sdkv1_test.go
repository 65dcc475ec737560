package interop

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/chime"
)

// sdkV1 returns the client of the namespace chime, which only version 1 of the SDK still has.
func sdkV1(t *testing.T, n *process, secret string) *chime.Chime {
	t.Helper()
	s, err := session.NewSession(aws.NewConfig().WithEndpoint(n.API).WithRegion("us-east-1").WithMaxRetries(0).
		WithCredentials(credentials.NewStaticCredentials(n.AccessKeyID, secret, "")))
	if err != nil {
		t.Fatal(err)
	}
	return chime.New(s)
}

// TestSDKv1Operations sends every operation there and back.
func TestSDKv1Operations(t *testing.T) {
	n := node(t)
	c := sdkV1(t, n, n.SecretAccessKey)
	made := must(c.CreateVoiceConnector(&chime.CreateVoiceConnectorInput{Name: aws.String("v1"), RequireEncryption: aws.Bool(true), AwsRegion: aws.String("us-west-2")}))(t).VoiceConnector
	id := made.VoiceConnectorId
	if *made.OutboundHostName != *id+".voiceconnector."+n.Domain || !*made.RequireEncryption || *made.AwsRegion != "us-west-2" || made.CreatedTimestamp.IsZero() {
		t.Errorf("created %+v", made)
	}
	if got := must(c.GetVoiceConnector(&chime.GetVoiceConnectorInput{VoiceConnectorId: id}))(t).VoiceConnector; got.String() != made.String() {
		t.Errorf("got %v, want %v", got, made)
	}
	changed := must(c.UpdateVoiceConnector(&chime.UpdateVoiceConnectorInput{VoiceConnectorId: id, Name: aws.String("v1b"), RequireEncryption: aws.Bool(false)}))(t).VoiceConnector
	if *changed.Name != "v1b" || *changed.RequireEncryption {
		t.Errorf("updated %+v", changed)
	}
	seen := 0
	list := &chime.ListVoiceConnectorsInput{MaxResults: aws.Int64(5)}
	err := c.ListVoiceConnectorsPages(list, func(page *chime.ListVoiceConnectorsOutput, _ bool) bool {
		for _, v := range page.VoiceConnectors {
			if *v.VoiceConnectorId == *id {
				seen++
			}
		}
		return true
	})
	if err != nil || seen != 1 {
		t.Errorf("the connector is on %d pages (%v)", seen, err)
	}
	rules := &chime.Termination{CallingRegions: aws.StringSlice([]string{"US"}), CidrAllowedList: aws.StringSlice([]string{"10.0.0.0/8"}), CpsLimit: aws.Int64(1), Disabled: aws.Bool(false)}
	must(c.PutVoiceConnectorTermination(&chime.PutVoiceConnectorTerminationInput{VoiceConnectorId: id, Termination: rules}))(t)
	if got := must(c.GetVoiceConnectorTermination(&chime.GetVoiceConnectorTerminationInput{VoiceConnectorId: id}))(t).Termination; got.String() != rules.String() {
		t.Errorf("termination %v, want %v", got, rules)
	}
	must(c.PutVoiceConnectorTerminationCredentials(&chime.PutVoiceConnectorTerminationCredentialsInput{VoiceConnectorId: id,
		Credentials: []*chime.Credential{{Username: aws.String("a"), Password: aws.String("b")}}}))(t)
	if got := must(c.ListVoiceConnectorTerminationCredentials(&chime.ListVoiceConnectorTerminationCredentialsInput{VoiceConnectorId: id}))(t).Usernames; len(got) != 1 || *got[0] != "a" {
		t.Errorf("users %v", got)
	}
	must(c.DeleteVoiceConnectorTerminationCredentials(&chime.DeleteVoiceConnectorTerminationCredentialsInput{VoiceConnectorId: id, Usernames: aws.StringSlice([]string{"a"})}))(t)
	if h := must(c.GetVoiceConnectorTerminationHealth(&chime.GetVoiceConnectorTerminationHealthInput{VoiceConnectorId: id}))(t).TerminationHealth; h == nil || h.Source != nil {
		t.Errorf("health %v", h)
	}
	routes := &chime.Origination{Disabled: aws.Bool(false), Routes: []*chime.OriginationRoute{{Host: aws.String("pbx.example.com"), Port: aws.Int64(5061),
		Protocol: aws.String("TCP"), Priority: aws.Int64(1), Weight: aws.Int64(2)}}}
	must(c.PutVoiceConnectorOrigination(&chime.PutVoiceConnectorOriginationInput{VoiceConnectorId: id, Origination: routes}))(t)
	if got := must(c.GetVoiceConnectorOrigination(&chime.GetVoiceConnectorOriginationInput{VoiceConnectorId: id}))(t).Origination; got.String() != routes.String() {
		t.Errorf("origination %v, want %v", got, routes)
	}
	must(c.DeleteVoiceConnectorOrigination(&chime.DeleteVoiceConnectorOriginationInput{VoiceConnectorId: id}))(t)
	must(c.DeleteVoiceConnectorTermination(&chime.DeleteVoiceConnectorTerminationInput{VoiceConnectorId: id}))(t)
	must(c.DeleteVoiceConnector(&chime.DeleteVoiceConnectorInput{VoiceConnectorId: id}))(t)
	_, err = c.GetVoiceConnector(&chime.GetVoiceConnectorInput{VoiceConnectorId: id})
	if e, ok := errors.AsType[*chime.NotFoundException](err); !ok || *e.Code_ != "NotFound" || e.RequestID() == "" {
		t.Errorf("get after delete: %v", err)
	}
}

// TestSDKv1Errors: the exceptions have their types, and Code_ the short word of the model's enumeration.
func TestSDKv1Errors(t *testing.T) {
	n := node(t)
	c := sdkV1(t, n, n.SecretAccessKey)
	_, err := c.CreateVoiceConnector(&chime.CreateVoiceConnectorInput{Name: aws.String(strings.Repeat("n", 257)), RequireEncryption: aws.Bool(true)})
	if e, ok := errors.AsType[*chime.BadRequestException](err); !ok || *e.Code_ != "BadRequest" || !strings.Contains(e.Message(), "256") {
		t.Errorf("257 characters: %v", err)
	}
	_, err = c.ListSipMediaApplications(&chime.ListSipMediaApplicationsInput{})
	if e, ok := errors.AsType[*chime.ForbiddenException](err); !ok || e.StatusCode() != 403 {
		t.Errorf("an operation that is not offered: %v", err)
	}
	_, err = sdkV1(t, n, "wrong").ListVoiceConnectors(&chime.ListVoiceConnectorsInput{})
	if e, ok := errors.AsType[awserr.RequestFailure](err); !ok || e.Code() != "InvalidSignatureException" || e.StatusCode() != 403 {
		t.Errorf("another secret: %v", err)
	}
}
