package trunk

import "slices"

// Services are the parts of a connector beside its two directions. Each is nil until it is put.
type Services struct {
	Streaming       *Streaming
	Logging         *Logging
	Emergency       *Emergency
	ExternalSystems *ExternalSystems
	Proxy           *Proxy
}

// clone returns a copy that shares no memory that a writer could change.
func (s Services) clone() Services {
	if s.Streaming != nil {
		t := *s.Streaming
		t.Targets = slices.Clone(t.Targets)
		s.Streaming = &t
	}
	if s.Logging != nil {
		s.Logging = new(*s.Logging)
	}
	if s.Emergency != nil {
		s.Emergency = &Emergency{DNIS: slices.Clone(s.Emergency.DNIS)}
	}
	if s.ExternalSystems != nil {
		s.ExternalSystems = &ExternalSystems{
			SessionBorderControllers: slices.Clone(s.ExternalSystems.SessionBorderControllers),
			ContactCenters:           slices.Clone(s.ExternalSystems.ContactCenters),
		}
	}
	if s.Proxy != nil {
		p := *s.Proxy
		p.Countries = slices.Clone(p.Countries)
		s.Proxy = &p
	}
	return s
}

// Streaming says where the audio of calls is streamed to. It is kept; nothing is streamed yet.
type Streaming struct {
	// RetentionHours is how long streams are kept; 0 keeps none.
	RetentionHours int
	Disabled       bool
	// Targets are EventBridge, SNS or SQS, each once.
	Targets []string
	// Insights is nil unless a media insights configuration was put.
	Insights *MediaInsights
}

// MediaInsights names the configuration that analyses streams. It is never changed once it is stored.
type MediaInsights struct {
	ARN      string
	Disabled bool
}

// Logging says which logs a connector's calls leave.
type Logging struct {
	SIP, MediaMetrics bool
}

// Emergency holds the numbers of a connector's emergency call routing.
type Emergency struct {
	// DNIS are at most MaxDNIS.
	DNIS []DNIS
}

// DNIS is a number by which a third-party emergency service is called, and one to test it with.
type DNIS struct {
	// Number is in E.164. Calls to it pass number, country and limit rules as 911 does.
	Number Number
	// Test is empty for none.
	Test Number
	// Country is ISO 3166-1 alpha-2.
	Country string
}

// Routes reports whether a number that was dialled is one of the connector's emergency numbers or test numbers.
func (e *Emergency) Routes(dialled string) bool {
	if e == nil {
		return false
	}
	n, ok := ParseNumber(dialled)
	return ok && slices.ContainsFunc(e.DNIS, func(d DNIS) bool { return d.Number == n || d.Test == n })
}

// ExternalSystems names the customer's equipment by AWS's words for it. It is kept and answered; it has no effect on
// calls.
type ExternalSystems struct {
	SessionBorderControllers, ContactCenters []string
}

// Proxy holds the settings of proxy sessions, whose support AWS ended on 2026-04-07: they are kept, the sessions are
// refused.
type Proxy struct {
	// ExpiryMinutes is the life of a session that names none.
	ExpiryMinutes int
	Disabled      bool
	// Fallback is empty for none.
	Fallback string
	// Countries are those the pool of numbers is taken from, ISO 3166-1 alpha-2.
	Countries []string
}
