package api

import (
	"carillon/api/wire"
	"carillon/iam"
	"carillon/restjson"
	"carillon/trunk"
)

// resourceTags returns the tags of what an ARN names, if the caller may act on it: as this transaction read them, else
// those of the snapshot.
func (r *request) resourceTags(arn string) []trunk.Tag {
	t, err := parseTaggable(arn)
	if err != nil {
		return nil
	}
	e, ok := r.fresh[t.key()]
	if !ok {
		e = r.known(t.key())
	}
	if now, tags := r.tagFacts(e); now == arn {
		return tags
	}
	return nil // it is where the policy was not asked about
}

// addRequestTags adds the tags that the request would set and the keys of those it would set or take away. They are read
// as the handler will read them; where it will refuse the request they are left out.
func (r *request) addRequestTags(c iam.Context) {
	var (
		tags []wire.Tag
		keys []wire.Sensitive
	)
	switch {
	case r.row.aws == nil:
	case r.row.aws.ID == wire.OpCreateVoiceConnector:
		if in, err := decoded[wire.CreateVoiceConnectorRequest](r); err == nil {
			tags = in.Tags
		}
	case r.row.aws.ID == wire.OpTagResource:
		if in, err := decoded[wire.TagResourceRequest](r); err == nil {
			tags = in.Tags
		}
	case r.row.aws.ID == wire.OpUntagResource:
		if in, err := decoded[wire.UntagResourceRequest](r); err == nil {
			keys = in.TagKeys
		}
	}
	for _, t := range tags {
		c.Add(iam.KeyRequestTag+string(*t.Key), string(*t.Value))
		keys = append(keys, *t.Key)
	}
	for _, key := range keys {
		c.Add(iam.KeyTagKeys, string(key))
	}
}

// decoded reads the input of an operation of AWS.
func decoded[In any](r *request) (*In, error) {
	in := new(In)
	return in, restjson.Decode(r.row.inputs[r.namespace], restjson.Request{Labels: r.labels, Query: r.query, Body: r.body}, in)
}
