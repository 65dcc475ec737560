package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
)

// awsCLI is Debian's: a newer one on the PATH no longer has the operations of the namespace "chime".
const awsCLI = "/usr/bin/aws"

// Exit codes of AWS CLI 2.
const (
	exitOK      = 0
	exitUsage   = 252 // the CLI refused before sending
	exitService = 254 // the service answered with an error
)

// shell runs the AWS CLI in one namespace.
type shell struct {
	n         *process
	namespace string
	// key and secret replace the node's own where set; region likewise.
	key, secret, region string
}

// run runs one command and returns what it printed, what it complained and its exit code.
func (s shell) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(need(t, awsCLI), append([]string{"--endpoint-url", s.n.API, "--output", "json", s.namespace}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+or(s.key, s.n.AccessKeyID), "AWS_SECRET_ACCESS_KEY="+or(s.secret, s.n.SecretAccessKey),
		"AWS_DEFAULT_REGION="+or(s.region, "us-east-1"), "AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), complaint.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), complaint.String(), exitOK
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ok runs a command that must succeed and decodes what it printed; nothing printed is nil.
func (s shell) ok(t *testing.T, args ...string) object {
	t.Helper()
	out, complaint, code := s.run(t, args...)
	if code != exitOK || complaint != "" {
		t.Fatalf("aws %s %q: exit %d: %s", s.namespace, args, code, complaint)
	}
	if strings.TrimSpace(out) == "" {
		return nil
	}
	var o object
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		t.Fatalf("aws %s %q printed %s: %v", s.namespace, args, out, err)
	}
	return o
}

// refused runs a command that the service must refuse with this exception and a message that holds says.
func (s shell) refused(t *testing.T, exception, says string, args ...string) {
	t.Helper()
	out, complaint, code := s.run(t, args...)
	if code != exitService || !strings.Contains(complaint, "An error occurred ("+exception+")") || !strings.Contains(complaint, says) {
		t.Errorf("aws %s %q: exit %d, %q %q; want exit %d with %s: %s", s.namespace, args, code, out, complaint, exitService, exception, says)
	}
}

// equal compares a JSON value with what it should be.
func equal(t *testing.T, what string, got any, want any) {
	t.Helper()
	plain := func(v any) (out any) {
		text, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(text, &out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	g, w := plain(got), plain(want)
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s: got %v, want %v", what, g, w)
	}
}

// eachNamespace runs a test in both namespaces of the CLI at once.
func eachNamespace(t *testing.T, f func(*testing.T, shell)) {
	n := node(t)
	for _, namespace := range []string{"chime", "chime-sdk-voice"} {
		t.Run(namespace, func(t *testing.T) {
			t.Parallel()
			f(t, shell{n: n, namespace: namespace})
		})
	}
}

// TestCLIConnector is the life of a connector, from the CLI.
func TestCLIConnector(t *testing.T) {
	t.Parallel()
	eachNamespace(t, func(t *testing.T, aws shell) {
		// The older model takes any name, the newer one has a pattern.
		name := "Größe 1"
		if aws.namespace == "chime-sdk-voice" {
			aws.refused(t, "BadRequestException", "pattern", "create-voice-connector", "--name", name, "--require-encryption")
			name = "Size 1"
		}
		vc := aws.ok(t, "create-voice-connector", "--name", name, "--require-encryption", "--aws-region", "us-west-2")["VoiceConnector"].(jsonObject)
		id := vc["VoiceConnectorId"].(string)
		created := vc["CreatedTimestamp"].(string)
		if at, err := time.Parse(time.RFC3339, created); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("created at %s (%v)", created, err)
		}
		want := object{
			"VoiceConnectorId": id, "AwsRegion": "us-west-2", "Name": name, "RequireEncryption": true,
			"OutboundHostName":  id + ".voiceconnector." + aws.n.Domain,
			"VoiceConnectorArn": "arn:aws:chime:us-west-2:" + aws.n.AccountID + ":vc/" + id,
			"CreatedTimestamp":  created, "UpdatedTimestamp": created,
		}
		equal(t, "create", vc, want)
		equal(t, "get", aws.ok(t, "get-voice-connector", "--voice-connector-id", id), object{"VoiceConnector": want})

		updated := aws.ok(t, "update-voice-connector", "--voice-connector-id", id, "--name", "second", "--no-require-encryption")["VoiceConnector"].(jsonObject)
		if updated["UpdatedTimestamp"] == created {
			t.Error("an update kept UpdatedTimestamp")
		}
		want["Name"], want["RequireEncryption"], want["UpdatedTimestamp"] = "second", false, updated["UpdatedTimestamp"]
		equal(t, "update", updated, want)
		equal(t, "get after update", aws.ok(t, "get-voice-connector", "--voice-connector-id", id), object{"VoiceConnector": want})

		if out := aws.ok(t, "delete-voice-connector", "--voice-connector-id", id); out != nil {
			t.Errorf("delete printed %v", out)
		}
		const unknown = "Unable to find the requested identifier"
		aws.refused(t, "NotFoundException", unknown, "get-voice-connector", "--voice-connector-id", id)
		aws.refused(t, "NotFoundException", unknown, "update-voice-connector", "--voice-connector-id", id, "--name", "x", "--require-encryption")
		aws.refused(t, "NotFoundException", unknown, "delete-voice-connector", "--voice-connector-id", id)
	})
}

// jsonObject is what encoding/json makes of a JSON object.
type jsonObject = map[string]any

// TestCLIRefusals: what the CLI lets through is refused by the server, with the exception and the exit code scripts
// look at; signatures too.
func TestCLIRefusals(t *testing.T) {
	t.Parallel()
	eachNamespace(t, func(t *testing.T, aws shell) {
		create := func(more ...string) []string { return append([]string{"create-voice-connector"}, more...) }
		aws.refused(t, "BadRequestException", "256", create("--name", strings.Repeat("n", 257), "--require-encryption")...)
		aws.refused(t, "BadRequestException", "mars-1", create("--name", "demo", "--require-encryption", "--aws-region", "mars-1")...)
		if _, complaint, code := aws.run(t, create("--name", "demo")...); code != exitUsage || !strings.Contains(complaint, "RequireEncryption") {
			t.Errorf("without --require-encryption: exit %d: %s", code, complaint)
		}
		wrong := aws
		wrong.secret = "wrong" + aws.n.SecretAccessKey
		wrong.refused(t, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided", create("--name", "demo", "--require-encryption")...)
		unknown := aws
		unknown.key = "AKIAQQQQQQQQQQQQQQQQ"
		unknown.refused(t, "UnrecognizedClientException", "The security token included in the request is invalid", "list-voice-connectors")
		elsewhere := aws
		elsewhere.region = "eu-central-1"
		elsewhere.ok(t, "list-voice-connectors", "--max-results", "1")
		if _, complaint, code := aws.run(t, "list-voice-connectors", "--no-sign-request"); code != exitService || !strings.Contains(complaint, "MissingAuthenticationTokenException") {
			t.Errorf("unsigned: exit %d: %s", code, complaint)
		}
	})
}
