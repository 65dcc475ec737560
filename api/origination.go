package api

import (
	"carillon/api/wire"
	"carillon/trunk"
)

func noOrigination() error {
	return trunk.Errorf(trunk.NotFound, "The Voice Connector has no origination settings.")
}

func putOrigination(r *request, in *wire.PutVoiceConnectorOriginationRequest) (any, error) {
	w := in.Origination
	if len(w.Routes) == 0 && w.Disabled == nil {
		return nil, trunk.Errorf(trunk.Invalid, "Origination needs Routes or Disabled.")
	}
	var o *trunk.Origination
	_, err := r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		o = &trunk.Origination{Disabled: w.Disabled != nil && *w.Disabled}
		for i := range w.Routes {
			o.Routes = append(o.Routes, domainRoute(&w.Routes[i], c.RequireEncryption))
		}
		if err := trunk.CheckOrigination(o); err != nil {
			return err
		}
		if o.Disabled && c.Emergency() != nil {
			return errEmergency("origination")
		}
		c.Origination = o
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.PutVoiceConnectorOriginationResponse{Origination: wireOrigination(o)}, nil
}

func getOrigination(r *request, in *wire.GetVoiceConnectorOriginationRequest) (any, error) {
	c, err := r.connector(in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	if c.Origination == nil {
		return nil, noOrigination()
	}
	return &wire.GetVoiceConnectorOriginationResponse{Origination: wireOrigination(c.Origination)}, nil
}

func deleteOrigination(r *request, in *wire.DeleteVoiceConnectorOriginationRequest) (any, error) {
	_, err := r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		if c.Origination == nil {
			return noOrigination()
		}
		if c.Emergency() != nil {
			return errEmergency("origination")
		}
		c.Origination = nil
		return nil
	})
	return nil, err
}

// domainRoute translates a route. No member is required by the models. What is left out becomes: Priority 1, Weight 1,
// Protocol TCP when the connector requires encryption and UDP when not; a missing Port stays missing and a Port of 0,
// which the models allow, counts as missing. Only Host has no default: without one there is nowhere to call.
func domainRoute(w *wire.OriginationRoute, encrypted bool) trunk.Route {
	r := trunk.Route{Protocol: "UDP", Priority: 1, Weight: 1}
	if encrypted {
		r.Protocol = "TCP"
	}
	if w.Host != nil {
		r.Host = *w.Host
	}
	if w.Port != nil {
		r.Port = uint16(*w.Port)
	}
	if w.Protocol != nil {
		r.Protocol = string(*w.Protocol)
	}
	if w.Priority != nil {
		r.Priority = int(*w.Priority)
	}
	if w.Weight != nil {
		r.Weight = int(*w.Weight)
	}
	return r
}

func wireOrigination(o *trunk.Origination) *wire.Origination {
	w := &wire.Origination{Disabled: new(o.Disabled), Routes: []wire.OriginationRoute{}}
	for _, r := range o.Routes {
		route := wire.OriginationRoute{
			Host: new(r.Host), Priority: new(int32(r.Priority)), Protocol: new(wire.OriginationRouteProtocol(r.Protocol)),
			Weight: new(int32(r.Weight)),
		}
		if r.Port != 0 {
			route.Port = new(int32(r.Port))
		}
		w.Routes = append(w.Routes, route)
	}
	return w
}
