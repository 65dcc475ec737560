package iam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"
)

// object is a JSON object with its members in the order given. A map would hide a name that occurs twice, and which of
// two Effects counts must not be a matter of luck.
type object []member

type member struct {
	name  string
	value any
}

// parseJSON reads one JSON value: object, []any, string, json.Number, bool or nil.
func parseJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("the policy is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("the policy has something behind its end")
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > MaxPolicyDepth {
		return nil, fmt.Errorf("the policy is nested deeper than %d", MaxPolicyDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("the policy is not valid JSON: %w", err)
	}
	switch t {
	case json.Delim('{'):
		return readObject(d, depth)
	case json.Delim('['):
		return readList(d, depth)
	}
	return t, nil
}

func readObject(d *json.Decoder, depth int) (any, error) {
	o, seen := object{}, map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("the policy is not valid JSON: %w", err)
		}
		name, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("the policy is not valid JSON: a name is not a string")
		}
		if seen[name] {
			return nil, fmt.Errorf("the element %q is there twice", name)
		}
		seen[name] = true
		v, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{name, v})
	}
	return o, closing(d)
}

func readList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, closing(d)
}

func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the policy is not valid JSON: %w", err)
	}
	return nil
}
