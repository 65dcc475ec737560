package call

import "testing"

func TestEveryReasonHasOneName(t *testing.T) {
	seen := map[string]Reason{}
	for _, r := range Reasons() {
		name := r.String()
		if name == "" || name == "unknown" {
			t.Errorf("reason %d has no name", r)
		}
		if other, twice := seen[name]; twice {
			t.Errorf("reasons %d and %d share the name %q", other, r, name)
		}
		seen[name] = r
		if got, ok := ParseReason(name); !ok || got != r {
			t.Errorf("ParseReason(%q) = %v, %v; want %v", name, got, ok, r)
		}
	}
}

func TestSidesAreOpposites(t *testing.T) {
	for _, s := range []Side{Customer, Carrier} {
		if s.Other() == s || s.Other().Other() != s {
			t.Errorf("Other of %v is %v", s, s.Other())
		}
	}
}

func TestSRTPNames(t *testing.T) {
	for _, s := range []SRTP{SRTPOff, SRTPOffer, SRTPRequire} {
		if got, err := ParseSRTP(s.String()); err != nil || got != s {
			t.Errorf("ParseSRTP(%q) = %v, %v", s, got, err)
		}
	}
	if _, err := ParseSRTP("on"); err == nil {
		t.Error(`ParseSRTP("on") was accepted`)
	}
}
