package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The credentials of every test's connectors.
const (
	phoneUser     = "phone"
	phonePassword = "correct-horse-9"
)

// Numbers of the built-in lab carrier.
const (
	labEcho = "+19995550101"
	labBusy = "+19995550103"
)

// connector is what tests need of a Voice Connector.
type connector struct {
	ID   string `json:"VoiceConnectorId"`
	Host string `json:"OutboundHostName"`
	// number is a number of the connector, used as caller id and to call in.
	number string
}

// numbers hands out numbers nobody else in this run uses.
var numbers atomic.Int64

// freshNumber returns a number that is no other test's. 206-777 is assigned to nobody in the tests' inventory.
func freshNumber() string { return fmt.Sprintf("+1206777%04d", 1000+numbers.Add(1)) }

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   string
}

// sign signs a request as the AWS SDK does.
func (n *process) sign(h *http.Request, body []byte) error { return n.signAt(h, body, time.Now()) }

func (n *process) signAt(h *http.Request, body []byte, at time.Time) error {
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: n.AccessKeyID, SecretAccessKey: n.SecretAccessKey}
	return v4.NewSigner().SignHTTP(context.Background(), credentials, h, hex.EncodeToString(sum[:]), "chime", "us-east-1", at)
}

// try sends a signed request.
func (n *process) try(t *testing.T, method, target, body string) reply {
	t.Helper()
	h, err := http.NewRequest(method, n.API+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		h.Header.Set("Content-Type", "application/json")
	}
	if err := n.sign(h, []byte(body)); err != nil {
		t.Fatal(err)
	}
	return n.send(t, h)
}

func (n *process) send(t *testing.T, h *http.Request) reply {
	t.Helper()
	answer, err := http.DefaultClient.Do(h)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(text)}
}

// call sends a signed request that must succeed and decodes the answer into out, which may be nil.
func (n *process) call(t *testing.T, method, target string, in, out any) {
	t.Helper()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			t.Fatal(err)
		}
	}
	r := n.try(t, method, target, string(body))
	if r.status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, target, r.status, r.body)
	}
	if out != nil {
		if err := json.NewDecoder(bytes.NewReader([]byte(r.body))).Decode(out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, target, err, r.body)
		}
	}
}

// object is a JSON object.
type object map[string]any

// connect makes a connector that takes calls from this machine with a password, and one number for it. The digest
// list is the connector's setting; empty leaves the default.
func (n *process) connect(t *testing.T, encrypted bool, digest ...string) connector {
	t.Helper()
	var made struct{ VoiceConnector connector }
	n.call(t, "POST", "/voice-connectors", object{"Name": t.Name(), "RequireEncryption": encrypted}, &made)
	c := made.VoiceConnector
	path := "/voice-connectors/" + c.ID
	n.call(t, "PUT", path+"/termination", object{"Termination": object{
		"CallingRegions": []string{"US"}, "CidrAllowedList": []string{"127.0.0.0/8"}, "CpsLimit": 50}}, nil)
	n.call(t, "POST", path+"/termination/credentials?operation=put", object{"Credentials": []object{
		{"Username": phoneUser, "Password": phonePassword}}}, nil)
	if len(digest) > 0 {
		n.operate(t, "connector", "set", c.ID, "digest="+strings.Join(digest, ","))
	}
	c.number = freshNumber()
	n.operate(t, "number", "import", c.number, "--connector", c.ID)
	return c
}

// carrier makes a carrier that takes calls to one number, and returns the number.
func (n *process) carrier(t *testing.T, target, srtp string) string {
	t.Helper()
	number := freshNumber()
	n.carrierFor(t, target, srtp, number)
	return number
}

func (n *process) carrierFor(t *testing.T, target, srtp, number string) {
	t.Helper()
	name := "c" + strings.TrimPrefix(number, "+")
	n.operate(t, "carrier", "put", name, "--target", target, "--prefix", number, "--srtp", srtp)
	t.Cleanup(func() { n.operate(t, "carrier", "delete", name) })
}

// operate runs a subcommand of the program, as the node's operator does.
func (n *process) operate(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(n.binary, append(args, "--ready-file", n.readyFile)...).CombinedOutput()
	if err != nil {
		t.Fatalf("carillon %q: %v\n%s", args, err, out)
	}
}

// route points the connector's inbound calls at a host.
func (n *process) route(t *testing.T, c connector, host string, port int, protocol string) {
	t.Helper()
	n.call(t, "PUT", "/voice-connectors/"+c.ID+"/origination", object{"Origination": object{"Routes": []object{
		{"Host": host, "Port": port, "Protocol": protocol, "Priority": 1, "Weight": 1}}}}, nil)
}

// legRecord and record are the parts of a call's record that tests look at.
type legRecord struct {
	Transport  string         `json:"transport"`
	Remote     netip.AddrPort `json:"remote"`
	TLSVersion string         `json:"tls_version"`
	Cipher     string         `json:"cipher"`
	Peer       string         `json:"peer"`
	Media      struct {
		Profile      string         `json:"profile"`
		Local        netip.AddrPort `json:"local"`
		Remote       netip.AddrPort `json:"remote"`
		Suite        string         `json:"suite"`
		Codec        string         `json:"codec"`
		Received     int            `json:"packets_received"`
		Sent         int            `json:"packets_sent"`
		RTCPReceived int            `json:"rtcp_received"`
		RTCPSent     int            `json:"rtcp_sent"`
		Protected    int            `json:"protected"`
		Unprotected  int            `json:"unprotected"`
		AuthFailures int            `json:"auth_failures"`
		Replays      int            `json:"replays"`
		PlainDropped int            `json:"plain_dropped"`
		PlainSent    int            `json:"plain_sent"`
	} `json:"media"`
}

type record struct {
	ID                string    `json:"id"`
	RequireEncryption bool      `json:"require_encryption"`
	Direction         string    `json:"direction"`
	From              string    `json:"from"`
	To                string    `json:"to"`
	AuthUser          string    `json:"auth_user"`
	Carrier           string    `json:"carrier"`
	Answered          time.Time `json:"answered"`
	Status            int       `json:"status"`
	Reason            string    `json:"reason"`
	Sentence          string    `json:"sentence"`
	HungUpBy          string    `json:"hung_up_by"`
	Customer          legRecord `json:"customer_leg"`
	CarrierLeg        legRecord `json:"carrier_leg"`
}

// records waits until the connector has this many records and returns them, newest first.
func (n *process) records(t *testing.T, c connector, count int) []record {
	t.Helper()
	var list struct {
		Calls []record `json:"calls"`
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		list.Calls = nil
		n.call(t, "GET", "/carillon/v1/calls?connector="+c.ID, nil, &list)
		if len(list.Calls) == count {
			return list.Calls
		}
		if len(list.Calls) > count || time.Now().After(deadline) {
			t.Fatalf("%d records of %s, want %d: %+v", len(list.Calls), c.ID, count, list.Calls)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
