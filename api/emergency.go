package api

import (
	"carillon/api/wire"
	"carillon/numbering"
	"carillon/trunk"
)

func emergency() services[trunk.Emergency] {
	return services[trunk.Emergency]{"emergency calling configuration", func(s *trunk.Services) **trunk.Emergency { return &s.Emergency }}
}

// errEmergency refuses what would leave emergency numbers without a way out or back. It is no Conflict, because the
// operations do not model one.
func errEmergency(part string) error {
	return trunk.Errorf(trunk.Invalid, "The Voice Connector has an emergency calling configuration, which needs its %s. Delete that configuration first.", part)
}

func putEmergency(r *request, in *wire.PutVoiceConnectorEmergencyCallingConfigurationRequest) (any, error) {
	e, err := r.domainEmergency(in.EmergencyCallingConfiguration)
	if err != nil {
		return nil, err
	}
	_, err = r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		if c.Termination == nil || c.Termination.Disabled || c.Origination == nil || c.Origination.Disabled {
			return trunk.Errorf(trunk.Invalid, "An emergency calling configuration needs termination and origination: put both, with Disabled false, first.")
		}
		emergency().set(c, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.PutVoiceConnectorEmergencyCallingConfigurationResponse{EmergencyCallingConfiguration: wireEmergency(e)}, nil
}

func getEmergency(r *request, in *wire.GetVoiceConnectorEmergencyCallingConfigurationRequest) (any, error) {
	e, err := emergency().get(r, in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	return &wire.GetVoiceConnectorEmergencyCallingConfigurationResponse{EmergencyCallingConfiguration: wireEmergency(e)}, nil
}

func deleteEmergency(r *request, in *wire.DeleteVoiceConnectorEmergencyCallingConfigurationRequest) (any, error) {
	return nil, emergency().remove(r, in.VoiceConnectorID)
}

// domainEmergency translates and judges emergency numbers, each brought to its one spelling. What calls to them are let
// off (the countries, the limits) must not open a way to ranges that cost money.
func (r *request) domainEmergency(w *wire.EmergencyCallingConfiguration) (*trunk.Emergency, error) {
	e := new(trunk.Emergency)
	for _, d := range w.DNIS {
		one := trunk.DNIS{Country: *d.CallingCountry}
		one.Number, _ = trunk.ParseNumber(string(*d.EmergencyPhoneNumber))
		if d.TestPhoneNumber != nil {
			var ok bool
			if one.Test, ok = trunk.ParseNumber(string(*d.TestPhoneNumber)); !ok {
				return nil, trunk.Errorf(trunk.Invalid, "TestPhoneNumber must be a number in E.164, for example +12065550100.")
			}
		}
		e.DNIS = append(e.DNIS, one)
	}
	if err := r.rules().CheckEmergency(e); err != nil {
		return nil, err
	}
	for _, d := range e.DNIS {
		if numbering.HighRisk(d.Number) || d.Test != "" && numbering.HighRisk(d.Test) {
			return nil, trunk.Errorf(trunk.Invalid, "DNIS holds a number of a premium, satellite or international range. Calls to emergency numbers pass the rules that keep those closed.")
		}
	}
	return e, nil
}

func wireEmergency(e *trunk.Emergency) *wire.EmergencyCallingConfiguration {
	w := new(wire.EmergencyCallingConfiguration)
	for _, d := range e.DNIS {
		one := wire.DNISEmergencyCallingConfiguration{
			CallingCountry: new(d.Country), EmergencyPhoneNumber: new(wire.Sensitive(d.Number)),
		}
		if d.Test != "" {
			one.TestPhoneNumber = new(wire.Sensitive(d.Test))
		}
		w.DNIS = append(w.DNIS, one)
	}
	return w
}
