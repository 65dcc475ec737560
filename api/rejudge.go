package api

import (
	"slices"

	"carillon/iam"
	"carillon/trunk"
)

// A policy is asked about what the snapshot says of a thing: its region and its tags. On a node that is behind, the
// transaction finds it changed: another node has tagged it a moment ago, so that a Deny forbids what the snapshot allowed.

// judgement is one question that was put to the policy.
type judgement struct {
	arn string
	// lenient says that a policy that says nothing is no refusal.
	lenient bool
	refusal func() error
}

// ask puts a question to the policy, and keeps it where the transaction may have to put it again.
func (r *request) ask(j judgement) error {
	if r.principal.Policy != nil && !slices.ContainsFunc(r.judged, func(k judgement) bool { return k.arn == j.arn && k.lenient == j.lenient }) {
		r.judged = append(r.judged, j)
	}
	return r.answer(j, j.arn)
}

// answer is what the policy says to a question about an ARN.
func (r *request) answer(j judgement, arn string) error {
	switch d := r.decision(arn); {
	case d == iam.Allow, j.lenient && d != iam.ExplicitDeny:
		return nil
	}
	return j.refusal()
}

// rejudge puts the questions about e, which the transaction has just read, once more where it is not as the snapshot has
// it. It answers before the handler looks at e: who may not touch it is not told what is wrong with it, either.
func (r *request) rejudge(e trunk.Entity) error {
	if r.principal.Policy == nil {
		return nil
	}
	key := e.EntityKey()
	arn, tags := r.tagFacts(e)
	if arn == "" {
		return nil // not of a kind that policies ask about, or not the caller's
	}
	if r.fresh == nil {
		r.fresh = map[trunk.EntityKey]trunk.Entity{}
	}
	r.fresh[key] = e
	if knownARN, knownTags := r.tagFacts(r.known(key)); arn == knownARN && slices.Equal(tags, knownTags) {
		return nil
	}
	for _, j := range slices.Clone(r.judged) {
		if t, err := parseTaggable(j.arn); err != nil || t.key() != key {
			continue
		}
		if err := r.answer(j, arn); err != nil {
			return err
		}
	}
	return nil
}

// tagFacts returns what a policy may ask about an entity that the caller may act on; "" for any other.
func (r *request) tagFacts(e trunk.Entity) (arn string, tags []trunk.Tag) {
	switch e := e.(type) {
	case *trunk.Connector:
		if r.operatedConnector(e) {
			return e.ARN(), e.Tags
		}
	case *trunk.Group:
		if e.Account == r.principal.Account {
			return e.ARN(), e.Tags
		}
	case *trunk.PhoneNumber:
		if e.HeldBy(r.principal.Account, r.now) {
			return e.ARN(), e.Tags
		}
	}
	return "", nil
}

// known returns what the snapshot has of that key; nil for nothing.
func (r *request) known(key trunk.EntityKey) trunk.Entity {
	switch key.Kind {
	case trunk.KindConnector:
		if c, ok := r.snapshot.Connector(key.ID); ok {
			return c
		}
	case trunk.KindGroup:
		if g, ok := r.snapshot.Group(key.ID); ok {
			return g
		}
	case trunk.KindNumber:
		if n, ok := r.snapshot.Number(trunk.Number(key.ID)); ok {
			return n
		}
	}
	return nil
}

// key names what t names as the store does.
func (t taggable) key() trunk.EntityKey {
	switch {
	case t.connector != "":
		return trunk.EntityKey{Kind: trunk.KindConnector, ID: t.connector}
	case t.group != "":
		return trunk.EntityKey{Kind: trunk.KindGroup, ID: t.group}
	}
	return trunk.EntityKey{Kind: trunk.KindNumber, ID: string(t.number)}
}
