package api

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/google/uuid"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/trunk"
)

// ruleOperations are the operations of SIP rules.
func ruleOperations() offered {
	return offered{
		wire.OpCreateSIPRule: {anyRule, awsHandler(createRule)},
		wire.OpListSIPRules:  {anyRule, awsHandler(listRules)},
		wire.OpGetSIPRule:    {oneRule, awsHandler(getRule)},
		wire.OpUpdateSIPRule: {oneRule, awsHandler(updateRule)},
		wire.OpDeleteSIPRule: {oneRule, awsHandler(deleteRule)},
	}
}

// anyRule is the resource of operations about SIP rules in general. AWS has no ARN for them: this one is for policies.
func anyRule(r *request) string { return ruleARN(r.principal.Account, "*") }

// oneRule is the resource of operations about the rule in the path.
func oneRule(r *request) string { return ruleARN(r.principal.Account, r.labels["sipRuleId"]) }

func ruleARN(account, id string) string {
	return "arn:aws:chime:" + string(trunk.DefaultRegion) + ":" + account + ":sip-rule/" + id
}

// ruleID makes the id of a rule from its account and its trigger, which never changes. So of two creates of one trigger
// the store lets one through, also when they come at the same moment.
func ruleID(s *trunk.SIPRule) string {
	value := strings.ToLower(strings.TrimSuffix(s.TriggerValue, "."))
	name := "sip-rule\x00" + s.Account + "\x00" + string(s.Trigger) + "\x00" + value
	return uuid.NewHash(sha256.New(), uuid.NameSpaceOID, []byte(name), 8).String()
}

func createRule(r *request, in *wire.CreateSIPRuleRequest) (any, error) {
	s := &trunk.SIPRule{
		Account: r.principal.Account, Name: *in.Name, Disabled: isTrue(in.Disabled), Trigger: trunk.Trigger(*in.TriggerType),
		TriggerValue: *in.TriggerValue, Targets: domainTargets(in.TargetApplications), Created: r.now, Updated: r.now,
	}
	if err := trunk.CheckSIPRule(s); err != nil {
		return nil, err
	}
	if len(r.snapshot.SIPRules(s.Account, "", trunk.MaxSIPRules)) == trunk.MaxSIPRules {
		return nil, trunk.Errorf(trunk.LimitExceeded, "The account has %d SIP rules, which is the most. Delete one first.", trunk.MaxSIPRules)
	}
	s.ID = ruleID(s)
	made, err := createOnce(r, creation[*trunk.SIPRule]{made: s, noun: "SIP rule", reads: true, write: func(tx trunk.Tx) error {
		_, ok, err := trunk.Get[*trunk.SIPRule](tx, s.EntityKey())
		if err != nil {
			return err
		}
		if ok {
			return trunk.Errorf(trunk.Conflict, "Another SIP rule of the account has this TriggerType and TriggerValue.")
		}
		tx.Create(s)
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return &wire.CreateSIPRuleResponse{SIPRule: wireRule(made)}, nil
}

func getRule(r *request, in *wire.GetSIPRuleRequest) (any, error) {
	s, ok := r.snapshot.SIPRule(in.SIPRuleID)
	if !ok || s.Account != r.principal.Account {
		return nil, notFound()
	}
	return &wire.GetSIPRuleResponse{SIPRule: wireRule(s)}, nil
}

func listRules(r *request, in *wire.ListSIPRulesRequest) (any, error) {
	found, next, err := pageOf(r, page{in.MaxResults, in.NextToken}, func(after string, limit int) []*trunk.SIPRule {
		return r.rulesWith(textOf(in.SIPMediaApplicationID), after, limit)
	}, directory.SIPRuleCursor)
	if err != nil {
		return nil, err
	}
	answer := &wire.ListSIPRulesResponse{SIPRules: []wire.SIPRule{}, NextToken: next}
	for _, s := range found {
		answer.SIPRules = append(answer.SIPRules, *wireRule(s))
	}
	return answer, nil
}

// rulesWith returns at most limit of the account's rules behind the cursor that have the application among their
// targets; all have the empty one.
func (r *request) rulesWith(application, after string, limit int) []*trunk.SIPRule {
	var found []*trunk.SIPRule
	for {
		batch := r.snapshot.SIPRules(r.principal.Account, after, limit)
		for _, s := range batch {
			with := application == "" || slices.ContainsFunc(s.Targets, func(t trunk.RuleTarget) bool { return t.ApplicationID == application })
			if with && len(found) < limit {
				found = append(found, s)
			}
		}
		if len(found) == limit || len(batch) < limit {
			return found
		}
		after = directory.SIPRuleCursor(batch[len(batch)-1])
	}
}

// rule returns the caller's rule with that id, as the transaction sees it.
func (r *request) rule(tx trunk.Tx, id string) (*trunk.SIPRule, error) {
	s, ok, err := trunk.Get[*trunk.SIPRule](tx, trunk.EntityKey{Kind: trunk.KindSIPRule, ID: id})
	if err == nil && (!ok || s.Account != r.principal.Account) {
		err = notFound()
	}
	return s, err
}

// updateRule changes the members that are sent.
func updateRule(r *request, in *wire.UpdateSIPRuleRequest) (any, error) {
	var s *trunk.SIPRule
	err := r.update(func(tx trunk.Tx) error {
		old, err := r.rule(tx, in.SIPRuleID)
		if err != nil {
			return err
		}
		s = old.Clone()
		s.Name, s.Updated = *in.Name, later(old.Updated, r.now)
		if in.Disabled != nil {
			s.Disabled = *in.Disabled
		}
		if in.TargetApplications != nil {
			s.Targets = domainTargets(in.TargetApplications)
		}
		if err := trunk.CheckSIPRule(s); err != nil {
			return err
		}
		tx.Put(s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.UpdateSIPRuleResponse{SIPRule: wireRule(s)}, nil
}

// deleteRule deletes a rule, enabled or not: it has no effect on calls that a delete could cut off.
func deleteRule(r *request, in *wire.DeleteSIPRuleRequest) (any, error) {
	return nil, r.update(func(tx trunk.Tx) error {
		s, err := r.rule(tx, in.SIPRuleID)
		if err != nil {
			return err
		}
		tx.Delete(s.EntityKey())
		return nil
	})
}

func domainTargets(list []wire.SIPRuleTargetApplication) []trunk.RuleTarget {
	var targets []trunk.RuleTarget
	for _, w := range list {
		t := trunk.RuleTarget{ApplicationID: textOf(w.SIPMediaApplicationID), Region: textOf(w.AWSRegion)}
		if w.Priority != nil {
			t.Priority = int(*w.Priority)
		}
		targets = append(targets, t)
	}
	return targets
}

func wireRule(s *trunk.SIPRule) *wire.SIPRule {
	w := &wire.SIPRule{
		CreatedTimestamp: wire.At(s.Created), Disabled: new(s.Disabled), Name: new(s.Name), SIPRuleID: new(s.ID),
		TriggerType: new(wire.SIPRuleTriggerType(s.Trigger)), TriggerValue: new(s.TriggerValue), UpdatedTimestamp: wire.At(s.Updated),
	}
	for _, t := range s.Targets {
		one := wire.SIPRuleTargetApplication{SIPMediaApplicationID: new(t.ApplicationID)}
		if t.Priority != 0 {
			one.Priority = new(int32(t.Priority))
		}
		if t.Region != "" {
			one.AWSRegion = new(t.Region)
		}
		w.TargetApplications = append(w.TargetApplications, one)
	}
	return w
}
