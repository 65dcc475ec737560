package interop

import (
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	voice "github.com/aws/aws-sdk-go-v2/service/chimesdkvoice"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkvoice/types"
)

// TestHealth: an OPTIONS of a customer whose calls would be let in is what GetVoiceConnectorTerminationHealth shows,
// in the SDK's types and in the CLI; one of a customer who may not call is not.
func TestHealth(t *testing.T) {
	ctx, n := t.Context(), node(t)
	c := sdk(n)
	made := must(c.CreateVoiceConnector(ctx, &voice.CreateVoiceConnectorInput{Name: aws.String("health"), RequireEncryption: aws.Bool(false)}))(t).VoiceConnector
	allow := func(cidr string) {
		t.Helper()
		must(c.PutVoiceConnectorTermination(ctx, &voice.PutVoiceConnectorTerminationInput{VoiceConnectorId: made.VoiceConnectorId,
			Termination: &types.Termination{CallingRegions: []string{"US"}, CidrAllowedList: []string{cidr}}}))(t)
	}
	options := func() int {
		t.Helper()
		answer, _ := sendTCP(t, n.SIP.TCP, func(a net.Addr) string {
			return rawRequest{method: "OPTIONS", host: *made.OutboundHostName}.text(a, "tcp")
		})
		return status(answer)
	}
	health := func() *types.TerminationHealth {
		t.Helper()
		return must(c.GetVoiceConnectorTerminationHealth(ctx, &voice.GetVoiceConnectorTerminationHealthInput{VoiceConnectorId: made.VoiceConnectorId}))(t).TerminationHealth
	}
	allow("192.0.2.0/24")
	if got := options(); got != 403 {
		t.Errorf("OPTIONS of a stranger: %d, want 403", got)
	}
	allow("127.0.0.0/8")
	time.Sleep(300 * time.Millisecond) // were the stranger's counted, it would show by now
	if h := health(); h == nil || h.Source != nil || h.Timestamp != nil {
		t.Errorf("health after a stranger's OPTIONS: %+v", h)
	}
	if got := options(); got != 200 {
		t.Errorf("OPTIONS of the customer: %d, want 200", got)
	}
	h := health()
	for deadline := time.Now().Add(10 * time.Second); h.Source == nil && time.Now().Before(deadline); h = health() {
		time.Sleep(50 * time.Millisecond)
	}
	if h.Source == nil || *h.Source != "127.0.0.1" || h.Timestamp == nil || time.Since(*h.Timestamp).Abs() > time.Minute {
		t.Fatalf("health %+v", h)
	}
	for _, namespace := range []string{"chime", "chime-sdk-voice"} {
		shown := shell{n: n, namespace: namespace}.ok(t, "get-voice-connector-termination-health", "--voice-connector-id", *made.VoiceConnectorId)
		got, ok := shown["TerminationHealth"].(jsonObject)
		if at, err := time.Parse(time.RFC3339Nano, or(text(got["Timestamp"]), "-")); !ok || got["Source"] != "127.0.0.1" || err != nil || !at.Equal(*h.Timestamp) {
			t.Errorf("aws %s shows %v, want %v", namespace, shown, h.Timestamp)
		}
	}
}

// text returns v if it is text.
func text(v any) string {
	s, _ := v.(string)
	return s
}
