package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// types writes the union structures of both namespaces: a request and a response for every operation, then everything
// they contain.
func (g *generator) types() (string, error) {
	m := g.models[either]
	s := newSource("log/slog")
	for _, name := range g.operationNames() {
		op := m.Operations[name]
		if err := g.message(s, name, "Request", op.Input); err != nil {
			return "", err
		}
		if err := g.message(s, name, "Response", op.Output); err != nil {
			return "", err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Shapes)) {
		if shape := m.Shapes[name]; shape.Type == "structure" && !shape.Exception && !isMessage(name) {
			comment := fmt.Sprintf("is the structure of that name (%s).", g.where(name))
			if err := g.structure(s, name, comment, omitAbsent); err != nil {
				return "", err
			}
		}
	}
	return s.String(), nil
}

// isMessage reports whether a structure is an input or output as a whole; the models name all of them this way.
func isMessage(name string) bool {
	return strings.HasSuffix(name, "Request") || strings.HasSuffix(name, "Response")
}

// message writes the request or response of one operation; empty where the models have none, so that every operation
// has both and a handler's type needs no special case.
func (g *generator) message(s *source, op, suffix string, ref *reference) error {
	name := op + suffix
	if ref == nil {
		s.line("// %s is empty: %s has no %s members.", goName(name), op, strings.ToLower(suffix))
		s.line("type %s struct{}\n", goName(name))
		return nil
	}
	if ref.Shape != name {
		return fmt.Errorf("operation %s: its %s is %s", op, strings.ToLower(suffix), ref.Shape)
	}
	absent := omitAbsent
	if suffix == "Response" {
		absent = nullAbsent
	}
	return g.structure(s, name, fmt.Sprintf("is the %s of %s (%s).", strings.ToLower(suffix), op, g.where(name)), absent)
}

// where names the namespaces that have a shape.
func (g *generator) where(name string) string {
	var in []string
	if g.models[chime].Shapes[name] != nil {
		in = append(in, "chime")
	}
	if g.models[voice].Shapes[name] != nil {
		in = append(in, "chime-sdk-voice")
	}
	return strings.Join(in, ", ")
}

// How a member without a value is written: AWS answers the members of a response with an explicit null and leaves out
// those of the structures inside.
const (
	omitAbsent = ",omitzero"
	nullAbsent = ""
)

func (g *generator) structure(s *source, name, comment, absent string) error {
	shape := g.models[either].Shapes[name]
	s.line("// %s %s\ntype %s struct {", goName(name), comment, goName(name))
	seen := make(map[string]bool)
	for _, member := range slices.Sorted(maps.Keys(shape.Members)) {
		ref := shape.Members[member]
		field := goName(member)
		if seen[field] {
			return fmt.Errorf("structure %s: two members become %s", name, field)
		}
		seen[field] = true
		s.line("// %s: %s", field, g.facts(name, member))
		switch ref.Location {
		case "uri":
			s.line("%s %s `json:\"-\"`", field, g.goType(ref.Shape))
		case "querystring":
			s.line("%s %s `json:\"-\"`", field, g.optional(ref.Shape))
		default:
			s.line("%s %s `json:\"%s%s\"`", field, g.optional(ref.Shape), member, absent)
		}
	}
	s.line("}\n")
	if g.secret(name) {
		s.line("// LogValue keeps the sensitive members out of logs, whatever the handler.")
		s.line("func (%s) LogValue() slog.Value { return redacted(%q) }\n", goName(name), goName(name))
	}
	return nil
}

// facts says where a member travels and what each namespace demands of it.
func (g *generator) facts(name, member string) string {
	var parts []string
	for ns, title := range []string{chime: "chime", voice: "voice"} {
		m := g.models[ns]
		shape := m.Shapes[name]
		if shape == nil || shape.Members[member] == nil {
			continue
		}
		ref := shape.Members[member]
		text := m.describe(ref.Shape)
		if slices.Contains(shape.Required, member) {
			text = "required " + text
		}
		if ref.Location != "" {
			text += fmt.Sprintf(" (%s %s)", map[string]string{"uri": "path", "querystring": "query"}[ref.Location], ref.LocationName)
		}
		parts = append(parts, title+" "+text)
	}
	if len(parts) == 2 && strings.TrimPrefix(parts[0], "chime") == strings.TrimPrefix(parts[1], "voice") {
		return "both " + strings.TrimPrefix(parts[0], "chime ") + "."
	}
	return strings.Join(parts, "; ") + "."
}

// describe says in a few words what a shape is and how it is bounded.
func (m *model) describe(name string) string {
	s := m.Shapes[name]
	text := s.Type
	switch s.Type {
	case "structure":
		return goName(name)
	case "list", "map":
		text += " of " + m.describe(s.element().Shape)
	}
	number := func(f *float64) string { return fmt.Sprint(*f) }
	switch {
	case s.Min != nil && s.Max != nil:
		text += " " + number(s.Min) + ".." + number(s.Max)
	case s.Min != nil:
		text += " from " + number(s.Min)
	case s.Max != nil:
		text += " up to " + number(s.Max)
	}
	if s.Pattern != "" {
		text += " matching " + s.Pattern
	}
	if s.Enum != nil {
		text += " enum " + goName(name)
	}
	if s.Sensitive {
		text += ", sensitive"
	}
	return text
}

// goType returns the Go type of a shape's value.
func (g *generator) goType(name string) string {
	s := g.models[either].Shapes[name]
	switch s.Type {
	case "structure":
		return goName(name)
	case "list":
		return "[]" + g.goType(s.Member.Shape)
	case "map":
		return "map[" + g.goType(s.Key.Shape) + "]" + g.goType(s.Value.Shape)
	case "boolean":
		return "bool"
	case "integer":
		return "int32"
	case "float":
		return "float32"
	case "timestamp":
		return "Timestamp"
	}
	if s.Sensitive {
		return "Sensitive"
	}
	if s.Enum != nil {
		g.enums[name] = true
		return goName(name)
	}
	return "string"
}

// optional returns the type of a member that may be absent.
func (g *generator) optional(name string) string {
	t := g.goType(name)
	if strings.HasPrefix(t, "[]") || strings.HasPrefix(t, "map[") {
		return t
	}
	return "*" + t
}

// secret reports whether a shape has a sensitive value anywhere inside.
func (g *generator) secret(name string) bool {
	if known, ok := g.sensitive[name]; ok {
		return known
	}
	g.sensitive[name] = false // ends a recursive shape
	s := g.models[either].Shapes[name]
	found := s.Sensitive
	for _, ref := range s.Members {
		found = g.secret(ref.Shape) || found
	}
	for _, ref := range []*reference{s.Member, s.Key, s.Value} {
		if ref != nil {
			found = g.secret(ref.Shape) || found
		}
	}
	g.sensitive[name] = found
	return found
}

// enumTypes writes a string type with constants for every enum a structure uses.
func (g *generator) enumTypes() string {
	s := newSource()
	for _, name := range slices.Sorted(maps.Keys(g.enums)) {
		s.line("// %s is the enum of that name (%s). The constants are those of both namespaces.", goName(name), g.where(name))
		s.line("type %s string\n\n// The values of %s.\nconst (", goName(name), goName(name))
		for _, value := range g.models[either].Shapes[name].Enum {
			s.line("%s%s %s = %q", goName(name), valueName(value), goName(name), value)
		}
		s.line(")\n")
	}
	return s.String()
}
