package interop

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	voice "github.com/aws/aws-sdk-go-v2/service/chimesdkvoice"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkvoice/types"
)

// The tests here make the calls that Terraform's AWS provider makes for its resources aws_chime_voice_connector* and
// aws_chimesdkvoice_*, in its order and with its client, aws-sdk-go-v2. The provider itself is a download that tests
// cannot have. Each resource is created, read, planned again, updated, imported, deleted, and deleted behind
// Terraform's back.

// terraform is the provider's client and a context.
type terraform struct {
	*testing.T
	ctx context.Context
	api *voice.Client
	n   *process
}

func startTerraform(t *testing.T) terraform {
	n := node(t)
	tf := terraform{t, t.Context(), sdk(n), n}
	// The provider's acceptance tests ask this first.
	must(tf.api.ListVoiceConnectors(tf.ctx, &voice.ListVoiceConnectorsInput{}))(t)
	return tf
}

// plan holds what was read against what is configured: a difference is a change that Terraform would make again and
// again.
func (tf terraform) plan(read, configured object) {
	tf.Helper()
	equal(tf.T, "plan", read, configured)
}

// gone tells whether a read says that the resource is no more. Terraform takes nothing but the typed NotFoundException
// for it; any other error of a read loses the resource from its state.
func (tf terraform) gone(what string, err error) {
	tf.Helper()
	typed[*types.NotFoundException](tf.T, what, err, "")
}

// notFound is what every delete of Terraform's takes for success.
func notFound(err error) bool {
	_, ok := errors.AsType[*types.NotFoundException](err)
	return ok
}

// disappears deletes a resource, which then is gone and may be deleted once more.
func (tf terraform) disappears(remove, get func() error) {
	tf.Helper()
	if err := remove(); err != nil {
		tf.Fatal(err)
	}
	tf.gone("read after delete", get())
	if err := remove(); err != nil && !notFound(err) {
		tf.Errorf("delete of what disappeared: %v", err)
	}
}

// fails is the error of a call whose answer is of no interest.
func fails[T any](call func() (T, error)) func() error {
	return func() error {
		_, err := call()
		return err
	}
}

