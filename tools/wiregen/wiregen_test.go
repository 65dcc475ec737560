package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	modelFolder = "../models"
	wireFolder  = "../../api/wire"
)

// The generated files must be what the models say: neither may be edited without the other.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := generate(modelFolder)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(wireFolder, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): run go generate ./api/wire", name, err)
		}
	}
	found, err := filepath.Glob(filepath.Join(wireFolder, "*_gen*.go"))
	if err != nil || len(found) != len(files) {
		t.Errorf("%d generated files in %s, want %d", len(found), wireFolder, len(files))
	}
}

func TestCounts(t *testing.T) {
	models, err := load(modelFolder)
	if err != nil {
		t.Fatal(err)
	}
	shared := 0
	for name, op := range models[chime].Operations {
		if other := models[voice].Operations[name]; other != nil {
			shared++
			if op.HTTP != other.HTTP {
				t.Errorf("%s: bound to different requests", name)
			}
		}
	}
	got := [...]int{len(models[chime].Operations), len(models[voice].Operations), shared, len(models[either].Operations)}
	if want := [...]int{76, 96, 74, 98}; got != want {
		t.Errorf("operations chime, voice, shared, all: %v, want %v", got, want)
	}
}

func TestMerge(t *testing.T) {
	models, err := load(modelFolder)
	if err != nil {
		t.Fatal(err)
	}
	m := models[either]
	region := m.Shapes["VoiceConnectorAwsRegion"]
	if len(region.Enum) != 10 {
		t.Errorf("regions %v", region.Enum)
	}
	if name := m.Shapes["VoiceConnectorName"]; name.Pattern != "" || *name.Min != 1 || *name.Max != 256 {
		t.Errorf("name %+v", name)
	}
	if size := m.Shapes["ResultMax"]; *size.Min != 1 || *size.Max != 100 {
		t.Errorf("page size %+v", size)
	}
	item := m.Shapes["VoiceConnectorItem"]
	if !slices.Equal(item.Required, []string{"VoiceConnectorId"}) {
		t.Errorf("VoiceConnectorItem requires %v", item.Required)
	}
	id := m.Shapes[item.Members["VoiceConnectorId"].Shape]
	if !strings.HasPrefix(id.Pattern, `(?:.*\S.*)|(?:([a-z0-9]`) {
		t.Errorf("VoiceConnectorId %+v", id)
	}
	if tag := m.Shapes["TagValue"]; *tag.Min != 0 {
		t.Errorf("tag value %+v", tag)
	}
	if !m.Shapes[m.Shapes["GetPhoneNumberRequest"].Members["PhoneNumberId"].Shape].Sensitive {
		t.Error("a phone number is sensitive in one namespace only")
	}
	if op := m.Operations["CreateVoiceConnectorGroup"]; !slices.Contains(op.Errors, reference{Shape: "NotFoundException"}) {
		t.Errorf("errors %v", op.Errors)
	}
}

func TestMergeRefuses(t *testing.T) {
	a := &model{
		Operations: map[string]*operation{"X": {Input: &reference{Shape: "XRequest"}}},
		Shapes:     map[string]*shape{"XRequest": {Type: "structure", Members: map[string]*reference{"M": {Shape: "S"}}}, "S": {Type: "string"}},
	}
	b := &model{Operations: a.Operations, Shapes: map[string]*shape{"XRequest": a.Shapes["XRequest"], "S": {Type: "list", Member: &reference{Shape: "S"}}}}
	if _, err := merge(a, b); err == nil {
		t.Error("a string and a list were merged")
	}
	b.Shapes = map[string]*shape{"XRequest": {Type: "structure", Members: map[string]*reference{"M": {Shape: "S", Location: "uri"}}}, "S": {Type: "string"}}
	if _, err := merge(a, b); err == nil {
		t.Error("members of different places were merged")
	}
}

func TestNames(t *testing.T) {
	tests := []struct{ in, name, value string }{
		{"VoiceConnectorId", "VoiceConnectorID", ""},
		{"E164PhoneNumberIds", "E164PhoneNumberIDs", ""},
		{"ResourceARN", "ResourceARN", ""},
		{"SMACreateCallArgumentsMap", "SMACreateCallArgumentsMap", ""},
		{"ListSipRules", "ListSIPRules", ""},
		{"streetName", "StreetName", ""},
		{"CidrAllowedList", "CIDRAllowedList", ""},
		{"DNIS", "DNIS", ""},
		{"us-east-1", "", "UsEast1"},
		{"IPV4_ONLY", "", "IPv4Only"},
		{"ACTIVE", "", "Active"},
		{"TCP", "", "TCP"},
		{"PriorityWeightedDistribution", "", "PriorityWeightedDistribution"},
	}
	for _, tt := range tests {
		if tt.name != "" && goName(tt.in) != tt.name {
			t.Errorf("goName(%s) = %s, want %s", tt.in, goName(tt.in), tt.name)
		}
		if tt.value != "" && valueName(tt.in) != tt.value {
			t.Errorf("valueName(%s) = %s, want %s", tt.in, valueName(tt.in), tt.value)
		}
	}
}

func TestRunWritesFiles(t *testing.T) {
	out := t.TempDir()
	if err := run(modelFolder, out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, "operations_gen.go")); err != nil {
		t.Error(err)
	}
	if err := run(t.TempDir(), out); err == nil {
		t.Error("generated without models")
	}
}
