package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// answer is what a client made of one call: its output, or the exception it raised.
type answer struct {
	Out jsonObject `json:"out,omitempty"`
	// Pages are the outputs of a paginator. Merged says that the client joined them into one.
	Pages  []jsonObject `json:"pages,omitempty"`
	Merged bool         `json:"merged,omitempty"`
	// Fault is the exception by name; Typed that it is a class of the client's own and not its catch-all.
	Fault   string `json:"fault,omitempty"`
	Typed   bool   `json:"typed,omitempty"`
	Message string `json:"message,omitempty"`
	// Code is the model's ErrorCode, empty where the client does not tell.
	Code string `json:"code,omitempty"`
	// Status is the HTTP status, 0 where the client does not tell.
	Status int `json:"status,omitempty"`
	// Broken is a failure that is no answer of the service: the client could not send or could not read.
	Broken string `json:"broken,omitempty"`
}

// client is a client of one namespace that runs the cases.
type client struct {
	// name is its column's.
	name, namespace string
	known           surface
	// call calls an operation; with page > 0 it walks all pages of that size with the client's paginator.
	call func(operation string, in jsonObject, page int) answer
	// ask sends a client that is a program a line of its own protocol.
	ask func(object) answer
}

// seat is where a client sits: an account of its own, in which nobody else changes anything, and an area code whose
// numbers nobody else orders.
type seat struct {
	n                        *process
	account, key, secret     string
	area                     string
	endpoint, endpointByPath string
}

// newSeat makes the seat with that number, and numbers for it in the pool.
func newSeat(t *testing.T, n *process, number int) *seat {
	t.Helper()
	s := &seat{n: n, account: seatAccount(number), area: areaCodes[number], endpoint: n.API}
	out, err := exec.Command(n.binary, "key", "create", "--account", s.account, "--name", "conform", "--json", "--ready-file", n.readyFile).Output()
	if err != nil {
		t.Fatalf("carillon key create: %v", err)
	}
	var key struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
	}
	if err := json.Unmarshal(out, &key); err != nil {
		t.Fatal(err)
	}
	s.key, s.secret = key.ID, key.Secret
	pool := []string{"number", "import"}
	for i := range poolSize {
		pool = append(pool, s.number(i))
	}
	n.operate(t, pool...)
	return s
}

func seatAccount(number int) string { return fmt.Sprintf("9000000000%02d", number) }

// areaCodes are one a seat; those after the clients' are for other tests. 206 is the trial node's own.
var areaCodes = []string{"212", "305", "312", "415", "503", "617", "702", "808", "907"}

// poolSize is how many numbers each seat finds in the pool.
const poolSize = 5

func (s *seat) number(i int) string { return fmt.Sprintf("+1%s555%04d", s.area, 100+i) }

// environment is that of a client that is a process.
func (s *seat) environment() []string {
	return append(os.Environ(), "AWS_ACCESS_KEY_ID="+s.key, "AWS_SECRET_ACCESS_KEY="+s.secret, "AWS_DEFAULT_REGION=us-east-1",
		"AWS_REGION=us-east-1", "AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "PYTHONDONTWRITEBYTECODE=1", "NODE_NO_WARNINGS=1")
}

// lineClient starts a client that is a program: it says what it knows in its first line, and answers each call, one a
// line, with a line.
func lineClient(t *testing.T, s *seat, c *client, program string, args ...string) *client {
	t.Helper()
	cmd := exec.Command(need(t, program), args...)
	cmd.Env = s.environment()
	complaints := &syncBuffer{}
	cmd.Stderr = complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A client that never answers is ended, which its reader sees as the end of the lines.
	watchdog := time.AfterFunc(callsTimeout, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, complaints)
		}
		watchdog.Stop()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 8<<20)
	read := func(into any) error {
		if !lines.Scan() {
			return fmt.Errorf("%s ended (%v):\n%s", c.name, lines.Err(), complaints)
		}
		return json.Unmarshal(lines.Bytes(), into)
	}
	if err := read(&c.known); err != nil {
		t.Fatal(err)
	}
	c.ask = func(question object) (a answer) {
		line, err := json.Marshal(question)
		if err == nil {
			_, err = in.Write(append(line, '\n'))
		}
		if err == nil {
			err = read(&a)
		}
		if err != nil {
			a.Broken = err.Error()
		}
		return a
	}
	c.call = func(operation string, input jsonObject, page int) (a answer) {
		return c.ask(object{"operation": operation, "command": c.known[operation].Command, "in": input, "page": page})
	}
	return c
}

// callsTimeout bounds all calls of one client.
const callsTimeout = 6 * time.Minute

// theClients are the columns of the matrix. The namespace is told by base path to those whose requests do not show it.
var theClients = []struct {
	name, namespace string
	start           func(*testing.T, *seat, *client) *client
}{
	{"awscli", "chime", startAWSCLI},
	{"awscli", "chime-sdk-voice", startAWSCLI},
	{"boto3", "chime", startBoto3},
	{"boto3", "chime-sdk-voice", startBoto3},
	{"aws-sdk-go", "chime", startGoV1},
	{"aws-sdk-go-v2", "chime-sdk-voice", startGoV2},
	{"aws-sdk-js", "chime", startJS},
	{"aws-sdk-js", "chime-sdk-voice", startJS},
}

func startAWSCLI(t *testing.T, s *seat, c *client) *client {
	return lineClient(t, s, c, "/usr/bin/python3", "testdata/conform_awscli.py", s.endpoint, c.namespace)
}

func startBoto3(t *testing.T, s *seat, c *client) *client {
	return lineClient(t, s, c, "/usr/bin/python3", "testdata/conform_boto3.py", s.endpoint+"/"+c.namespace, c.namespace)
}

func startJS(t *testing.T, s *seat, c *client) *client {
	if _, err := os.Stat("js/node_modules"); err != nil {
		t.Fatalf("the JavaScript clients are not installed, run tools/packages.sh: %v", err)
	}
	return lineClient(t, s, c, "node", "js/driver.mjs", s.endpoint, c.namespace)
}
