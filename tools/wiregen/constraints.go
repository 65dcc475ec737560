package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// kinds maps a model's types to those package restjson can decode. What is missing may occur in answers only.
var kinds = map[string]string{
	"structure": "Structure", "list": "List", "map": "Map", "string": "String", "boolean": "Boolean", "integer": "Integer",
}

// scalars are the types of members that may travel in the path or the query.
var scalars = []string{"string", "boolean", "integer"}

// constraints writes the restjson shapes of all inputs of one namespace.
func (g *generator) constraints(ns int) (string, error) {
	m := g.models[ns]
	reached := make(map[string]bool)
	for _, op := range m.Operations {
		if op.Input != nil {
			m.reach(op.Input.Shape, reached)
		}
	}
	s := newSource("carillon/restjson")
	s.line("// The inputs of the %s namespace and their parts: what the server holds a request against. Never written.\nvar (", prefix[ns])
	for _, name := range slices.Sorted(maps.Keys(reached)) {
		shape := m.Shapes[name]
		kind, ok := kinds[shape.Type]
		if !ok {
			return "", fmt.Errorf("shape %s: an input of type %s cannot be decoded", name, shape.Type)
		}
		s.line("%s%s = restjson.Shape{Kind: restjson.%s,", prefix[ns], goName(name), kind)
		g.bounds(s, shape)
		if err := g.parts(s, ns, name); err != nil {
			return "", err
		}
		s.line("}")
	}
	s.line(")")
	return s.String(), nil
}

func (m *model) reach(name string, reached map[string]bool) {
	if reached[name] {
		return
	}
	reached[name] = true
	s := m.Shapes[name]
	for _, ref := range s.Members {
		m.reach(ref.Shape, reached)
	}
	for _, ref := range []*reference{s.Member, s.Key, s.Value} {
		if ref != nil {
			m.reach(ref.Shape, reached)
		}
	}
}

func (g *generator) bounds(s *source, shape *shape) {
	field := "Length"
	if shape.Type == "integer" {
		field = "Range"
	}
	switch {
	case shape.Min != nil && shape.Max != nil:
		s.line("%s: restjson.Between(%d, %d),", field, int64(*shape.Min), int64(*shape.Max))
	case shape.Min != nil:
		s.line("%s: restjson.AtLeast(%d),", field, int64(*shape.Min))
	case shape.Max != nil:
		s.line("%s: restjson.AtMost(%d),", field, int64(*shape.Max))
	}
	if shape.Pattern != "" {
		s.line("Pattern: restjson.MustPattern(`%s`),", shape.Pattern)
	}
	if shape.Enum != nil {
		s.line("Enum: []string{\"%s\"},", strings.Join(shape.Enum, `", "`))
	}
	if shape.Sensitive {
		s.line("Sensitive: true,")
	}
}

// parts writes the references to members, element and key. Field indexes are those of the union structure.
func (g *generator) parts(s *source, ns int, name string) error {
	shape := g.models[ns].Shapes[name]
	if ref := shape.element(); ref != nil {
		s.line("Element: &%s%s,", prefix[ns], goName(ref.Shape))
	}
	if shape.Key != nil {
		s.line("Key: &%s%s,", prefix[ns], goName(shape.Key.Shape))
	}
	if len(shape.Members) == 0 {
		return nil
	}
	union := slices.Sorted(maps.Keys(g.models[either].Shapes[name].Members))
	s.line("Members: []restjson.Member{")
	for _, member := range slices.Sorted(maps.Keys(shape.Members)) {
		ref := shape.Members[member]
		if kind := g.models[ns].Shapes[ref.Shape].Type; ref.Location != "" && !slices.Contains(scalars, kind) {
			return fmt.Errorf("shape %s: member %s of type %s cannot travel outside the body", name, member, kind)
		}
		bound := ""
		switch ref.Location {
		case "":
		case "uri":
			bound = fmt.Sprintf(", In: restjson.Path, Wire: %q", ref.LocationName)
		case "querystring":
			bound = fmt.Sprintf(", In: restjson.Query, Wire: %q", ref.LocationName)
		default:
			return fmt.Errorf("shape %s: member %s is bound to %s", name, member, ref.Location)
		}
		if slices.Contains(shape.Required, member) {
			bound += ", Required: true"
		}
		s.line("{Name: %q, Field: %d%s, Shape: &%s%s},", member, slices.Index(union, member), bound, prefix[ns], goName(ref.Shape))
	}
	s.line("},")
	return nil
}
