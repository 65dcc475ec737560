package api

import (
	"carillon/api/wire"
	"carillon/trunk"
)

// serviceOperations are the operations of a connector's other parts. Their puts replace the part as a whole.
func serviceOperations() offered {
	return offered{
		wire.OpPutVoiceConnectorStreamingConfiguration:    {oneConnector, awsHandler(putStreaming)},
		wire.OpGetVoiceConnectorStreamingConfiguration:    {oneConnector, awsHandler(getStreaming)},
		wire.OpDeleteVoiceConnectorStreamingConfiguration: {oneConnector, awsHandler(deleteStreaming)},

		wire.OpPutVoiceConnectorLoggingConfiguration: {oneConnector, awsHandler(putLogging)},
		wire.OpGetVoiceConnectorLoggingConfiguration: {oneConnector, awsHandler(getLogging)},

		wire.OpPutVoiceConnectorEmergencyCallingConfiguration:    {oneConnector, awsHandler(putEmergency)},
		wire.OpGetVoiceConnectorEmergencyCallingConfiguration:    {oneConnector, awsHandler(getEmergency)},
		wire.OpDeleteVoiceConnectorEmergencyCallingConfiguration: {oneConnector, awsHandler(deleteEmergency)},

		wire.OpPutVoiceConnectorExternalSystemsConfiguration:    {oneConnector, awsHandler(putExternalSystems)},
		wire.OpGetVoiceConnectorExternalSystemsConfiguration:    {oneConnector, awsHandler(getExternalSystems)},
		wire.OpDeleteVoiceConnectorExternalSystemsConfiguration: {oneConnector, awsHandler(deleteExternalSystems)},

		wire.OpPutVoiceConnectorProxy:    {oneConnector, awsHandler(putProxy)},
		wire.OpGetVoiceConnectorProxy:    {oneConnector, awsHandler(getProxy)},
		wire.OpDeleteVoiceConnectorProxy: {oneConnector, awsHandler(deleteProxy)},
	}
}

// services is what trunk.Services keeps of a connector, each part found by its field.
type services[T any] struct {
	// noun is what a client calls the part.
	noun string
	part func(*trunk.Services) **T
}

// put replaces the part of the caller's connector with that id.
func (s services[T]) put(r *request, id string, part *T) error {
	_, err := r.change(id, func(c *trunk.Connector) error {
		s.set(c, part)
		return nil
	})
	return err
}

// set replaces the part; nil takes it away.
func (s services[T]) set(c *trunk.Connector, part *T) {
	if c.Services == nil {
		c.Services = new(trunk.Services)
	}
	*s.part(c.Services) = part
	if *c.Services == (trunk.Services{}) {
		c.Services = nil
	}
}

// get returns the part of the caller's connector with that id.
func (s services[T]) get(r *request, id string) (*T, error) {
	c, err := r.connector(id)
	if err != nil {
		return nil, err
	}
	return s.of(c)
}

// of returns the part, or says that there is none.
func (s services[T]) of(c *trunk.Connector) (*T, error) {
	if c.Services != nil {
		if part := *s.part(c.Services); part != nil {
			return part, nil
		}
	}
	return nil, trunk.Errorf(trunk.NotFound, "The Voice Connector has no %s.", s.noun)
}

// remove takes the part away, or says that there is none.
func (s services[T]) remove(r *request, id string) error {
	_, err := r.change(id, func(c *trunk.Connector) error {
		if _, err := s.of(c); err != nil {
			return err
		}
		s.set(c, nil)
		return nil
	})
	return err
}

func logging() services[trunk.Logging] {
	return services[trunk.Logging]{"logging configuration", func(s *trunk.Services) **trunk.Logging { return &s.Logging }}
}

func putLogging(r *request, in *wire.PutVoiceConnectorLoggingConfigurationRequest) (any, error) {
	w := in.LoggingConfiguration
	l := &trunk.Logging{SIP: isTrue(w.EnableSIPLogs), MediaMetrics: isTrue(w.EnableMediaMetricLogs)}
	if err := logging().put(r, in.VoiceConnectorID, l); err != nil {
		return nil, err
	}
	return &wire.PutVoiceConnectorLoggingConfigurationResponse{LoggingConfiguration: wireLogging(l)}, nil
}

