package cli

import (
	"testing"

	"carillon/call"
)

func TestTried(t *testing.T) {
	for _, tt := range []struct {
		attempt call.Attempt
		want    string
	}{
		{call.Attempt{Target: "sip:a", Status: 200}, "sip:a 200"},
		{call.Attempt{Target: "sip:a", Status: 486, Error: "answered 486 Busy Here"}, "sip:a 486 answered 486 Busy Here"},
		{call.Attempt{Target: "sip:a", Error: "could not be reached", Cause: "it is this node itself"}, "sip:a could not be reached: it is this node itself"},
	} {
		if got := tried(tt.attempt); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.attempt, got, tt.want)
		}
	}
}

func TestQualityOfALeg(t *testing.T) {
	for _, tt := range []struct {
		leg  call.LegReport
		want string
	}{
		{call.LegReport{}, ""},
		{call.LegReport{MOS: 4.41, LongestGapMicros: 20_400}, "MOS 4.41 received, longest gap 20ms"},
		{
			call.LegReport{MOS: 3.9, MOSSent: 4.2, LostSent: 7, JitterSentMicros: 1500, RoundTripMicros: 48_000, OneWaySeconds: 3},
			"MOS 3.90 received, 4.20 sent (7 lost, jitter 1.5ms), round trip 48ms, 3 s silent while spoken to",
		},
	} {
		if got := quality(tt.leg); got != tt.want {
			t.Errorf("quality(%+v) = %q; want %q", tt.leg, got, tt.want)
		}
	}
}
