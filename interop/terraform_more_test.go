package interop

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	voice "github.com/aws/aws-sdk-go-v2/service/chimesdkvoice"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkvoice/types"
)

func TestTerraformStreaming(t *testing.T) {
	tf := startTerraform(t)
	vc := tf.connector(true)
	get := func() (*voice.GetVoiceConnectorStreamingConfigurationOutput, error) {
		return tf.api.GetVoiceConnectorStreamingConfiguration(tf.ctx, &voice.GetVoiceConnectorStreamingConfigurationInput{VoiceConnectorId: vc})
	}
	read := func() object {
		s := must(get())(t).StreamingConfiguration
		targets := object{} // a set
		for _, target := range s.StreamingNotificationTargets {
			targets[string(target.NotificationTarget)] = true
		}
		insights := []object{}
		if m := s.MediaInsightsConfiguration; m != nil {
			insights = append(insights, object{"configuration_arn": *m.ConfigurationArn, "disabled": *m.Disabled})
		}
		return object{"data_retention": *s.DataRetentionInHours, "disabled": *s.Disabled, "streaming_notification_targets": targets, "media_insights_configuration": insights}
	}
	put := func(retention int32, insights *types.MediaInsightsConfiguration, targets ...types.NotificationTarget) {
		config := &types.StreamingConfiguration{DataRetentionInHours: &retention, Disabled: aws.Bool(false), MediaInsightsConfiguration: insights}
		for _, target := range targets {
			config.StreamingNotificationTargets = append(config.StreamingNotificationTargets, types.StreamingNotificationTarget{NotificationTarget: target})
		}
		must(tf.api.PutVoiceConnectorStreamingConfiguration(tf.ctx, &voice.PutVoiceConnectorStreamingConfigurationInput{VoiceConnectorId: vc, StreamingConfiguration: config}))(t)
	}
	put(5, nil, types.NotificationTargetSqs)
	tf.plan(read(), object{"data_retention": 5, "disabled": false, "streaming_notification_targets": object{"SQS": true}, "media_insights_configuration": []object{}})
	arn := "arn:aws:chime:us-east-1:111122223333:media-insights-pipeline-configuration/one"
	put(2, &types.MediaInsightsConfiguration{ConfigurationArn: &arn, Disabled: aws.Bool(false)}, types.NotificationTargetSqs, types.NotificationTargetSns)
	config := object{"data_retention": 2, "disabled": false, "streaming_notification_targets": object{"SQS": true, "SNS": true},
		"media_insights_configuration": []object{{"configuration_arn": arn, "disabled": false}}}
	tf.plan(read(), config)
	tf.plan(read(), config) // import: the id is the connector's

	remove := func() error {
		_, err := tf.api.DeleteVoiceConnectorStreamingConfiguration(tf.ctx, &voice.DeleteVoiceConnectorStreamingConfigurationInput{VoiceConnectorId: vc})
		return err
	}
	tf.disappears(remove, fails(get))
}

func TestTerraformLogging(t *testing.T) {
	tf := startTerraform(t)
	vc := tf.connector(true)
	read := func() object {
		l := must(tf.api.GetVoiceConnectorLoggingConfiguration(tf.ctx, &voice.GetVoiceConnectorLoggingConfigurationInput{VoiceConnectorId: vc}))(t).LoggingConfiguration
		return object{"enable_sip_logs": *l.EnableSIPLogs, "enable_media_metric_logs": *l.EnableMediaMetricLogs}
	}
	put := func(on bool) {
		must(tf.api.PutVoiceConnectorLoggingConfiguration(tf.ctx, &voice.PutVoiceConnectorLoggingConfigurationInput{VoiceConnectorId: vc,
			LoggingConfiguration: &types.LoggingConfiguration{EnableSIPLogs: &on, EnableMediaMetricLogs: &on}}))(t)
	}
	put(true)
	tf.plan(read(), object{"enable_sip_logs": true, "enable_media_metric_logs": true})
	tf.plan(read(), object{"enable_sip_logs": true, "enable_media_metric_logs": true}) // import
	// There is no delete: Terraform puts both to false, and so does whoever deletes behind its back; the plan is then a
	// change, never an error.
	put(false)
	tf.plan(read(), object{"enable_sip_logs": false, "enable_media_metric_logs": false})
	must(tf.api.DeleteVoiceConnector(tf.ctx, &voice.DeleteVoiceConnectorInput{VoiceConnectorId: vc}))(t)
	_, err := tf.api.GetVoiceConnectorLoggingConfiguration(tf.ctx, &voice.GetVoiceConnectorLoggingConfigurationInput{VoiceConnectorId: vc})
	tf.gone("read after the connector is destroyed", err)
}

