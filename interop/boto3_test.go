package interop

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestBoto3 runs a script with Debian's boto3 in both namespaces: every operation there and back, every error by type.
func TestBoto3(t *testing.T) {
	n := node(t)
	for _, namespace := range []string{"chime", "chime-sdk-voice"} {
		t.Run(namespace, func(t *testing.T) {
			t.Parallel()
			// Not the python3 of the PATH: it need not have Debian's boto3.
			cmd := exec.Command(need(t, "/usr/bin/python3"), "testdata/boto3_story.py", n.API, namespace, n.Domain)
			cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+n.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.SecretAccessKey,
				"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "PYTHONDONTWRITEBYTECODE=1")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "all of it held") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
