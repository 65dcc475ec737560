package api

import (
	"carillon/api/wire"
	"carillon/trunk"
)

func streaming() services[trunk.Streaming] {
	return services[trunk.Streaming]{"streaming configuration", func(s *trunk.Services) **trunk.Streaming { return &s.Streaming }}
}

// putStreaming keeps the setting. Nothing is streamed here, so there is no path out of an encrypted connector to refuse
// it for.
func putStreaming(r *request, in *wire.PutVoiceConnectorStreamingConfigurationRequest) (any, error) {
	s, err := domainStreaming(in.StreamingConfiguration)
	if err != nil {
		return nil, err
	}
	if err := streaming().put(r, in.VoiceConnectorID, s); err != nil {
		return nil, err
	}
	return &wire.PutVoiceConnectorStreamingConfigurationResponse{StreamingConfiguration: wireStreaming(s)}, nil
}

func getStreaming(r *request, in *wire.GetVoiceConnectorStreamingConfigurationRequest) (any, error) {
	s, err := streaming().get(r, in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	return &wire.GetVoiceConnectorStreamingConfigurationResponse{StreamingConfiguration: wireStreaming(s)}, nil
}

func deleteStreaming(r *request, in *wire.DeleteVoiceConnectorStreamingConfigurationRequest) (any, error) {
	return nil, streaming().remove(r, in.VoiceConnectorID)
}

func domainStreaming(w *wire.StreamingConfiguration) (*trunk.Streaming, error) {
	s := &trunk.Streaming{RetentionHours: int(*w.DataRetentionInHours), Disabled: isTrue(w.Disabled)}
	for _, target := range w.StreamingNotificationTargets {
		if target.NotificationTarget == nil {
			return nil, trunk.Errorf(trunk.Invalid, "Each of StreamingNotificationTargets needs a NotificationTarget.")
		}
		s.Targets = append(s.Targets, string(*target.NotificationTarget))
	}
	if m := w.MediaInsightsConfiguration; m != nil {
		s.Insights = &trunk.MediaInsights{Disabled: isTrue(m.Disabled)}
		if m.ConfigurationARN != nil {
			s.Insights.ARN = string(*m.ConfigurationARN)
		}
	}
	return s, trunk.CheckStreaming(s)
}

// wireStreaming always has Disabled: Terraform compares it with what it did not send.
func wireStreaming(s *trunk.Streaming) *wire.StreamingConfiguration {
	w := &wire.StreamingConfiguration{DataRetentionInHours: new(int32(s.RetentionHours)), Disabled: new(s.Disabled)}
	for _, target := range s.Targets {
		w.StreamingNotificationTargets = append(w.StreamingNotificationTargets, wire.StreamingNotificationTarget{
			NotificationTarget: new(wire.NotificationTarget(target)),
		})
	}
	if m := s.Insights; m != nil {
		w.MediaInsightsConfiguration = &wire.MediaInsightsConfiguration{Disabled: new(m.Disabled)}
		if m.ARN != "" {
			w.MediaInsightsConfiguration.ConfigurationARN = new(wire.Sensitive(m.ARN))
		}
	}
	return w
}
