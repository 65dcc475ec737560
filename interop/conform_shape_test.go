package interop

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// models are the service models that the program is made from, by namespace.
var models = map[string]string{
	"chime":           "../tools/models/chime-2018-05-01.json",
	"chime-sdk-voice": "../tools/models/chime-sdk-voice-2022-08-03.json",
}

// shape is the form of a value in somebody's model: a service's or a client's.
type shape struct {
	Kind     string            `json:"kind"` // structure, list, map, or a scalar's name
	Members  map[string]*shape `json:"members,omitempty"`
	Required []string          `json:"required,omitempty"`
	Element  *shape            `json:"element,omitempty"` // of a list or map
	Min      int               `json:"min,omitempty"`     // length or value
	Enum     []string          `json:"enum,omitempty"`
}

// member finds a member whatever the case of its letters: Go's structs spell streetName with a capital.
func (s *shape) member(name string) (string, *shape) {
	if m, ok := s.Members[name]; ok {
		return name, m
	}
	for own, m := range s.Members {
		if strings.EqualFold(own, name) {
			return own, m
		}
	}
	return name, nil
}

// surface is what a client, or a model, knows.
type surface map[string]*operationShape

// operationShape is one operation. A client that cannot tell its shapes has none: it is held to the namespace's.
type operationShape struct {
	Input  *shape `json:"input,omitempty"`
	Output *shape `json:"output,omitempty"`
	// Command is how the client calls the operation.
	Command string `json:"command,omitempty"`
	// Paginator says that the client can walk the pages itself.
	Paginator bool `json:"paginator,omitempty"`
	// Status is the HTTP status of success, where the model tells; Faults are the exceptions it has for the operation.
	Status int      `json:"-"`
	Faults []string `json:"-"`
}

type modelRef struct {
	Shape string `json:"shape"`
}

type modelFile struct {
	Operations map[string]struct {
		HTTP struct {
			ResponseCode int `json:"responseCode"`
		} `json:"http"`
		Input, Output modelRef
		Errors        []modelRef
	} `json:"operations"`
	Shapes map[string]struct {
		Type     string              `json:"type"`
		Members  map[string]modelRef `json:"members"`
		Required []string            `json:"required"`
		Member   modelRef            `json:"member"`
		Value    modelRef            `json:"value"`
		Min      int                 `json:"min"`
		Enum     []string            `json:"enum"`
	} `json:"shapes"`
}

// readModel reads a service model.
func readModel(t *testing.T, namespace string) surface {
	t.Helper()
	text, err := os.ReadFile(models[namespace])
	if err != nil {
		t.Fatal(err)
	}
	var m modelFile
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	all := surface{}
	for name, op := range m.Operations {
		all[name] = &operationShape{Input: m.shape(op.Input), Output: m.shape(op.Output), Status: op.HTTP.ResponseCode}
		for _, fault := range op.Errors {
			all[name].Faults = append(all[name].Faults, fault.Shape)
		}
	}
	return all
}

func (m *modelFile) shape(ref modelRef) *shape {
	s, ok := m.Shapes[ref.Shape]
	if !ok {
		return nil
	}
	out := &shape{Kind: s.Type, Required: s.Required, Min: s.Min, Enum: s.Enum}
	switch s.Type {
	case "structure":
		out.Members = map[string]*shape{}
		for name, ref := range s.Members {
			out.Members[name] = m.shape(ref)
		}
	case "list":
		out.Element = m.shape(s.Member)
	case "map":
		out.Element = m.shape(s.Value)
	}
	return out
}

// trim leaves out of v what s does not know, and reports whether there was anything. Names stay as they are.
func trim(v any, s *shape) (any, bool) {
	if s == nil {
		return v, false
	}
	cut := false
	switch v := v.(type) {
	case jsonObject:
		if s.Kind != "structure" {
			return v, false
		}
		out := jsonObject{}
		for name, value := range v {
			_, m := s.member(name)
			if m == nil {
				cut = true
				continue
			}
			trimmed, lost := trim(value, m)
			out[name], cut = trimmed, cut || lost
		}
		return out, cut
	case []any:
		out := []any{}
		for _, value := range v {
			trimmed, lost := trim(value, s.Element)
			out, cut = append(out, trimmed), cut || lost
		}
		return out, cut
	}
	return v, false
}

// minimal makes a value with nothing but what must be there: enough for a client to send it, of no use to the service.
func (s *shape) minimal() any {
	if s == nil {
		return jsonObject{}
	}
	switch s.Kind {
	case "structure":
		out := jsonObject{}
		for _, name := range s.Required {
			out[name] = s.Members[name].minimal()
		}
		return out
	case "list":
		return slices.Repeat([]any{s.Element.minimal()}, max(s.Min, 1))
	case "map":
		return jsonObject{"k": s.Element.minimal()}
	case "boolean":
		return true
	case "integer", "long", "float", "double":
		return max(s.Min, 1)
	}
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	return "val"
}
