package store

import (
	"encoding/json"

	"carillon/trunk"
)

// storedServices holds the parts of a connector beside its directions; absent where none was put.
type storedServices struct {
	Streaming *storedStreaming `json:"streaming,omitempty"`
	Logging   *storedLogging   `json:"logging,omitempty"`
	Emergency *storedEmergency `json:"emergency,omitempty"`
	External  *storedExternal  `json:"external,omitempty"`
	Proxy     *storedProxy     `json:"proxy,omitempty"`
}

type storedStreaming struct {
	RetentionHours int                  `json:"retention_hours"`
	Disabled       bool                 `json:"disabled,omitempty"`
	Targets        []string             `json:"targets,omitempty"`
	Insights       *storedMediaInsights `json:"insights,omitempty"`
}

type storedMediaInsights struct {
	ARN      string `json:"arn"`
	Disabled bool   `json:"disabled,omitempty"`
}

type storedLogging struct {
	SIP          bool `json:"sip,omitempty"`
	MediaMetrics bool `json:"media_metrics,omitempty"`
}

type storedEmergency struct {
	DNIS []storedDNIS `json:"dnis,omitempty"`
}

type storedDNIS struct {
	Number  string `json:"number"`
	Test    string `json:"test,omitempty"`
	Country string `json:"country"`
}

type storedExternal struct {
	SessionBorderControllers []string `json:"sbcs,omitempty"`
	ContactCenters           []string `json:"contact_centers,omitempty"`
}

type storedProxy struct {
	ExpiryMinutes int      `json:"expiry_minutes"`
	Disabled      bool     `json:"disabled,omitempty"`
	Fallback      string   `json:"fallback,omitempty"`
	Countries     []string `json:"countries,omitempty"`
}

func servicesForm(s *trunk.Services) *storedServices {
	if s == nil {
		return nil
	}
	f := new(storedServices)
	if t := s.Streaming; t != nil {
		f.Streaming = &storedStreaming{RetentionHours: t.RetentionHours, Disabled: t.Disabled, Targets: t.Targets, Insights: (*storedMediaInsights)(t.Insights)}
	}
	if s.Logging != nil {
		f.Logging = (*storedLogging)(s.Logging)
	}
	if s.Emergency != nil {
		f.Emergency = new(storedEmergency)
		for _, d := range s.Emergency.DNIS {
			f.Emergency.DNIS = append(f.Emergency.DNIS, storedDNIS{string(d.Number), string(d.Test), d.Country})
		}
	}
	if s.ExternalSystems != nil {
		f.External = (*storedExternal)(s.ExternalSystems)
	}
	if s.Proxy != nil {
		f.Proxy = (*storedProxy)(s.Proxy)
	}
	return f
}

func (f *storedServices) entity() *trunk.Services {
	if f == nil {
		return nil
	}
	s := &trunk.Services{
		Logging: (*trunk.Logging)(f.Logging), ExternalSystems: (*trunk.ExternalSystems)(f.External), Proxy: (*trunk.Proxy)(f.Proxy),
	}
	if t := f.Streaming; t != nil {
		s.Streaming = &trunk.Streaming{RetentionHours: t.RetentionHours, Disabled: t.Disabled, Targets: t.Targets, Insights: (*trunk.MediaInsights)(t.Insights)}
	}
	if f.Emergency != nil {
		s.Emergency = new(trunk.Emergency)
		for _, d := range f.Emergency.DNIS {
			s.Emergency.DNIS = append(s.Emergency.DNIS, trunk.DNIS{Number: trunk.Number(d.Number), Test: trunk.Number(d.Test), Country: d.Country})
		}
	}
	return s
}

// decodeInventory reads the kinds of groups.go; nil for any other.
func decodeInventory(key trunk.EntityKey, value json.RawMessage) (trunk.Entity, error) {
	switch key.Kind {
	case trunk.KindGroup:
		return readForm(value, func(f *storedGroup) (trunk.Entity, error) { return f.entity(key.ID), nil })
	case trunk.KindOrder:
		return readForm(value, func(f *storedOrder) (trunk.Entity, error) { return f.entity(key.ID), nil })
	case trunk.KindSIPRule:
		return readForm(value, func(f *storedSIPRule) (trunk.Entity, error) { return f.entity(key.ID), nil })
	case trunk.KindAccount:
		return readForm(value, func(f *storedAccount) (trunk.Entity, error) { return f.entity(key.ID), nil })
	}
	return nil, nil
}
