package api

import (
	"slices"
	"strings"

	"carillon/api/wire"
	"carillon/restjson"
	"carillon/trunk"
)

// tagOperations are the operations of tags, which name what they are about by its ARN.
func tagOperations() offered {
	return offered{
		wire.OpListTagsForResource: {taggedResource, awsHandler(listTags)},
		wire.OpTagResource:         {taggedResource, awsHandler(tagResource)},
		wire.OpUntagResource:       {taggedResource, awsHandler(untagResource)},
	}
}

// arnPattern is the models' pattern of an ARN, with what the ARN of a phone number has in its place: a plus sign, plain,
// percent-encoded or, from a query that nobody encoded, become a space.
const arnPattern = `arn[/:\-_.a-zA-Z0-9+% ]+`

// tagInput is the input of a tag operation, with an ARN that may be that of a phone number.
func tagInput(model *restjson.Shape) *restjson.Shape {
	input := *model
	input.Members = slices.Clone(model.Members)
	for i := range input.Members {
		if m := &input.Members[i]; m.Name == "ResourceARN" {
			arn := *m.Shape
			arn.Pattern = restjson.MustPattern(arnPattern)
			m.Shape = &arn
		}
	}
	return &input
}

// taggable is what an ARN names: exactly one of connector, group and number.
type taggable struct {
	region, account  string
	connector, group string
	number           trunk.Number
}

// parseTaggable reads the ARN of a resource that can have tags, in every form that was ever given out or written down:
// of any partition and any region, a connector as vc or voice-connector, a group as vcg or voice-connector-group, a
// phone number in all the spellings of its id.
func parseTaggable(arn string) (taggable, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && strings.HasPrefix(parts[1], "aws") && parts[2] == chimeService {
		t := taggable{region: parts[3], account: parts[4]}
		kind, id, _ := strings.Cut(parts[5], "/")
		switch {
		case id == "":
		case kind == "vc", kind == "voice-connector":
			t.connector = id
			return t, nil
		case kind == "vcg", kind == "voice-connector-group":
			t.group = id
			return t, nil
		case kind == "phone-number":
			if after, ok := strings.CutPrefix(id, " "); ok {
				id = "+" + after
			}
			if t.number = parseNumberID(id); t.number != "" {
				return t, nil
			}
		}
	}
	return taggable{}, trunk.Errorf(trunk.Invalid, "Invalid resource")
}

// taggedResource is the resource of the tag operations: the canonical ARN of what is named, in the caller's account
// whichever account the ARN has, so that another account's is not told from one that never was. For an ARN of nothing it
// is the account, and the handler refuses it.
func taggedResource(r *request) string {
	t, err := parseTaggable(r.taggedARN())
	switch {
	case err != nil:
		return wholeAccount(r)
	case t.group != "":
		return trunk.GroupARN(r.principal.Account, t.group)
	case t.number != "":
		return r.numberARN(t.number)
	}
	if c, ok := r.snapshot.Connector(t.connector); ok && c.Account == r.principal.Account && t.account == c.Account {
		return c.ARN()
	}
	return trunk.ConnectorARN(trunk.Region(t.region), r.principal.Account, t.connector)
}

// taggedARN reads the ARN of the request as its handler will read it: what is judged must be what is done. It is empty
// where the handler will refuse the request.
func (r *request) taggedARN() string {
	switch r.row.aws.ID {
	case wire.OpListTagsForResource:
		if in, err := decoded[wire.ListTagsForResourceRequest](r); err == nil {
			return string(*in.ResourceARN)
		}
	case wire.OpTagResource:
		if in, err := decoded[wire.TagResourceRequest](r); err == nil {
			return string(*in.ResourceARN)
		}
	case wire.OpUntagResource:
		if in, err := decoded[wire.UntagResourceRequest](r); err == nil {
			return string(*in.ResourceARN)
		}
	}
	return ""
}