func getLogging(r *request, in *wire.GetVoiceConnectorLoggingConfigurationRequest) (any, error) {
	l, err := logging().get(r, in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	return &wire.GetVoiceConnectorLoggingConfigurationResponse{LoggingConfiguration: wireLogging(l)}, nil
}

// wireLogging always has both members: Terraform compares them with what it did not send.
func wireLogging(l *trunk.Logging) *wire.LoggingConfiguration {
	return &wire.LoggingConfiguration{EnableMediaMetricLogs: new(l.MediaMetrics), EnableSIPLogs: new(l.SIP)}
}

func externalSystems() services[trunk.ExternalSystems] {
	return services[trunk.ExternalSystems]{"external systems configuration", func(s *trunk.Services) **trunk.ExternalSystems {
		return &s.ExternalSystems
	}}
}

func putExternalSystems(r *request, in *wire.PutVoiceConnectorExternalSystemsConfigurationRequest) (any, error) {
	e := &trunk.ExternalSystems{
		SessionBorderControllers: texts[string](in.SessionBorderControllerTypes),
		ContactCenters:           texts[string](in.ContactCenterSystemTypes),
	}
	if err := trunk.CheckExternalSystems(e); err != nil {
		return nil, err
	}
	if err := externalSystems().put(r, in.VoiceConnectorID, e); err != nil {
		return nil, err
	}
	return &wire.PutVoiceConnectorExternalSystemsConfigurationResponse{ExternalSystemsConfiguration: wireExternalSystems(e)}, nil
}

func getExternalSystems(r *request, in *wire.GetVoiceConnectorExternalSystemsConfigurationRequest) (any, error) {
	e, err := externalSystems().get(r, in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	return &wire.GetVoiceConnectorExternalSystemsConfigurationResponse{ExternalSystemsConfiguration: wireExternalSystems(e)}, nil
}

func deleteExternalSystems(r *request, in *wire.DeleteVoiceConnectorExternalSystemsConfigurationRequest) (any, error) {
	return nil, externalSystems().remove(r, in.VoiceConnectorID)
}

func wireExternalSystems(e *trunk.ExternalSystems) *wire.ExternalSystemsConfiguration {
	return &wire.ExternalSystemsConfiguration{
		ContactCenterSystemTypes:     texts[wire.ContactCenterSystemType](e.ContactCenters),
		SessionBorderControllerTypes: texts[wire.SessionBorderControllerType](e.SessionBorderControllers),
	}
}

func proxy() services[trunk.Proxy] {
	return services[trunk.Proxy]{"proxy configuration", func(s *trunk.Services) **trunk.Proxy { return &s.Proxy }}
}

func putProxy(r *request, in *wire.PutVoiceConnectorProxyRequest) (any, error) {
	p := &trunk.Proxy{
		ExpiryMinutes: int(*in.DefaultSessionExpiryMinutes), Disabled: isTrue(in.Disabled), Countries: in.PhoneNumberPoolCountries,
	}
	if in.FallBackPhoneNumber != nil {
		p.Fallback = string(*in.FallBackPhoneNumber)
	}
	if err := r.rules().CheckProxy(p); err != nil {
		return nil, err
	}
	if err := proxy().put(r, in.VoiceConnectorID, p); err != nil {
		return nil, err
	}
	return &wire.PutVoiceConnectorProxyResponse{Proxy: wireProxy(p)}, nil
}

func getProxy(r *request, in *wire.GetVoiceConnectorProxyRequest) (any, error) {
	p, err := proxy().get(r, in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	return &wire.GetVoiceConnectorProxyResponse{Proxy: wireProxy(p)}, nil
}

func deleteProxy(r *request, in *wire.DeleteVoiceConnectorProxyRequest) (any, error) {
	return nil, proxy().remove(r, in.VoiceConnectorID)
}

func wireProxy(p *trunk.Proxy) *wire.Proxy {
	w := &wire.Proxy{
		DefaultSessionExpiryMinutes: new(int32(p.ExpiryMinutes)), Disabled: new(p.Disabled), PhoneNumberCountries: texts[string](p.Countries),
	}
	if p.Fallback != "" {
		w.FallBackPhoneNumber = new(wire.Sensitive(p.Fallback))
	}
	return w
}

// isTrue reads a flag that may be left out.
func isTrue(flag *bool) bool { return flag != nil && *flag }

// texts translates a list of names; it is never nil, because AWS answers an empty list and not null.
func texts[To, From ~string](list []From) []To {
	all := make([]To, 0, len(list))
	for _, text := range list {
		all = append(all, To(text))
	}
	return all
}
