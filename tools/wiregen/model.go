package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// The namespaces in the order of the Namespace constants of package wire. The last one is made by merge.
const (
	chime = iota
	voice
	either
	namespaces
)

var modelFiles = [...]string{chime: "chime-2018-05-01.json", voice: "chime-sdk-voice-2022-08-03.json"}

// model is a service model in botocore's "API 2" form.
type model struct {
	Operations map[string]*operation `json:"operations"`
	Shapes     map[string]*shape     `json:"shapes"`
}

type operation struct {
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input      *reference  `json:"input"`
	Output     *reference  `json:"output"`
	Errors     []reference `json:"errors"`
	Deprecated bool        `json:"deprecated"`
}

type reference struct {
	Shape        string `json:"shape"`
	Location     string `json:"location"`
	LocationName string `json:"locationName"`
}

type shape struct {
	Type      string                `json:"type"`
	Required  []string              `json:"required"`
	Members   map[string]*reference `json:"members"`
	Member    *reference            `json:"member"`
	Key       *reference            `json:"key"`
	Value     *reference            `json:"value"`
	Min       *float64              `json:"min"`
	Max       *float64              `json:"max"`
	Pattern   string                `json:"pattern"`
	Enum      []string              `json:"enum"`
	Sensitive bool                  `json:"sensitive"`
	Exception bool                  `json:"exception"`
	Error     struct {
		Status int `json:"httpStatusCode"`
	} `json:"error"`
}

func (s *shape) element() *reference {
	if s.Type == "map" {
		return s.Value
	}
	return s.Member
}

// load reads both models and adds their merge, which stands for a client that did not say which namespace it speaks.
func load(folder string) ([namespaces]*model, error) {
	var all [namespaces]*model
	for i, name := range modelFiles {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return all, fmt.Errorf("read model: %w", err)
		}
		if err := json.Unmarshal(data, &all[i]); err != nil {
			return all, fmt.Errorf("parse model %s: %w", name, err)
		}
	}
	merged, err := merge(all[chime], all[voice])
	all[either] = merged
	return all, err
}

// merger builds the union of two models: every operation and member of both, each with the looser of the two constraints.
type merger struct {
	a, b *model
	out  *model
}

func merge(a, b *model) (*model, error) {
	m := &merger{a: a, b: b, out: &model{Operations: map[string]*operation{}, Shapes: map[string]*shape{}}}
	for _, name := range unionKeys(a.Operations, b.Operations) {
		op, err := m.operation(a.Operations[name], b.Operations[name])
		if err != nil {
			return nil, fmt.Errorf("merge operation %s: %w", name, err)
		}
		m.out.Operations[name] = op
	}
	for _, name := range unionKeys(a.Shapes, b.Shapes) {
		if s := cmp.Or(a.Shapes[name], b.Shapes[name]); s.Exception {
			m.out.Shapes[name] = s
		}
	}
	return m.out, nil
}

func (m *merger) operation(a, b *operation) (*operation, error) {
	op := *cmp.Or(a, b)
	if a == nil || b == nil {
		a, b = &op, &op
	}
	if a.HTTP != b.HTTP {
		return nil, fmt.Errorf("the models bind it to different requests")
	}
	op.Deprecated = a.Deprecated && b.Deprecated
	op.Errors = slices.Clone(a.Errors)
	for _, e := range b.Errors {
		if !slices.Contains(op.Errors, e) {
			op.Errors = append(op.Errors, e)
		}
	}
	var err error
	if op.Input, err = m.reference(a.Input, b.Input); err != nil {
		return nil, err
	}
	op.Output, err = m.reference(a.Output, b.Output)
	return &op, err
}

// reference merges what a member of each model refers to; nil where a model has no such member. Shapes of different
// names (NonEmptyString, VoiceConnectorId) get a shape of their own, named after both. A shape is registered before its
// parts are merged, so that a recursive one ends.
func (m *merger) reference(a, b *reference) (*reference, error) {
	if a == nil && b == nil {
		return nil, nil
	}
	ref := *cmp.Or(a, b)
	sa, sb := m.a.Shapes[ref.Shape], m.b.Shapes[ref.Shape]
	if a != nil && b != nil && a.Shape != b.Shape {
		sa, sb = m.a.Shapes[a.Shape], m.b.Shapes[b.Shape]
		ref.Shape = a.Shape + "Or" + b.Shape
	}
	if a != nil && b != nil && (a.Location != b.Location || a.LocationName != b.LocationName) {
		return nil, fmt.Errorf("member bound to different places: %+v, %+v", *a, *b)
	}
	if m.out.Shapes[ref.Shape] != nil {
		return &ref, nil
	}
	merged := new(shape)
	m.out.Shapes[ref.Shape] = merged
	if err := m.shape(merged, sa, sb); err != nil {
		return nil, fmt.Errorf("merge shape %s: %w", ref.Shape, err)
	}
	return &ref, nil
}

// shape fills out with the union of a and b; either may be nil when only one model has the shape.
func (m *merger) shape(out, a, b *shape) error {
	if a == nil {
		a = b
	}
	if b == nil {
		b = a
	}
	if a.Type != b.Type {
		return fmt.Errorf("types %s and %s", a.Type, b.Type)
	}
	out.Type, out.Sensitive = a.Type, a.Sensitive || b.Sensitive
	out.Min, out.Max = looser(a.Min, b.Min, -1), looser(a.Max, b.Max, 1)
	out.Pattern, out.Enum = eitherPattern(a.Pattern, b.Pattern), unionEnum(a.Enum, b.Enum)
	for _, name := range a.Required {
		if slices.Contains(b.Required, name) {
			out.Required = append(out.Required, name)
		}
	}
	var err error
	out.Members = make(map[string]*reference)
	for _, name := range unionKeys(a.Members, b.Members) {
		if out.Members[name], err = m.reference(a.Members[name], b.Members[name]); err != nil {
			return fmt.Errorf("member %s: %w", name, err)
		}
	}
	if out.Member, err = m.reference(a.Member, b.Member); err != nil {
		return err
	}
	if out.Key, err = m.reference(a.Key, b.Key); err != nil {
		return err
	}
	out.Value, err = m.reference(a.Value, b.Value)
	return err
}

func looser(a, b *float64, sign float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	if *a*sign > *b*sign {
		return a
	}
	return b
}

func eitherPattern(a, b string) string {
	if a == "" || b == "" {
		return ""
	}
	if a == b {
		return a
	}
	return "(?:" + a + ")|(?:" + b + ")"
}

func unionEnum(a, b []string) []string {
	if a == nil || b == nil {
		return nil
	}
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func unionKeys[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
