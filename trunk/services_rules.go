package trunk

import "slices"

// Limits of a connector's other parts.
const (
	// MaxTargets is the most notification targets of a streaming: there are no more.
	MaxTargets = 3
	// MaxProxyCountries is the most countries of a proxy.
	MaxProxyCountries = 100
)

// CheckStreaming judges a streaming.
func CheckStreaming(s *Streaming) error {
	if s.RetentionHours < 0 {
		return Errorf(Invalid, "DataRetentionInHours %d is below 0.", s.RetentionHours)
	}
	if len(s.Targets) > MaxTargets {
		return Errorf(Invalid, "StreamingNotificationTargets has %d entries; at most %d are allowed.", len(s.Targets), MaxTargets)
	}
	for _, target := range s.Targets {
		if !slices.Contains([]string{"EventBridge", "SNS", "SQS"}, target) {
			return Errorf(Invalid, "NotificationTarget must be EventBridge, SNS or SQS.")
		}
	}
	if twice, found := repeated(s.Targets); found {
		return Errorf(Invalid, "StreamingNotificationTargets holds %q twice.", twice)
	}
	return nil
}

// CheckExternalSystems judges the names of external systems; which names there are is for the caller to judge.
func CheckExternalSystems(e *ExternalSystems) error {
	if twice, found := repeated(e.SessionBorderControllers); found {
		return Errorf(Invalid, "SessionBorderControllerTypes holds %q twice.", twice)
	}
	if twice, found := repeated(e.ContactCenters); found {
		return Errorf(Invalid, "ContactCenterSystemTypes holds %q twice.", twice)
	}
	return nil
}

// CheckEmergency judges emergency numbers. Its sentences never hold a number.
func (r Rules) CheckEmergency(e *Emergency) error {
	if len(e.DNIS) == 0 || len(e.DNIS) > MaxDNIS {
		return Errorf(Invalid, "DNIS has %d entries; give 1 to %d.", len(e.DNIS), MaxDNIS)
	}
	for i, d := range e.DNIS {
		if _, ok := ParseDialled(string(d.Number)); !ok {
			return Errorf(Invalid, "EmergencyPhoneNumber must be a number in E.164, for example +12065550100.")
		}
		if _, ok := ParseDialled(string(d.Test)); !ok && d.Test != "" {
			return Errorf(Invalid, "TestPhoneNumber must be a number in E.164, for example +12065550100.")
		}
		if !r.isCountry(d.Country) {
			return Errorf(Invalid, "CallingCountry %q is not a country; give two capital letters (ISO 3166-1 alpha-2).", d.Country)
		}
		if slices.ContainsFunc(e.DNIS[:i], func(o DNIS) bool { return o.Number == d.Number }) {
			return Errorf(Invalid, "DNIS holds one EmergencyPhoneNumber twice.")
		}
	}
	return nil
}

// CheckProxy judges a proxy.
func (r Rules) CheckProxy(p *Proxy) error {
	if p.ExpiryMinutes < 1 {
		return Errorf(Invalid, "DefaultSessionExpiryMinutes %d is below 1.", p.ExpiryMinutes)
	}
	if len(p.Countries) == 0 || len(p.Countries) > MaxProxyCountries {
		return Errorf(Invalid, "PhoneNumberPoolCountries has %d entries; give 1 to %d.", len(p.Countries), MaxProxyCountries)
	}
	for _, c := range p.Countries {
		if !r.isCountry(c) {
			return Errorf(Invalid, "PhoneNumberPoolCountries holds %q; give countries as two capital letters (ISO 3166-1 alpha-2).", c)
		}
	}
	if twice, found := repeated(p.Countries); found {
		return Errorf(Invalid, "PhoneNumberPoolCountries holds %q twice.", twice)
	}
	if _, ok := ParseNumber(p.Fallback); !ok && p.Fallback != "" {
		return Errorf(Invalid, "FallBackPhoneNumber must be a number in E.164, for example +12065550100.")
	}
	return nil
}

// repeated returns the first value that a list holds a second time.
func repeated(list []string) (string, bool) {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return v, true
		}
	}
	return "", false
}
