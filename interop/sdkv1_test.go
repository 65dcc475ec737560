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
