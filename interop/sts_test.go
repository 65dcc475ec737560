package interop

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/sts"
)

// bases are where a client may be pointed for STS: the API itself, or a base path of it.
func bases() []string { return []string{"", "/sts"} }

// TestCLIGetCallerIdentity is the first command of every script.
func TestCLIGetCallerIdentity(t *testing.T) {
	t.Parallel()
	n := node(t)
	for _, base := range bases() {
		at := *n
		at.API += base
		aws := shell{n: &at, namespace: "sts"}
		equal(t, "identity at "+base, aws.ok(t, "get-caller-identity"), object{
			"Account": n.AccountID, "UserId": n.AccessKeyID, "Arn": "arn:aws:iam::" + n.AccountID + ":user/" + n.AccessKeyID,
		})
		aws.refused(t, "InvalidAction", "Could not find operation GetSessionToken", "get-session-token")
		aws.key = "AKIANOBODYNOBODYNOBO"
		aws.refused(t, "InvalidClientTokenId", "The security token included in the request is invalid.", "get-caller-identity")
		aws.key, aws.secret = "", "wrong"
		aws.refused(t, "SignatureDoesNotMatch", "does not match the signature you provided", "get-caller-identity")
	}
}

// TestSDKv1GetCallerIdentity asks with a Go SDK, and with the presigned URL that others take as a proof of identity.
func TestSDKv1GetCallerIdentity(t *testing.T) {
	n := node(t)
	for _, base := range bases() {
		client := func(secret string) *sts.STS {
			s, err := session.NewSession(&aws.Config{
				Endpoint: aws.String(n.API + base), Region: aws.String("us-east-1"), MaxRetries: aws.Int(0),
				Credentials: credentials.NewStaticCredentials(n.AccessKeyID, secret, ""),
			})
			if err != nil {
				t.Fatal(err)
			}
			return sts.New(s)
		}
		who := must(client(n.SecretAccessKey).GetCallerIdentity(nil))(t)
		if *who.Account != n.AccountID || *who.UserId != n.AccessKeyID || !strings.HasSuffix(*who.Arn, ":user/"+n.AccessKeyID) {
			t.Errorf("%s: %v", base, who)
		}
		_, err := client("wrong").GetCallerIdentity(nil)
		if e, ok := errors.AsType[awserr.RequestFailure](err); !ok || e.Code() != "SignatureDoesNotMatch" || e.StatusCode() != 403 || e.RequestID() == "" {
			t.Errorf("%s: %v", base, err)
		}
		request, _ := client(n.SecretAccessKey).GetCallerIdentityRequest(nil)
		url := must(request.Presign(time.Minute))(t)
		answer := must(http.Get(url))(t)
		defer answer.Body.Close()
		if text := must(io.ReadAll(answer.Body))(t); answer.StatusCode != 200 || !strings.Contains(string(text), "<Account>"+n.AccountID+"</Account>") {
			t.Errorf("presigned at %s: %d %s", base, answer.StatusCode, text)
		}
	}
}