// connector makes the connector that other resources are of.
func (tf terraform) connector(encrypted bool) *string {
	tf.Helper()
	made := must(tf.api.CreateVoiceConnector(tf.ctx, &voice.CreateVoiceConnectorInput{Name: aws.String("vc-other"), RequireEncryption: &encrypted,
		AwsRegion: types.VoiceConnectorAwsRegionUsEast1}))(tf.T)
	return made.VoiceConnector.VoiceConnectorId
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func TestTerraformVoiceConnector(t *testing.T) {
	tf := startTerraform(t)
	tags := func(arn *string) object {
		out := object{}
		for _, tag := range must(tf.api.ListTagsForResource(tf.ctx, &voice.ListTagsForResourceInput{ResourceARN: arn}))(t).Tags {
			out[*tag.Key] = *tag.Value
		}
		return out
	}
	read := func(id *string) object {
		vc := must(tf.api.GetVoiceConnector(tf.ctx, &voice.GetVoiceConnectorInput{VoiceConnectorId: id}))(t).VoiceConnector
		return object{"name": *vc.Name, "require_encryption": *vc.RequireEncryption, "aws_region": vc.AwsRegion, "tags": tags(vc.VoiceConnectorArn)}
	}
	create := func(in *voice.CreateVoiceConnectorInput) *types.VoiceConnector {
		return must(tf.api.CreateVoiceConnector(tf.ctx, in))(t).VoiceConnector
	}
	config := object{"name": "vc-1", "require_encryption": true, "aws_region": "us-east-1", "tags": object{"key1": "value1"}}
	vc := create(&voice.CreateVoiceConnectorInput{Name: aws.String("vc-1"), RequireEncryption: aws.Bool(true), AwsRegion: types.VoiceConnectorAwsRegionUsEast1,
		Tags: []types.Tag{{Key: aws.String("key1"), Value: aws.String("value1")}}})
	id, arn := vc.VoiceConnectorId, vc.VoiceConnectorArn
	tf.plan(read(id), config)
	if *vc.OutboundHostName == "" || *arn == "" {
		t.Errorf("computed attributes: %q, %q", *vc.OutboundHostName, *arn)
	}

	// Tags go from one to two, then to one, before the rest is updated.
	must(tf.api.TagResource(tf.ctx, &voice.TagResourceInput{ResourceARN: arn, Tags: []types.Tag{
		{Key: aws.String("key1"), Value: aws.String("updated")}, {Key: aws.String("key2"), Value: aws.String("value2")}}}))(t)
	config["tags"] = object{"key1": "updated", "key2": "value2"}
	tf.plan(read(id), config)
	must(tf.api.UntagResource(tf.ctx, &voice.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"key1"}}))(t)
	must(tf.api.UpdateVoiceConnector(tf.ctx, &voice.UpdateVoiceConnectorInput{VoiceConnectorId: id, Name: aws.String("vc-2"), RequireEncryption: aws.Bool(false)}))(t)
	config["tags"], config["name"], config["require_encryption"] = object{"key2": "value2"}, "vc-2", false
	tf.plan(read(id), config)
	tf.plan(read(aws.String(*id)), config) // import: nothing but the id is known

	must(tf.api.DeleteVoiceConnector(tf.ctx, &voice.DeleteVoiceConnectorInput{VoiceConnectorId: id}))(t)
	_, err := tf.api.GetVoiceConnector(tf.ctx, &voice.GetVoiceConnectorInput{VoiceConnectorId: id})
	tf.gone("read after delete", err)
	_, err = tf.api.DeleteVoiceConnector(tf.ctx, &voice.DeleteVoiceConnectorInput{VoiceConnectorId: id})
	tf.gone("delete of what disappeared", err)
	_, err = tf.api.ListTagsForResource(tf.ctx, &voice.ListTagsForResourceInput{ResourceARN: arn})
	tf.gone("tags of what disappeared", err)
	// Without tags the member is not sent, and none come back.
	bare := create(&voice.CreateVoiceConnectorInput{Name: aws.String("vc-3"), RequireEncryption: aws.Bool(true), AwsRegion: types.VoiceConnectorAwsRegionUsWest2})
	tf.plan(read(bare.VoiceConnectorId), object{"name": "vc-3", "require_encryption": true, "aws_region": "us-west-2", "tags": object{}})
}

func TestTerraformGroup(t *testing.T) {
	tf := startTerraform(t)
	vc := tf.connector(true)
	read := func(id *string) object {
		g := must(tf.api.GetVoiceConnectorGroup(tf.ctx, &voice.GetVoiceConnectorGroupInput{VoiceConnectorGroupId: id}))(t).VoiceConnectorGroup
		connectors := []object{}
		for _, item := range g.VoiceConnectorItems {
			connectors = append(connectors, object{"voice_connector_id": *item.VoiceConnectorId, "priority": *item.Priority})
		}
		return object{"name": *g.Name, "connector": connectors}
	}
	update := func(id *string, name string, items ...types.VoiceConnectorItem) {
		t.Helper()
		// Terraform sends an empty list where the connectors have not changed: a new name alone empties the group.
		items = append([]types.VoiceConnectorItem{}, items...)
		must(tf.api.UpdateVoiceConnectorGroup(tf.ctx, &voice.UpdateVoiceConnectorGroupInput{VoiceConnectorGroupId: id, Name: &name, VoiceConnectorItems: items}))(t)
	}
	create := func() *string {
		return must(tf.api.CreateVoiceConnectorGroup(tf.ctx, &voice.CreateVoiceConnectorGroupInput{Name: aws.String("vcg-1"),
			VoiceConnectorItems: []types.VoiceConnectorItem{{VoiceConnectorId: vc, Priority: aws.Int32(1)}}}))(t).VoiceConnectorGroup.VoiceConnectorGroupId
	}
	id := create()
	tf.plan(read(id), object{"name": "vcg-1", "connector": []object{{"voice_connector_id": *vc, "priority": 1}}})
	must(tf.api.UpdateVoiceConnector(tf.ctx, &voice.UpdateVoiceConnectorInput{VoiceConnectorId: vc, Name: aws.String("vc-other"), RequireEncryption: aws.Bool(false)}))(t)
	update(id, "vcg-2", types.VoiceConnectorItem{VoiceConnectorId: vc, Priority: aws.Int32(3)})
	tf.plan(read(id), object{"name": "vcg-2", "connector": []object{{"voice_connector_id": *vc, "priority": 3}}})
	tf.plan(read(aws.String(*id)), object{"name": "vcg-2", "connector": []object{{"voice_connector_id": *vc, "priority": 3}}})
	update(id, "vcg-3")
	tf.plan(read(id), object{"name": "vcg-3", "connector": []object{}})

	// Destroy: read, empty, read, delete.
	update(id, "vcg-3", types.VoiceConnectorItem{VoiceConnectorId: vc, Priority: aws.Int32(1)})
	read(id)
	update(id, "vcg-3")
	read(id)
	must(tf.api.DeleteVoiceConnectorGroup(tf.ctx, &voice.DeleteVoiceConnectorGroupInput{VoiceConnectorGroupId: id}))(t)
	_, err := tf.api.GetVoiceConnectorGroup(tf.ctx, &voice.GetVoiceConnectorGroupInput{VoiceConnectorGroupId: id})
	tf.gone("read after delete", err)
	_, err = tf.api.DeleteVoiceConnectorGroup(tf.ctx, &voice.DeleteVoiceConnectorGroupInput{VoiceConnectorGroupId: id})
	tf.gone("delete of what disappeared", err)
	must(tf.api.DeleteVoiceConnector(tf.ctx, &voice.DeleteVoiceConnectorInput{VoiceConnectorId: vc}))(t)
}

