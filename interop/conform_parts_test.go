package interop

import "strings"

// groupTrials make ${g1}, ${g2} and ${g3}, of which only ${g1} has connectors at the end.
func groupTrials() []trial {
	return []trial{
		{operation: "CreateVoiceConnectorGroup", in: `{"Name":"first","VoiceConnectorItems":[{"VoiceConnectorId":"${vc}","Priority":1}],"CallDistributionType":"LoadBalancedDistribution"}`,
			want: `{"VoiceConnectorGroup":{"VoiceConnectorGroupId":"${g1=}","Name":"first","VoiceConnectorItems":[{"VoiceConnectorId":"${vc}","Priority":1}],
				"VoiceConnectorGroupArn":"${groupArn=}","CreatedTimestamp":"*","UpdatedTimestamp":"*","CallDistributionType":"*"}}`},
		{operation: "CreateVoiceConnectorGroup", in: `{"Name":"spread","CallDistributionType":"LoadBalancedDistribution"}`, whole: true,
			want: `{"VoiceConnectorGroup":{"VoiceConnectorGroupId":"${spread=}","CallDistributionType":"LoadBalancedDistribution"}}`},
		{operation: "UpdateVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${spread}","Name":"spread","VoiceConnectorItems":[],"CallDistributionType":"PriorityWeightedDistribution"}`,
			want: `{"VoiceConnectorGroup":{"CallDistributionType":"PriorityWeightedDistribution"}}`},
		{operation: "DeleteVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${spread}"}`},
		{operation: "CreateVoiceConnectorGroup", in: `{"Name":"second"}`, want: `{"VoiceConnectorGroup":{"VoiceConnectorGroupId":"${g2=}","VoiceConnectorItems":[]}}`},
		{operation: "CreateVoiceConnectorGroup", in: `{"Name":"third"}`, want: `{"VoiceConnectorGroup":{"VoiceConnectorGroupId":"${g3=}"}}`},
		{operation: "CreateVoiceConnectorGroup", in: `{"Name":"fourth","VoiceConnectorItems":[{"VoiceConnectorId":"${vc}","Priority":100}]}`, fails: "BadRequestException", says: "99"},
		{operation: "GetVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}"}`,
			want: `{"VoiceConnectorGroup":{"VoiceConnectorGroupId":"${g1}","Name":"first","VoiceConnectorGroupArn":"${groupArn}"}}`},
		{operation: "GetVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${nobody}"}`, fails: "NotFoundException"},
		{operation: "UpdateVoiceConnectorGroup",
			in: `{"VoiceConnectorGroupId":"${g1}","Name":"renamed","VoiceConnectorItems":[{"VoiceConnectorId":"${vc}","Priority":2},{"VoiceConnectorId":"${two}","Priority":1}]}`,
			want: `{"VoiceConnectorGroup":{"VoiceConnectorGroupId":"${g1}","Name":"renamed",
				"VoiceConnectorItems":["...",{"VoiceConnectorId":"${two}","Priority":1},{"VoiceConnectorId":"${vc}","Priority":2}]}}`},
		{operation: "UpdateVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${nobody}","Name":"renamed","VoiceConnectorItems":[]}`, fails: "NotFoundException"},
		{operation: "ListVoiceConnectorGroups", pages: &pages{list: "VoiceConnectorGroups", key: "VoiceConnectorGroupId", size: 2, sizes: []int{2, 1}, all: []string{"${g1}", "${g2}", "${g3}"}}},
		{operation: "ListVoiceConnectorGroups", in: `{"NextToken":"bm90LW91cnM"}`, fails: "BadRequestException", says: "NextToken"},
		// What is in use stays.
		{operation: "DeleteVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}"}`, fails: "ConflictException"},
		{operation: "DeleteVoiceConnector", in: `{"VoiceConnectorId":"${vc}"}`, fails: "ConflictException", code: "VoiceConnectorGroupAssociationsExist"},
		{operation: "DeleteVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${nobody}"}`, fails: "NotFoundException"},
	}
}

// groupEndTrials take the groups down.
func groupEndTrials() []trial {
	return []trial{
		{operation: "UpdateVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}","Name":"empty","VoiceConnectorItems":[]}`, want: `{"VoiceConnectorGroup":{"VoiceConnectorItems":[]}}`},
		{operation: "DeleteVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}"}`},
		{operation: "GetVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}"}`, fails: "NotFoundException"},
	}
}

