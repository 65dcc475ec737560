package trunk

import (
	"slices"
	"strings"
	"time"
)

// Limits of a SIP rule.
const (
	// MaxRuleTargets is the most applications of a rule.
	MaxRuleTargets = 25
)

// Trigger is what a SIP rule looks at.
type Trigger string

// The triggers.
const (
	// ToPhoneNumber rules name a phone number.
	ToPhoneNumber Trigger = "ToPhoneNumber"
	// RequestURIHostname rules name the OutboundHostName of a connector.
	RequestURIHostname Trigger = "RequestUriHostname"
)

// SIPRule would send calls to a SIP media application. Applications are not offered here, so rules are kept and
// answered and have no effect on calls.
type SIPRule struct {
	// ID is a UUID.
	ID      string
	Account string
	// Name is 1 to 256 characters.
	Name         string
	Disabled     bool
	Trigger      Trigger
	TriggerValue string
	// Targets are 1 to MaxRuleTargets.
	Targets []RuleTarget
	// Created and Updated are in UTC, to the millisecond.
	Created, Updated time.Time
}

// RuleTarget is one application of a rule.
type RuleTarget struct {
	ApplicationID string
	// Priority is at least 1; 0 was left out.
	Priority int
	Region   string
}

// Clone returns a copy that shares no memory that a writer could change.
func (r *SIPRule) Clone() *SIPRule {
	s := *r
	s.Targets = slices.Clone(r.Targets)
	return &s
}

// CheckSIPRule judges a rule. Its trigger's value must be spelled as the trigger wants it; a phone number is brought to
// its one spelling.
func CheckSIPRule(r *SIPRule) error {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	switch r.Trigger {
	case ToPhoneNumber:
		n, ok := ParseNumber(r.TriggerValue)
		if !ok {
			return Errorf(Invalid, "TriggerValue must be a number in E.164, for example +12065550100, for TriggerType %s.", r.Trigger)
		}
		r.TriggerValue = string(n)
	case RequestURIHostname:
		if !ValidHost(r.TriggerValue) {
			return Errorf(Invalid, "TriggerValue must be the OutboundHostName of a Voice Connector for TriggerType %s.", r.Trigger)
		}
	default:
		return Errorf(Invalid, "TriggerType must be %s or %s.", ToPhoneNumber, RequestURIHostname)
	}
	if len(r.Targets) == 0 || len(r.Targets) > MaxRuleTargets {
		return Errorf(Invalid, "TargetApplications has %d entries; give 1 to %d.", len(r.Targets), MaxRuleTargets)
	}
	for _, t := range r.Targets {
		switch {
		case t.Priority < 0:
			return Errorf(Invalid, "Priority %d is below 1.", t.Priority)
		case t.ApplicationID == "":
			return Errorf(Invalid, "Each of TargetApplications needs a SipMediaApplicationId.")
		case !isLabel(t.ApplicationID) || !isLabel(t.Region):
			return Errorf(Invalid, "SipMediaApplicationId and AwsRegion must have at most %d printable US-ASCII characters without spaces.", MaxNameLength)
		}
	}
	return nil
}

// isLabel reports whether s is short printable US-ASCII without spaces, or empty.
func isLabel(s string) bool {
	return len(s) <= MaxNameLength && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}
