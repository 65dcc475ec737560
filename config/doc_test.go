package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/config.md")

const docPath = "../docs/config.md"

// TestDocument compares docs/config.md with the struct it is made from.
func TestDocument(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(docPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is out of date: run `go test ./config -update`", docPath)
	}
}

// TestEveryFieldIsDescribed: help is a sentence, names are spelled one way, defaults and bounds parse.
func TestEveryFieldIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		if f.Name == "" || f.Name != strings.ToLower(f.Name) || seen[f.Name] {
			t.Errorf("the name %q is missing, capital or used twice", f.Name)
		}
		seen[f.Name] = true
		if !strings.HasSuffix(f.Help, ".") || f.Group == "" {
			t.Errorf("--%s: help %q, group %q", f.Name, f.Help, f.Group)
		}
		for _, text := range []string{f.Default, f.DevDefault, f.Min, f.Max} {
			var c Config
			if text == "" {
				continue
			}
			if err := setText(f.value(&c), text); err != nil {
				t.Errorf("--%s: %v", f.Name, err)
			}
		}
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Settings of a node

Made from package config; ` + "`go test ./config -update`" + ` writes it anew.

A setting is a flag of ` + "`carillon serve`" + `, a variable in the environment, or a key in the YAML file that
` + "`--config`" + ` names: ` + "`--sip-udp`, `CARILLON_SIP_UDP` and `sip-udp:`" + ` are one. The flag wins, then the
environment, then the file, then the default. A list is separated by commas, or is a list in the file. Durations are
written like ` + "`90s` or `1h30m`, sizes like `64MiB`" + `. A listener may be ` + "`off`" + `, and its port ` + "`0`" + ` for a free one.
` + "`carillon config check`" + ` judges all of it without starting a node.

The other commands find a node by ` + "`CARILLON_READY_FILE` or `CARILLON_API`" + `, which are the node's own ` + "`--ready-file` and `--api`" + `, too:
in a shell that has them set for a node that runs, a second ` + "`carillon serve`" + ` takes them as its own.
`)
	group := ""
	for _, f := range Fields() {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n| flag | environment | default | with `--dev` | |\n|---|---|---|---|---|\n", group)
		}
		name := "`--" + f.Name
		if f.Placeholder != "" {
			name += " " + strings.ReplaceAll(f.Placeholder, "|", `\|`)
		}
		help := f.Help
		if f.Min != "" {
			help += " At least " + f.Min + "."
		}
		if f.Max != "" {
			help += " At most " + f.Max + "."
		}
		fmt.Fprintf(&b, "| %s` | `%s` | %s | %s | %s |\n", name, f.Env, code(f.Default), code(f.DevDefault), help)
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