// emergencyTrials come after a termination and an origination: those cannot go while this is there.
func emergencyTrials() []trial {
	const numbers = `{"DNIS":[{"EmergencyPhoneNumber":"+12065550911","TestPhoneNumber":"+12065550933","CallingCountry":"US"}]}`
	return []trial{
		{operation: "GetVoiceConnectorEmergencyCallingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "PutVoiceConnectorEmergencyCallingConfiguration", in: `{"VoiceConnectorId":"${vc}","EmergencyCallingConfiguration":` + numbers + `}`,
			want: `{"EmergencyCallingConfiguration":` + numbers + `}`},
		{operation: "PutVoiceConnectorEmergencyCallingConfiguration", in: `{"VoiceConnectorId":"${vc}","EmergencyCallingConfiguration":{"DNIS":[{"EmergencyPhoneNumber":"emergency","CallingCountry":"US"}]}}`,
			fails: "BadRequestException"},
		{operation: "GetVoiceConnectorEmergencyCallingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"EmergencyCallingConfiguration":` + numbers + `}`},
		{operation: "DeleteVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}"}`, fails: "BadRequestException"},
		{operation: "DeleteVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${vc}"}`, fails: "BadRequestException"},
		{operation: "DeleteVoiceConnectorEmergencyCallingConfiguration", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
		{operation: "DeleteVoiceConnectorEmergencyCallingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`},
		{operation: "GetVoiceConnectorEmergencyCallingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
	}
}

func streamingTrials() []trial {
	return []trial{
		{operation: "GetVoiceConnectorStreamingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "PutVoiceConnectorStreamingConfiguration",
			in: `{"VoiceConnectorId":"${vc}","StreamingConfiguration":{"DataRetentionInHours":5,"Disabled":false,"StreamingNotificationTargets":[{"NotificationTarget":"SQS"}],
				"MediaInsightsConfiguration":{"Disabled":false,"ConfigurationArn":"arn:aws:chime:us-east-1:111122223333:media-insights-pipeline-configuration/one"}}}`,
			want: `{"StreamingConfiguration":{"DataRetentionInHours":5,"Disabled":false,"StreamingNotificationTargets":[{"NotificationTarget":"SQS"}],
				"MediaInsightsConfiguration":{"Disabled":false,"ConfigurationArn":"arn:aws:chime:us-east-1:111122223333:media-insights-pipeline-configuration/one"}}}`},
		{operation: "PutVoiceConnectorStreamingConfiguration", in: `{"VoiceConnectorId":"${vc}","StreamingConfiguration":{"DataRetentionInHours":5,"Disabled":false,"StreamingNotificationTargets":[{"NotificationTarget":"Pigeon"}]}}`,
			fails: "BadRequestException"},
		{operation: "GetVoiceConnectorStreamingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`,
			want: `{"StreamingConfiguration":{"DataRetentionInHours":5,"Disabled":false,"StreamingNotificationTargets":[{"NotificationTarget":"SQS"}]}}`},
		{operation: "DeleteVoiceConnectorStreamingConfiguration", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
		{operation: "DeleteVoiceConnectorStreamingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`},
		{operation: "GetVoiceConnectorStreamingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
	}
}

func loggingTrials() []trial {
	return []trial{
		{operation: "PutVoiceConnectorLoggingConfiguration", in: `{"VoiceConnectorId":"${vc}","LoggingConfiguration":{"EnableSIPLogs":true,"EnableMediaMetricLogs":false}}`,
			want: `{"LoggingConfiguration":{"EnableSIPLogs":true,"EnableMediaMetricLogs":false}}`},
		{operation: "PutVoiceConnectorLoggingConfiguration", in: `{"VoiceConnectorId":"${nobody}","LoggingConfiguration":{"EnableSIPLogs":true}}`, fails: "NotFoundException"},
		{operation: "GetVoiceConnectorLoggingConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"LoggingConfiguration":{"EnableSIPLogs":true,"EnableMediaMetricLogs":false}}`},
		{operation: "GetVoiceConnectorLoggingConfiguration", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
	}
}

func externalTrials() []trial {
	const systems = `"SessionBorderControllerTypes":["RIBBON_SBC","AVAYA_SBCE"],"ContactCenterSystemTypes":["GENESYS_ENGAGE_ON_PREMISES"]`
	return []trial{
		{operation: "GetVoiceConnectorExternalSystemsConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "PutVoiceConnectorExternalSystemsConfiguration", in: `{"VoiceConnectorId":"${vc}",` + systems + `}`, want: `{"ExternalSystemsConfiguration":{` + systems + `}}`},
		{operation: "PutVoiceConnectorExternalSystemsConfiguration", in: `{"VoiceConnectorId":"${vc}","SessionBorderControllerTypes":["HOME_MADE"]}`, fails: "BadRequestException"},
		{operation: "GetVoiceConnectorExternalSystemsConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"ExternalSystemsConfiguration":{` + systems + `}}`},
		{operation: "DeleteVoiceConnectorExternalSystemsConfiguration", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
		{operation: "DeleteVoiceConnectorExternalSystemsConfiguration", in: `{"VoiceConnectorId":"${vc}"}`},
		{operation: "GetVoiceConnectorExternalSystemsConfiguration", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
	}
}

func proxyTrials() []trial {
	return []trial{
		{operation: "GetVoiceConnectorProxy", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "PutVoiceConnectorProxy", in: `{"VoiceConnectorId":"${vc}","DefaultSessionExpiryMinutes":60,"PhoneNumberPoolCountries":["US"],"FallBackPhoneNumber":"+12065550100","Disabled":true}`,
			want: `{"Proxy":{"DefaultSessionExpiryMinutes":60,"PhoneNumberCountries":["US"],"FallBackPhoneNumber":"+12065550100","Disabled":true}}`},
		{operation: "PutVoiceConnectorProxy", in: `{"VoiceConnectorId":"${vc}","DefaultSessionExpiryMinutes":60,"PhoneNumberPoolCountries":["usa"]}`, fails: "BadRequestException"},
		{operation: "GetVoiceConnectorProxy", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"Proxy":{"DefaultSessionExpiryMinutes":60,"PhoneNumberCountries":["US"],"Disabled":true}}`},
		{operation: "DeleteVoiceConnectorProxy", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
		{operation: "DeleteVoiceConnectorProxy", in: `{"VoiceConnectorId":"${vc}"}`},
		{operation: "GetVoiceConnectorProxy", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
	}
}

func tagTrials() []trial {
	return []trial{
		{operation: "ListTagsForResource", in: `{"ResourceARN":"${arn}"}`, want: `{"Tags":[]}`},
		{operation: "TagResource", in: `{"ResourceARN":"${arn}","Tags":[{"Key":"team","Value":"voice"},{"Key":"stage","Value":"test"}]}`},
		{operation: "TagResource", in: `{"ResourceARN":"${arn}","Tags":[{"Key":"stage","Value":"live"}]}`},
		{operation: "TagResource", in: `{"ResourceARN":"arn:aws:chime:us-east-1:${account}:vc/${nobody}","Tags":[{"Key":"team","Value":"voice"}]}`, fails: "NotFoundException"},
		{operation: "ListTagsForResource", in: `{"ResourceARN":"${arn}"}`, want: `{"Tags":["...",{"Key":"team","Value":"voice"},{"Key":"stage","Value":"live"}]}`},
		{operation: "UntagResource", in: `{"ResourceARN":"${arn}","TagKeys":["team","none"]}`},
		{operation: "UntagResource", in: `{"ResourceARN":"arn:aws:chime:us-east-1:${account}:vc/${nobody}","TagKeys":["team"]}`, fails: "NotFoundException"},
		{operation: "ListTagsForResource", in: `{"ResourceARN":"${arn}"}`, want: `{"Tags":[{"Key":"stage","Value":"live"}]}`},
		{operation: "ListTagsForResource", in: `{"ResourceARN":"arn:aws:chime:us-east-1:${account}:vc/${nobody}"}`, fails: "NotFoundException"},
		{operation: "TagResource", in: `{"ResourceARN":"${groupArn}","Tags":[{"Key":"kind","Value":"group"}]}`},
		{operation: "ListTagsForResource", in: `{"ResourceARN":"${groupArn}"}`, want: `{"Tags":[{"Key":"kind","Value":"group"}]}`},
		// Tags can come with a connector, to clients that know it.
		{operation: "CreateVoiceConnector", in: `{"Name":"tagged","RequireEncryption":true,"Tags":[{"Key":"born","Value":"with"}]}`, whole: true,
			want: `{"VoiceConnector":{"VoiceConnectorId":"${tagged=}","VoiceConnectorArn":"${taggedArn=}"}}`},
		{operation: "ListTagsForResource", in: `{"ResourceARN":"${taggedArn}"}`, want: `{"Tags":[{"Key":"born","Value":"with"}]}`},
		{operation: "DeleteVoiceConnector", in: `{"VoiceConnectorId":"${tagged}"}`},
	}
}

func ruleTrials() []trial {
	const targets = `[{"SipMediaApplicationId":"${nothing}","Priority":1,"AwsRegion":"us-east-1"}]`
	return []trial{
		{operation: "CreateSipRule", in: `{"Name":"rule","TriggerType":"RequestUriHostname","TriggerValue":"${host}","Disabled":false,"TargetApplications":` + targets + `}`,
			want: `{"SipRule":{"SipRuleId":"${rule=}","Name":"rule","Disabled":false,"TriggerType":"RequestUriHostname","TriggerValue":"${host}","TargetApplications":` + targets + `,
				"CreatedTimestamp":"*","UpdatedTimestamp":"*"}}`},
		{operation: "CreateSipRule", in: `{"Name":"other","TriggerType":"ToPhoneNumber","TriggerValue":"+1${area}5559999","Disabled":true,"TargetApplications":` + targets + `}`,
			want: `{"SipRule":{"SipRuleId":"${rule2=}","Disabled":true}}`},
		{operation: "CreateSipRule", in: `{"Name":"other","TriggerType":"Whim","TriggerValue":"+1${area}5550100","TargetApplications":` + targets + `}`, fails: "BadRequestException"},
		{operation: "GetSipRule", in: `{"SipRuleId":"${rule}"}`, want: `{"SipRule":{"SipRuleId":"${rule}","Name":"rule","TargetApplications":` + targets + `}}`},
		{operation: "GetSipRule", in: `{"SipRuleId":"${nothing}"}`, fails: "NotFoundException"},
		{operation: "UpdateSipRule", in: `{"SipRuleId":"${rule}","Name":"renamed","Disabled":true}`,
			want: `{"SipRule":{"SipRuleId":"${rule}","Name":"renamed","Disabled":true,"TriggerType":"RequestUriHostname","TargetApplications":` + targets + `}}`},
		{operation: "UpdateSipRule", in: `{"SipRuleId":"${rule}","Name":"renamed","TargetApplications":[{"SipMediaApplicationId":"${nobody}","Priority":2,"AwsRegion":"us-west-2"}]}`,
			want: `{"SipRule":{"Disabled":true,"TargetApplications":[{"SipMediaApplicationId":"${nobody}","Priority":2,"AwsRegion":"us-west-2"}]}}`},
		{operation: "UpdateSipRule", in: `{"SipRuleId":"${nothing}","Name":"renamed"}`, fails: "NotFoundException"},
		{operation: "ListSipRules", pages: &pages{list: "SipRules", key: "SipRuleId", size: 1, sizes: []int{1, 1}, all: []string{"${rule}", "${rule2}"}}},
		{operation: "ListSipRules", in: `{"SipMediaApplicationId":"${nobody}"}`, want: `{"SipRules":[{"SipRuleId":"${rule}"}]}`},
		{operation: "ListSipRules", in: `{"NextToken":"bm90LW91cnM"}`, fails: "BadRequestException", says: "NextToken"},
		{operation: "DeleteSipRule", in: `{"SipRuleId":"${rule}"}`},
		{operation: "DeleteSipRule", in: `{"SipRuleId":"${nothing}"}`, fails: "NotFoundException"},
		{operation: "GetSipRule", in: `{"SipRuleId":"${rule}"}`, fails: "NotFoundException"},
	}
}

func settingsTrials() []trial {
	return []trial{
		{operation: "UpdateGlobalSettings", in: `{"VoiceConnector":{"CdrBucket":"call-records"},"BusinessCalling":{"CdrBucket":"business-records"}}`},
		{operation: "GetGlobalSettings", want: `{"VoiceConnector":{"CdrBucket":"call-records"},"BusinessCalling":{"CdrBucket":"business-records"}}`},
		{operation: "UpdateGlobalSettings", in: `{"VoiceConnector":{"CdrBucket":"Not_A_Bucket"}}`, fails: "BadRequestException", only: "chime-sdk-voice"},
		// Terraform's destroy: the member stays, the bucket goes.
		{operation: "UpdateGlobalSettings", in: `{"VoiceConnector":{}}`},
		{operation: "GetGlobalSettings", want: `{"VoiceConnector":{"CdrBucket":null}}`},
		{operation: "ListAvailableVoiceConnectorRegions", want: `{"VoiceConnectorRegions":["...","us-east-1","us-west-2","eu-central-1"]}`},
		{operation: "ValidateE911Address",
			in: `{"AwsAccountId":"${account}","StreetNumber":"410","StreetInfo":"Terry Ave N","City":"Seattle","State":"WA","Country":"US","PostalCode":"98109"}`,
			want: `{"ValidationResult":2,"AddressExternalId":null,"CandidateAddressList":[],
				"Address":{"streetNumber":"410","streetName":"TERRY AVE N","city":"SEATTLE","state":"WA","country":"US","postalCode":"98109"}}`},
		{operation: "ValidateE911Address", in: `{"AwsAccountId":"111122223333","StreetNumber":"410","StreetInfo":"Terry Ave N","City":"Seattle","State":"WA","Country":"US","PostalCode":"98109"}`,
			fails: "ForbiddenException", says: "AwsAccountId"},
		{operation: "ValidateE911Address", in: `{"AwsAccountId":" ","StreetNumber":"410","StreetInfo":"Terry Ave N","City":"Seattle","State":"WA","Country":"US","PostalCode":"98109"}`,
			fails: "BadRequestException"},
	}
}

// numberTrials order the numbers of the pool that have the seat's area code, and end with ${n0} and ${n1} in use.
func numberTrials() []trial {
	return []trial{
		{operation: "ListSupportedPhoneNumberCountries", in: `{"ProductType":"VoiceConnector"}`, want: `{"PhoneNumberCountries":["...",{"CountryCode":"US"}]}`},
		{operation: "ListSupportedPhoneNumberCountries", in: `{"ProductType":"Pigeons"}`, fails: "BadRequestException"},
		{operation: "SearchAvailablePhoneNumbers", in: `{"AreaCode":"${area}"}`,
			pages: &pages{list: "E164PhoneNumbers", size: 2, sizes: []int{2, 2, 1}, all: []string{"${n0}", "${n1}", "${n2}", "${n3}", "${n4}"}}},
		{operation: "SearchAvailablePhoneNumbers", in: `{"AreaCode":"${area}","Country":"US","PhoneNumberType":"Local"}`, want: `{"E164PhoneNumbers":["...","${n0}","${n4}"]}`},
		{operation: "SearchAvailablePhoneNumbers", in: `{"AreaCode":"${area}","PhoneNumberType":"TollFree"}`, want: `{"E164PhoneNumbers":[],"NextToken":null}`},
		{operation: "SearchAvailablePhoneNumbers", in: `{"TollFreePrefix":"800","PhoneNumberType":"TollFree"}`, want: `{"E164PhoneNumbers":[]}`},
		{operation: "SearchAvailablePhoneNumbers", in: `{"TollFreePrefix":"801"}`, fails: "BadRequestException"},
		// Where a number is at home is more than this program knows; it may find some or none.
		{operation: "SearchAvailablePhoneNumbers", in: `{"AreaCode":"${area}","City":"Seattle","State":"WA"}`, want: `{"E164PhoneNumbers":["..."]}`},
		{operation: "SearchAvailablePhoneNumbers", in: `{"AreaCode":"${area}","NextToken":"bm90LW91cnM"}`, fails: "BadRequestException", says: "NextToken"},
		{operation: "CreatePhoneNumberOrder", in: `{"ProductType":"VoiceConnector","E164PhoneNumbers":["${n0}","${n1}","${n2}"]}`,
			want: `{"PhoneNumberOrder":{"PhoneNumberOrderId":"${order=}","ProductType":"VoiceConnector","CreatedTimestamp":"*","UpdatedTimestamp":"*",
				"OrderedPhoneNumbers":["...",{"E164PhoneNumber":"${n0}"},{"E164PhoneNumber":"${n1}"},{"E164PhoneNumber":"${n2}"}]}}`},
		{operation: "CreatePhoneNumberOrder", in: `{"ProductType":"VoiceConnector","E164PhoneNumbers":["${n3}"],"Name":"spare"}`, want: `{"PhoneNumberOrder":{"PhoneNumberOrderId":"${order2=}"}}`},
		{operation: "CreatePhoneNumberOrder", in: `{"ProductType":"VoiceConnector","E164PhoneNumbers":[]}`, fails: "BadRequestException"},
		{operation: "GetPhoneNumberOrder", in: `{"PhoneNumberOrderId":"${order}"}`,
			want: `{"PhoneNumberOrder":{"PhoneNumberOrderId":"${order}","Status":"Successful","OrderedPhoneNumbers":["...",{"E164PhoneNumber":"${n2}","Status":"Acquired"}]}}`},
		{operation: "GetPhoneNumberOrder", in: `{"PhoneNumberOrderId":"${nothing}"}`, fails: "NotFoundException"},
		{operation: "ListPhoneNumberOrders", pages: &pages{list: "PhoneNumberOrders", key: "PhoneNumberOrderId", size: 1, sizes: []int{1, 1}, all: []string{"${order}", "${order2}"}}},
		{operation: "ListPhoneNumberOrders", in: `{"NextToken":"bm90LW91cnM"}`, fails: "BadRequestException", says: "NextToken"},

		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n0}"}`,
			want: `{"PhoneNumber":{"PhoneNumberId":"${id0=}","E164PhoneNumber":"${n0}","Country":"US","Type":"Local","ProductType":"VoiceConnector","Status":"Unassigned",
				"CreatedTimestamp":"*","UpdatedTimestamp":"*"}}`},
		// The id that answers have is fed back by scripts as it is.
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${id0}"}`, want: `{"PhoneNumber":{"E164PhoneNumber":"${n0}"}}`},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"+1${area}5559999"}`, fails: "NotFoundException"},
		// Numbers that are in the pool, or another account's, are nobody's here.
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n4}"}`, fails: "NotFoundException"},
		{operation: "UpdatePhoneNumber", in: `{"PhoneNumberId":"${n0}","CallingName":"Front Desk"}`, want: `{"PhoneNumber":{"E164PhoneNumber":"${n0}","CallingName":"Front Desk"}}`},
		{operation: "UpdatePhoneNumber", in: `{"PhoneNumberId":"${n0}","Name":"desk"}`, whole: true, want: `{"PhoneNumber":{"Name":"desk","CallingName":"Front Desk"}}`},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n3}"}`, want: `{"PhoneNumber":{"Name":"spare","OrderId":"${order2}"}}`},
		{operation: "UpdatePhoneNumber", in: `{"PhoneNumberId":"${n3}","ProductType":"SipMediaApplicationDialIn"}`, want: `{"PhoneNumber":{"ProductType":"SipMediaApplicationDialIn"}}`},
		{operation: "BatchUpdatePhoneNumber", in: `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":"${n3}","ProductType":"VoiceConnector"}]}`, want: `{"PhoneNumberErrors":[]}`},
		{operation: "BatchUpdatePhoneNumber", in: `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":"${n3}","Name":"renamed"}]}`, whole: true, want: `{"PhoneNumberErrors":[]}`},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n3}"}`, want: `{"PhoneNumber":{"ProductType":"VoiceConnector","CallingName":null}}`},
		{operation: "UpdatePhoneNumber", in: `{"PhoneNumberId":"+1${area}5559999","CallingName":"Front Desk"}`, fails: "NotFoundException"},
		{operation: "BatchUpdatePhoneNumber", in: `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":"${n1}","CallingName":"Back Door"},{"PhoneNumberId":"+1${area}5559999","CallingName":"No One"}]}`,
			want: `{"PhoneNumberErrors":[{"ErrorCode":"NotFound","PhoneNumberId":"*","ErrorMessage":"*"}]}`},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n1}"}`, want: `{"PhoneNumber":{"CallingName":"Back Door"}}`},
		{operation: "BatchUpdatePhoneNumber", in: `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":"${n1}","ProductType":"Pigeons"}]}`, fails: "BadRequestException"},
		{operation: "UpdatePhoneNumberSettings", in: `{"CallingName":"Carillon"}`},
		{operation: "UpdatePhoneNumberSettings", in: `{"CallingName":"sixteen letters."}`, fails: "BadRequestException"},
		{operation: "GetPhoneNumberSettings", want: `{"CallingName":"Carillon","CallingNameUpdatedTimestamp":"*"}`},
	}
}

// associationTrials give numbers to connectors and groups and take them away.
func associationTrials() []trial {
	return []trial{
		{operation: "AssociatePhoneNumbersWithVoiceConnector", in: `{"VoiceConnectorId":"${vc}","E164PhoneNumbers":["${n0}","${n1}"]}`, want: `{"PhoneNumberErrors":[]}`},
		{operation: "AssociatePhoneNumbersWithVoiceConnector", in: `{"VoiceConnectorId":"${nobody}","E164PhoneNumbers":["${n0}"]}`, fails: "NotFoundException"},
		{operation: "AssociatePhoneNumbersWithVoiceConnector", in: `{"VoiceConnectorId":"${two}","E164PhoneNumbers":["${n0}"],"ForceAssociate":false}`,
			want: `{"PhoneNumberErrors":[{"ErrorCode":"*","ErrorMessage":"*","PhoneNumberId":"*"}]}`},
		{operation: "PutVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}","Termination":{"CallingRegions":["US"],"CidrAllowedList":["10.1.0.0/16"],"DefaultPhoneNumber":"${n0}"}}`,
			want: `{"Termination":{"DefaultPhoneNumber":"${n0}"}}`},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n0}"}`, want: `{"PhoneNumber":{"Status":"Assigned","Associations":[{"Name":"VoiceConnectorId","Value":"${vc}","AssociatedTimestamp":"*"}]}}`},
		{operation: "ListPhoneNumbers", in: `{"FilterName":"VoiceConnectorId","FilterValue":"${vc}"}`,
			pages: &pages{list: "PhoneNumbers", key: "E164PhoneNumber", size: 1, sizes: []int{1, 1}, all: []string{"${n0}", "${n1}"}}},
		{operation: "ListPhoneNumbers", in: `{"Status":"Unassigned","ProductType":"VoiceConnector"}`,
			pages: &pages{list: "PhoneNumbers", key: "E164PhoneNumber", size: 3, sizes: []int{2}, all: []string{"${n2}", "${n3}"}}},
		{operation: "ListPhoneNumbers", in: `{"NextToken":"bm90LW91cnM"}`, fails: "BadRequestException", says: "NextToken"},
		{operation: "AssociatePhoneNumbersWithVoiceConnector", in: `{"VoiceConnectorId":"${three}","E164PhoneNumbers":["${n3}"]}`, want: `{"PhoneNumberErrors":[]}`},
		{operation: "DeleteVoiceConnector", in: `{"VoiceConnectorId":"${three}"}`, fails: "ConflictException", code: "PhoneNumberAssociationsExist"},
		{operation: "DisassociatePhoneNumbersFromVoiceConnector", in: `{"VoiceConnectorId":"${three}","E164PhoneNumbers":["${n3}"]}`, want: `{"PhoneNumberErrors":[]}`},
		// A number in use is not deleted; Conflict is not modelled there.
		{operation: "DeletePhoneNumber", in: `{"PhoneNumberId":"${n0}"}`, fails: "BadRequestException"},
		{operation: "AssociatePhoneNumbersWithVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}","E164PhoneNumbers":["${n0}","${n2}"]}`,
			want: `{"PhoneNumberErrors":[{"ErrorCode":"*","ErrorMessage":"*","PhoneNumberId":"*"}]}`},
		{operation: "AssociatePhoneNumbersWithVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}","E164PhoneNumbers":["${n0}"],"ForceAssociate":true}`, want: `{"PhoneNumberErrors":[]}`},
		{operation: "AssociatePhoneNumbersWithVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${nobody}","E164PhoneNumbers":["${n0}"]}`, fails: "NotFoundException"},
		{operation: "ListPhoneNumbers", in: `{"FilterName":"VoiceConnectorGroupId","FilterValue":"${g1}"}`,
			pages: &pages{list: "PhoneNumbers", key: "E164PhoneNumber", size: 5, sizes: []int{2}, all: []string{"${n0}", "${n2}"}}},
		{operation: "DisassociatePhoneNumbersFromVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${g1}","E164PhoneNumbers":["${n0}","${n2}"]}`, want: `{"PhoneNumberErrors":[]}`},
		{operation: "DisassociatePhoneNumbersFromVoiceConnectorGroup", in: `{"VoiceConnectorGroupId":"${nobody}","E164PhoneNumbers":["${n0}"]}`, fails: "NotFoundException"},
		{operation: "DisassociatePhoneNumbersFromVoiceConnector", in: `{"VoiceConnectorId":"${vc}","E164PhoneNumbers":["${n1}"]}`, want: `{"PhoneNumberErrors":[]}`},
		{operation: "DisassociatePhoneNumbersFromVoiceConnector", in: `{"VoiceConnectorId":"${nobody}","E164PhoneNumbers":["${n1}"]}`, fails: "NotFoundException"},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n1}"}`, want: `{"PhoneNumber":{"Status":"Unassigned","Associations":[]}}`},
	}
}

// deletionTrials put numbers into the deletion queue and take one back.
func deletionTrials() []trial {
	return []trial{
		{operation: "DeletePhoneNumber", in: `{"PhoneNumberId":"${n0}"}`},
		{operation: "DeletePhoneNumber", in: `{"PhoneNumberId":"+1${area}5559999"}`, fails: "NotFoundException"},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n0}"}`, want: `{"PhoneNumber":{"E164PhoneNumber":"${n0}","DeletionTimestamp":"*"}}`},
		{operation: "RestorePhoneNumber", in: `{"PhoneNumberId":"${n0}"}`, want: `{"PhoneNumber":{"E164PhoneNumber":"${n0}","Status":"Unassigned","DeletionTimestamp":null}}`},
		{operation: "RestorePhoneNumber", in: `{"PhoneNumberId":"+1${area}5559999"}`, fails: "NotFoundException"},
		{operation: "BatchDeletePhoneNumber", in: `{"PhoneNumberIds":["${n2}","+1${area}5559999"]}`, want: `{"PhoneNumberErrors":[{"ErrorCode":"NotFound"}]}`},
		{operation: "BatchDeletePhoneNumber", in: `{"PhoneNumberIds":["` + strings.Repeat(`+1${area}5559999","`, 100) + `+1${area}5559999"]}`, fails: "BadRequestException", says: "100"},
		{operation: "GetPhoneNumber", in: `{"PhoneNumberId":"${n2}"}`, want: `{"PhoneNumber":{"DeletionTimestamp":"*"}}`},
	}
}
