package wire

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"carillon/quickjson"
)

// TestConnectorsAreAnsweredQuickly: a member that the quick way does not know would be missing from the answer, and one
// that it always leaves to encoding/json would make every answer slow.
func TestConnectorsAreAnsweredQuickly(t *testing.T) {
	region, network, integration, text, yes := VoiceConnectorAWSRegion("us-east-1"), NetworkType("IPV4_ONLY"), VoiceConnectorIntegrationType("CALL_ANALYTICS_INTEGRATION"), "a <b> & c", true
	c := &VoiceConnector{
		AWSRegion: &region, CreatedTimestamp: At(time.UnixMilli(1)), IntegrationType: &integration, Name: &text, NetworkType: &network, OutboundHostName: &text,
		RequireEncryption: &yes, UpdatedTimestamp: At(time.UnixMilli(2)), VoiceConnectorARN: &text, VoiceConnectorID: &text,
	}
	for name, c := range map[string]*VoiceConnector{"all members": c, "some": {Name: &text, VoiceConnectorID: &text}, "none": {}} {
		for _, answer := range []quickjson.Appender{&CreateVoiceConnectorResponse{VoiceConnector: c}, &GetVoiceConnectorResponse{VoiceConnector: c}} {
			if got, ok := answer.AppendJSON(nil); !ok || !bytes.Equal(got, slowly(t, answer)) {
				t.Errorf("%s: %v, %s, want %s", name, ok, got, slowly(t, answer))
			}
		}
	}
	if text, ok := (&GetVoiceConnectorResponse{}).AppendJSON(nil); ok {
		t.Errorf("an answer without a connector is %s", text)
	}
}

// slowly returns what encoding/json makes of an answer.
func slowly(t *testing.T, answer any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(answer); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// FuzzConnectorAnswer: whatever texts a connector has, the quick way writes what encoding/json writes or leaves it to that.
func FuzzConnectorAnswer(f *testing.F) {
	for _, text := range []string{"", "plain", "\"", "\\", "\n", "é", "\u2028", "\xff", "<&>", "\x7f"} {
		f.Add(text, int64(1_790_000_000_123), true)
	}
	f.Fuzz(func(t *testing.T, text string, ms int64, flag bool) {
		if year := time.UnixMilli(ms).UTC().Year(); year < 0 || year > 9999 {
			return // no time of ours
		}
		answer := &CreateVoiceConnectorResponse{VoiceConnector: &VoiceConnector{
			Name: &text, OutboundHostName: &text, RequireEncryption: &flag, CreatedTimestamp: At(time.UnixMilli(ms)),
		}}
		if flag {
			answer.VoiceConnector.VoiceConnectorID = &text
		}
		if got, ok := answer.AppendJSON([]byte("before ")); ok && !bytes.Equal(got, append([]byte("before "), slowly(t, answer)...)) {
			t.Errorf("%q, want %q", got, slowly(t, answer))
		}
	})
}