func TestTerraformTermination(t *testing.T) {
	tf := startTerraform(t)
	vc := tf.connector(true)
	get := func() (*voice.GetVoiceConnectorTerminationOutput, error) {
		return tf.api.GetVoiceConnectorTermination(tf.ctx, &voice.GetVoiceConnectorTerminationInput{VoiceConnectorId: vc})
	}
	read := func() object {
		r := must(get())(t).Termination
		// Terraform dereferences these two.
		return object{"calling_regions": sorted(r.CallingRegions), "cidr_allow_list": sorted(r.CidrAllowedList), "cps_limit": *r.CpsLimit,
			"disabled": *r.Disabled, "default_phone_number": aws.ToString(r.DefaultPhoneNumber)}
	}
	put := func(regions []string, cidr string, cps int32) {
		must(tf.api.PutVoiceConnectorTermination(tf.ctx, &voice.PutVoiceConnectorTerminationInput{VoiceConnectorId: vc,
			Termination: &types.Termination{CallingRegions: regions, CidrAllowedList: []string{cidr}, CpsLimit: &cps}}))(t)
	}
	// disabled and default_phone_number are not sent, and read back as their defaults.
	put([]string{"US", "RU"}, "50.35.78.97/32", 1)
	tf.plan(read(), object{"calling_regions": []string{"RU", "US"}, "cidr_allow_list": []string{"50.35.78.97/32"}, "cps_limit": 1, "disabled": false, "default_phone_number": ""})
	put([]string{"US", "RU", "CA"}, "100.35.78.97/32", 1)
	config := object{"calling_regions": []string{"CA", "RU", "US"}, "cidr_allow_list": []string{"100.35.78.97/32"}, "cps_limit": 1, "disabled": false, "default_phone_number": ""}
	tf.plan(read(), config)
	tf.plan(read(), config) // import: the id is the connector's

	remove := func() error {
		_, err := tf.api.DeleteVoiceConnectorTermination(tf.ctx, &voice.DeleteVoiceConnectorTerminationInput{VoiceConnectorId: vc})
		return err
	}
	tf.disappears(remove, fails(get))
}

