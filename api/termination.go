package api

import (
	"carillon/api/wire"
	"carillon/numbering"
	"carillon/trunk"
)

func noTermination() error {
	return trunk.Errorf(trunk.NotFound, "The Voice Connector has no termination settings.")
}

func putTermination(r *request, in *wire.PutVoiceConnectorTerminationRequest) (any, error) {
	t, err := r.domainTermination(in.Termination)
	if err != nil {
		return nil, err
	}
	_, err = r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		if t.Disabled && c.Emergency() != nil {
			return errEmergency("termination")
		}
		c.Termination = t
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.PutVoiceConnectorTerminationResponse{Termination: wireTermination(t)}, nil
}

func getTermination(r *request, in *wire.GetVoiceConnectorTerminationRequest) (any, error) {
	c, err := r.connector(in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	if c.Termination == nil {
		return nil, noTermination()
	}
	return &wire.GetVoiceConnectorTerminationResponse{Termination: wireTermination(c.Termination)}, nil
}

// deleteTermination takes the credentials along: they are a part of it, and must not come back to life unseen with the
// next termination.
func deleteTermination(r *request, in *wire.DeleteVoiceConnectorTerminationRequest) (any, error) {
	_, err := r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		if c.Termination == nil {
			return noTermination()
		}
		if c.Emergency() != nil {
			return errEmergency("termination")
		}
		c.Termination, c.Credentials = nil, nil
		return nil
	})
	return nil, err
}

// rules are the installation's limits of a connector's configuration, with a judge of countries.
func (r *request) rules() trunk.Rules {
	rules := r.server.config.Rules
	if rules.Country == nil {
		rules.Country = numbering.ValidCountry
	}
	return rules
}

// domainTermination translates and judges a termination.
func (r *request) domainTermination(w *wire.Termination) (*trunk.Termination, error) {
	// The models do not mark it as required; their text says so.
	if len(w.CallingRegions) == 0 {
		return nil, trunk.Errorf(trunk.Invalid, "CallingRegions is required: name at least one country.")
	}
	t := &trunk.Termination{CallingRegions: w.CallingRegions}
	for _, text := range w.CIDRAllowedList {
		t.CidrAllowedList = append(t.CidrAllowedList, trunk.CIDR{Text: text})
	}
	if w.CPSLimit != nil {
		t.CpsLimit = int(*w.CPSLimit)
	}
	if w.DefaultPhoneNumber != nil {
		t.DefaultPhoneNumber = string(*w.DefaultPhoneNumber)
	}
	if w.Disabled != nil {
		t.Disabled = *w.Disabled
	}
	rules := r.rules()
	if limit, ok := r.snapshot.Quota(r.principal.Account, trunk.QuotaCPS); ok && (rules.MaxCPS == 0 || limit < rules.MaxCPS) {
		rules.MaxCPS = max(limit, 1)
	}
	if err := rules.CheckTermination(t); err != nil {
		return nil, err
	}
	return t, nil
}

// wireTermination always has CpsLimit, Disabled and both lists: Terraform compares them with what it did not send.
func wireTermination(t *trunk.Termination) *wire.Termination {
	w := &wire.Termination{
		CallingRegions:  append([]string{}, t.CallingRegions...),
		CIDRAllowedList: []string{},
		CPSLimit:        new(int32(min(t.CpsLimit, 1<<31-1))),
		Disabled:        new(t.Disabled),
	}
	for _, c := range t.CidrAllowedList {
		w.CIDRAllowedList = append(w.CIDRAllowedList, c.Text)
	}
	if t.DefaultPhoneNumber != "" {
		w.DefaultPhoneNumber = new(wire.Sensitive(t.DefaultPhoneNumber))
	}
	return w
}

// getHealth answers an empty object until a first OPTIONS came.
func getHealth(r *request, in *wire.GetVoiceConnectorTerminationHealthRequest) (any, error) {
	c, err := r.connector(in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	w := new(wire.TerminationHealth)
	if h, ok := r.snapshot.Health(c.ID); ok {
		w.Source, w.Timestamp = new(h.Source.String()), wire.At(h.Time)
	}
	return &wire.GetVoiceConnectorTerminationHealthResponse{TerminationHealth: w}, nil
}
