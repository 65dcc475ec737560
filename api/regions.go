package api

import (
	"carillon/api/wire"
	"carillon/trunk"
)

func listRegions(*request, *wire.ListAvailableVoiceConnectorRegionsRequest) (any, error) {
	return &wire.ListAvailableVoiceConnectorRegionsResponse{VoiceConnectorRegions: texts[wire.VoiceConnectorAWSRegion](trunk.Regions())}, nil
}