func TestTerraformTerminationCredentials(t *testing.T) {
	tf := startTerraform(t)
	vc := tf.connector(true)
	must(tf.api.PutVoiceConnectorTermination(tf.ctx, &voice.PutVoiceConnectorTerminationInput{VoiceConnectorId: vc,
		Termination: &types.Termination{CallingRegions: []string{"US"}, CidrAllowedList: []string{"50.35.78.0/27"}, CpsLimit: aws.Int32(1)}}))(t)
	list := func() (*voice.ListVoiceConnectorTerminationCredentialsOutput, error) {
		return tf.api.ListVoiceConnectorTerminationCredentials(tf.ctx, &voice.ListVoiceConnectorTerminationCredentialsInput{VoiceConnectorId: vc})
	}
	users := func() []string {
		t.Helper()
		u := must(list())(t).Usernames
		if u == nil { // no list is "not found" to Terraform
			t.Error("Usernames is nil")
		}
		return sorted(u)
	}
	put := func(names ...string) {
		var all []types.Credential
		for _, name := range names {
			all = append(all, types.Credential{Username: &name, Password: aws.String(name + "!")})
		}
		must(tf.api.PutVoiceConnectorTerminationCredentials(tf.ctx, &voice.PutVoiceConnectorTerminationCredentialsInput{VoiceConnectorId: vc, Credentials: all}))(t)
	}
	remove := func(names ...string) {
		must(tf.api.DeleteVoiceConnectorTerminationCredentials(tf.ctx, &voice.DeleteVoiceConnectorTerminationCredentialsInput{VoiceConnectorId: vc, Usernames: names}))(t)
	}
	put("test1")
	equal(t, "plan", users(), []string{"test1"})
	put("test1", "test2")
	equal(t, "plan", users(), []string{"test1", "test2"})
	// Deleted by others, the resource is still there, with no users: the plan of the acceptance test is empty.
	remove("test1", "test2")
	equal(t, "plan after they disappeared", users(), []string{})
	put("test1")
	remove("test1")
	equal(t, "after delete", users(), []string{})
	must(tf.api.DeleteVoiceConnectorTermination(tf.ctx, &voice.DeleteVoiceConnectorTerminationInput{VoiceConnectorId: vc}))(t)
	must(tf.api.DeleteVoiceConnector(tf.ctx, &voice.DeleteVoiceConnectorInput{VoiceConnectorId: vc}))(t)
	_, err := list()
	tf.gone("read after everything is destroyed", err)
}

func TestTerraformOrigination(t *testing.T) {
	tf := startTerraform(t)
	vc := tf.connector(true)
	get := func() (*voice.GetVoiceConnectorOriginationOutput, error) {
		return tf.api.GetVoiceConnectorOrigination(tf.ctx, &voice.GetVoiceConnectorOriginationInput{VoiceConnectorId: vc})
	}
	read := func() object {
		o := must(get())(t).Origination
		routes := object{} // a set
		for _, r := range o.Routes {
			routes[*r.Host] = object{"port": *r.Port, "protocol": r.Protocol, "priority": *r.Priority, "weight": *r.Weight}
		}
		return object{"route": routes, "disabled": *o.Disabled}
	}
	put := func(routes ...types.OriginationRoute) {
		must(tf.api.PutVoiceConnectorOrigination(tf.ctx, &voice.PutVoiceConnectorOriginationInput{VoiceConnectorId: vc, Origination: &types.Origination{Routes: routes}}))(t)
	}
	route := func(host string, protocol types.OriginationRouteProtocol, priority, weight int32) types.OriginationRoute {
		// 5060 is Terraform's own default, and it sends it.
		return types.OriginationRoute{Host: &host, Port: aws.Int32(5060), Protocol: protocol, Priority: &priority, Weight: &weight}
	}
	first := object{"port": 5060, "protocol": "TCP", "priority": 1, "weight": 1}
	put(route("200.100.12.1", types.OriginationRouteProtocolTcp, 1, 1))
	tf.plan(read(), object{"route": object{"200.100.12.1": first}, "disabled": false})
	// A route over UDP is taken although the connector requires encryption.
	put(route("200.100.12.1", types.OriginationRouteProtocolTcp, 1, 1), route("209.166.124.147", types.OriginationRouteProtocolUdp, 2, 30))
	config := object{"route": object{"200.100.12.1": first, "209.166.124.147": object{"port": 5060, "protocol": "UDP", "priority": 2, "weight": 30}}, "disabled": false}
	tf.plan(read(), config)
	tf.plan(read(), config) // import: the id is the connector's

	remove := func() error {
		_, err := tf.api.DeleteVoiceConnectorOrigination(tf.ctx, &voice.DeleteVoiceConnectorOriginationInput{VoiceConnectorId: vc})
		return err
	}
	tf.disappears(remove, fails(get))
}