// TestTerraformGlobalSettings: the resource's id is the account's, which the provider asks of STS.
func TestTerraformGlobalSettings(t *testing.T) {
	tf := startTerraform(t)
	read := func() *types.VoiceConnectorSettings {
		s := must(tf.api.GetGlobalSettings(tf.ctx, &voice.GetGlobalSettingsInput{}))(t).VoiceConnector
		if s == nil { // Terraform dereferences it
			t.Fatal("VoiceConnector is nil")
		}
		return s
	}
	put := func(settings *types.VoiceConnectorSettings) {
		must(tf.api.UpdateGlobalSettings(tf.ctx, &voice.UpdateGlobalSettingsInput{VoiceConnector: settings}))(t)
	}
	for _, bucket := range []string{"records-one", "records-two"} {
		put(&types.VoiceConnectorSettings{CdrBucket: &bucket})
		if got := read().CdrBucket; got == nil || *got != bucket {
			t.Errorf("CdrBucket %v, want %s", got, bucket)
		}
	}
	put(&types.VoiceConnectorSettings{})
	if got := read().CdrBucket; got != nil {
		t.Errorf("CdrBucket %q after destroy, want none", *got)
	}
}

// TestTerraformSipRule: the applications that a rule names cannot exist here, and are not looked for.
func TestTerraformSipRule(t *testing.T) {
	tf := startTerraform(t)
	vc := must(tf.api.GetVoiceConnector(tf.ctx, &voice.GetVoiceConnectorInput{VoiceConnectorId: tf.connector(true)}))(t).VoiceConnector
	get := func(id *string) (*voice.GetSipRuleOutput, error) {
		return tf.api.GetSipRule(tf.ctx, &voice.GetSipRuleInput{SipRuleId: id})
	}
	read := func(id *string) object {
		r := must(get(id))(t).SipRule
		targets := object{} // a set
		for _, a := range r.TargetApplications {
			targets[*a.SipMediaApplicationId] = object{"priority": *a.Priority, "aws_region": *a.AwsRegion}
		}
		return object{"name": *r.Name, "trigger_type": r.TriggerType, "trigger_value": *r.TriggerValue, "disabled": *r.Disabled, "target_applications": targets}
	}
	target := func(id string) types.SipRuleTargetApplication {
		return types.SipRuleTargetApplication{SipMediaApplicationId: &id, Priority: aws.Int32(1), AwsRegion: aws.String("us-east-1")}
	}
	const one, two = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	settings := object{"priority": 1, "aws_region": "us-east-1"}
	id := must(tf.api.CreateSipRule(tf.ctx, &voice.CreateSipRuleInput{Name: aws.String("rule-1"), TriggerType: types.SipRuleTriggerTypeRequestUriHostname,
		TriggerValue: vc.OutboundHostName, TargetApplications: []types.SipRuleTargetApplication{target(one)}}))(t).SipRule.SipRuleId
	config := object{"name": "rule-1", "trigger_type": "RequestUriHostname", "trigger_value": *vc.OutboundHostName, "disabled": false, "target_applications": object{one: settings}}
	tf.plan(read(id), config)
	// Only what changed is sent beside the name.
	must(tf.api.UpdateSipRule(tf.ctx, &voice.UpdateSipRuleInput{SipRuleId: id, Name: aws.String("rule-2"), Disabled: aws.Bool(true)}))(t)
	config["name"], config["disabled"] = "rule-2", true
	tf.plan(read(id), config)
	must(tf.api.UpdateSipRule(tf.ctx, &voice.UpdateSipRuleInput{SipRuleId: id, Name: aws.String("rule-2"),
		TargetApplications: []types.SipRuleTargetApplication{target(one), target(two)}}))(t)
	config["target_applications"] = object{one: settings, two: settings}
	tf.plan(read(id), config)
	tf.plan(read(aws.String(*id)), config) // import

	must(tf.api.DeleteSipRule(tf.ctx, &voice.DeleteSipRuleInput{SipRuleId: id}))(t)
	_, err := get(id)
	tf.gone("read after delete", err)
	_, err = tf.api.DeleteSipRule(tf.ctx, &voice.DeleteSipRuleInput{SipRuleId: id})
	tf.gone("delete of what disappeared", err)
}

// TestTerraformNotOffered: resources that this program has no operations for fail at their create, in plain words.
func TestTerraformNotOffered(t *testing.T) {
	tf := startTerraform(t)
	_, err := tf.api.CreateSipMediaApplication(tf.ctx, &voice.CreateSipMediaApplicationInput{Name: aws.String("sma"), AwsRegion: aws.String("us-east-1"),
		Endpoints: []types.SipMediaApplicationEndpoint{{LambdaArn: aws.String("arn:aws:lambda:us-east-1:111122223333:function:one")}}})
	typed[*types.ForbiddenException](t, "aws_chimesdkvoice_sip_media_application", err, "SIP media applications, which run on AWS Lambda, are not offered")
	_, err = tf.api.CreateVoiceProfileDomain(tf.ctx, &voice.CreateVoiceProfileDomainInput{Name: aws.String("vpd"),
		ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{KmsKeyArn: aws.String("arn:aws:kms:us-east-1:111122223333:key/one")}})
	typed[*types.ForbiddenException](t, "aws_chimesdkvoice_voice_profile_domain", err, "Voice profiles and their domains are not offered")
}
