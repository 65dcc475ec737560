package iam

import (
	"fmt"
	"strings"
)

// Bounds of a policy. A larger one is refused when it is parsed.
const (
	// MaxPolicyBytes is the longest policy text, AWS's limit of a managed policy.
	MaxPolicyBytes = 6144
	// MaxStatements is the most statements of a policy.
	MaxStatements = 100
	// MaxPolicyDepth is the deepest nesting of objects and lists; the language needs 5.
	MaxPolicyDepth = 8
)

// effect says what a matching statement does.
type effect uint8

const (
	effectAllow effect = iota + 1
	effectDeny
)

// Policy is a parsed policy. It is immutable.
type Policy struct{ statements []statement }

type statement struct {
	effect effect
	// actions and resources are patterns; with notActions (notResources) the statement is about all others.
	// Action patterns are in small letters: actions are compared without regard to case.
	actions, resources       []string
	notActions, notResources bool
	conditions               []condition
}

// Decision is the outcome of holding a request against a policy. The zero value denies.
type Decision uint8

// The decisions.
const (
	// ImplicitDeny: no statement allows it.
	ImplicitDeny Decision = iota
	// ExplicitDeny: a Deny statement matches, whatever the others say.
	ExplicitDeny
	// Allow: at least one statement allows it and none denies it.
	Allow
)

// String returns the decision's name.
func (d Decision) String() string {
	return [...]string{"implicit deny", "explicit deny", "allow", "unknown"}[min(d, 3)]
}

// Asks reports whether a condition of the policy names a key that begins with prefix, in small letters.
func (p *Policy) Asks(prefix string) bool {
	for i := range p.statements {
		for j := range p.statements[i].conditions {
			if strings.HasPrefix(p.statements[i].conditions[j].key, prefix) {
				return true
			}
		}
	}
	return false
}

// Evaluate decides about action on resource.
func (p *Policy) Evaluate(action, resource string, c Context) Decision {
	decision, action := ImplicitDeny, foldASCII(action)
	for i := range p.statements {
		s := &p.statements[i]
		if !s.matches(action, resource, c) {
			continue
		}
		if s.effect == effectDeny {
			return ExplicitDeny
		}
		decision = Allow
	}
	return decision
}

func (s *statement) matches(action, resource string, c Context) bool {
	if anyMatch(s.actions, action) == s.notActions || anyMatch(s.resources, resource) == s.notResources {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(c, s.effect) {
			return false
		}
	}
	return true
}

func anyMatch(patterns []string, s string) bool {
	for _, p := range patterns {
		if match(p, s) {
			return true
		}
	}
	return false
}

// Parse reads a policy. The error names the element that is not understood and is fit for the policy's author.
func Parse(data []byte) (*Policy, error) {
	if len(data) > MaxPolicyBytes {
		return nil, fmt.Errorf("the policy has %d bytes; at most %d are allowed", len(data), MaxPolicyBytes)
	}
	root, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	doc, ok := root.(object)
	if !ok {
		return nil, fmt.Errorf("the policy is not a JSON object")
	}
	var list []any
	for _, m := range doc {
		switch m.name {
		case "Version":
			if m.value != "2012-10-17" && m.value != "2008-10-17" {
				return nil, fmt.Errorf("Version must be 2012-10-17 or 2008-10-17")
			}
		case "Id":
			if _, ok := m.value.(string); !ok {
				return nil, fmt.Errorf("Id is not a string")
			}
		case "Statement":
			if list, ok = m.value.([]any); !ok {
				list = []any{m.value}
			}
		default:
			return nil, fmt.Errorf("the policy has an unknown element %q", m.name)
		}
	}
	if len(list) == 0 || len(list) > MaxStatements {
		return nil, fmt.Errorf("the policy has %d statements; it must have 1 to %d", len(list), MaxStatements)
	}
	p := new(Policy)
	for i, v := range list {
		s, err := parseStatement(v)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

func parseStatement(v any) (statement, error) {
	var s statement
	body, ok := v.(object)
	if !ok {
		return s, fmt.Errorf("it is not a JSON object")
	}
	for _, m := range body {
		if err := s.element(m); err != nil {
			return s, err
		}
	}
	switch {
	case s.effect == 0:
		return s, fmt.Errorf("Effect is missing")
	case s.actions == nil:
		return s, fmt.Errorf("Action or NotAction is missing")
	case s.resources == nil:
		return s, fmt.Errorf("Resource or NotResource is missing")
	}
	return s, nil
}

func (s *statement) element(m member) (err error) {
	switch m.name {
	case "Sid":
		if _, ok := m.value.(string); !ok {
			return fmt.Errorf("Sid is not a string")
		}
	case "Effect":
		switch m.value {
		case "Allow":
			s.effect = effectAllow
		case "Deny":
			s.effect = effectDeny
		default:
			return fmt.Errorf("Effect must be Allow or Deny")
		}
	case "Action", "NotAction":
		if s.actions != nil {
			return fmt.Errorf("Action and NotAction exclude each other")
		}
		s.notActions = m.name == "NotAction"
		s.actions, err = patterns(m, checkAction)
		for i, a := range s.actions {
			s.actions[i] = foldASCII(a)
		}
	case "Resource", "NotResource":
		if s.resources != nil {
			return fmt.Errorf("Resource and NotResource exclude each other")
		}
		s.notResources = m.name == "NotResource"
		s.resources, err = patterns(m, checkResource)
	case "Condition":
		s.conditions, err = parseConditions(m.value)
	default:
		return fmt.Errorf("unknown element %q", m.name)
	}
	return err
}

// patterns reads one string or a list of at least one.
func patterns(m member, check func(string) error) ([]string, error) {
	list, ok := m.value.([]any)
	if !ok {
		list = []any{m.value}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s is empty", m.name)
	}
	texts := make([]string, len(list))
	for i, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%s holds something that is not a string", m.name)
		}
		if err := check(text); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		texts[i] = text
	}
	return texts, nil
}

func checkAction(a string) error {
	service, name, ok := strings.Cut(a, ":")
	if a == "*" || ok && service != "" && name != "" && !strings.ContainsAny(a, "$ ") {
		return nil
	}
	return fmt.Errorf("%q is not an action such as chime:GetVoiceConnector, chime:Get* or *", a)
}

func checkResource(r string) error {
	if strings.Contains(r, "${") {
		return fmt.Errorf("%q: policy variables are not supported", r)
	}
	if r != "*" && !strings.HasPrefix(r, "arn:") {
		return fmt.Errorf("%q is neither * nor an ARN", r)
	}
	return nil
}