func listTags(r *request, in *wire.ListTagsForResourceRequest) (any, error) {
	t, err := parseTaggable(string(*in.ResourceARN))
	if err != nil {
		return nil, err
	}
	tags, found := r.tagsOf(t)
	if !found {
		return nil, notFound()
	}
	answer := &wire.ListTagsForResourceResponse{Tags: []wire.Tag{}}
	for _, tag := range tags {
		answer.Tags = append(answer.Tags, wire.Tag{Key: new(wire.Sensitive(tag.Key)), Value: new(wire.Sensitive(tag.Value))})
	}
	return answer, nil
}

// tagsOf returns the tags of what the caller's account has of that name.
func (r *request) tagsOf(t taggable) (tags []trunk.Tag, found bool) {
	mine := r.principal.Account
	switch {
	case t.account != mine:
	case t.connector != "":
		if c, ok := r.snapshot.Connector(t.connector); ok && c.Account == mine {
			return c.Tags, true
		}
	case t.group != "":
		if g, ok := r.snapshot.Group(t.group); ok && g.Account == mine {
			return g.Tags, true
		}
	default:
		if n, ok := r.snapshot.Number(t.number); ok && n.HeldBy(mine, r.now) {
			return n.Tags, true
		}
	}
	return nil, false
}

// tagResource adds tags and replaces the values of keys that are there.
func tagResource(r *request, in *wire.TagResourceRequest) (any, error) {
	more := domainTags(in.Tags)
	if err := trunk.CheckTags(more); err != nil {
		return nil, err
	}
	return nil, r.changeTags(string(*in.ResourceARN), func(tags []trunk.Tag) ([]trunk.Tag, error) {
		for _, tag := range more {
			if at := slices.IndexFunc(tags, func(old trunk.Tag) bool { return old.Key == tag.Key }); at >= 0 {
				tags[at] = tag
			} else {
				tags = append(tags, tag)
			}
		}
		if len(tags) > trunk.MaxTags {
			return nil, trunk.Errorf(trunk.LimitExceeded, "The resource would have %d tags; at most %d are allowed.", len(tags), trunk.MaxTags)
		}
		return tags, nil
	})
}

// untagResource ignores keys that are not there: what the caller wants is already so.
func untagResource(r *request, in *wire.UntagResourceRequest) (any, error) {
	return nil, r.changeTags(string(*in.ResourceARN), func(tags []trunk.Tag) ([]trunk.Tag, error) {
		return slices.DeleteFunc(tags, func(tag trunk.Tag) bool { return slices.Contains(in.TagKeys, wire.Sensitive(tag.Key)) }), nil
	})
}

// changeTags stores what fn makes of the tags of the caller's resource with that ARN, in one transaction. fn gets a copy.
func (r *request) changeTags(arn string, fn func([]trunk.Tag) ([]trunk.Tag, error)) error {
	t, err := parseTaggable(arn)
	if err != nil {
		return err
	}
	return r.update(func(tx trunk.Tx) (err error) {
		e, tags, err := r.tagged(tx, t)
		if err != nil {
			return err
		}
		if *tags, err = fn(*tags); err != nil {
			return err
		}
		tx.Put(e)
		return nil
	})
}

// tagged returns a copy of what the caller's account has of that name, and where its tags are.
func (r *request) tagged(tx trunk.Tx, t taggable) (trunk.Entity, *[]trunk.Tag, error) {
	switch {
	case t.account != r.principal.Account:
		return nil, nil, notFound()
	case t.connector != "":
		c, ok, err := trunk.Get[*trunk.Connector](tx, trunk.EntityKey{Kind: trunk.KindConnector, ID: t.connector})
		if err == nil && (!ok || c.Account != r.principal.Account) {
			err = notFound()
		}
		if err != nil {
			return nil, nil, err
		}
		c = c.Clone()
		return c, &c.Tags, nil
	case t.group != "":
		g, err := r.group(tx, t.group)
		if err != nil {
			return nil, nil, err
		}
		g = g.Clone()
		return g, &g.Tags, nil
	}
	n, err := r.held(tx, t.number)
	if err != nil {
		return nil, nil, err
	}
	return n, &n.Tags, nil
}
