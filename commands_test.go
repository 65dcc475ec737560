package carillon_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"carillon/cli"
)

// subcommand is a row of the list of commands in a help text.
var subcommand = regexp.MustCompile(`^  ([a-z][a-z -]*[a-z])  `)

// help returns what --help prints for a command.
func help(t *testing.T, command string) string {
	t.Helper()
	var out bytes.Buffer
	nothing := func(string) (string, bool) { return "", false }
	status := cli.Main(t.Context(), append(strings.Fields(command), "--help"), nothing, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	if status != 0 {
		t.Fatalf("carillon %s --help: exit status %d, %s", command, status, out.String())
	}
	return out.String()
}

// leaves returns the commands below one that do something themselves.
func leaves(t *testing.T, command string) []string {
	t.Helper()
	_, list, more := strings.Cut(help(t, command), "\nCommands:\n")
	if !more {
		return []string{command}
	}
	var all []string
	for line := range strings.Lines(list) {
		if m := subcommand.FindStringSubmatch(line); m != nil {
			all = append(all, leaves(t, m[1])...)
		}
	}
	return all
}

// TestCommands compares docs/commands.md with what the program says of each of its commands.
func TestCommands(t *testing.T) {
	t.Setenv("COLUMNS", "100") // the width of help texts
	const name = "docs/commands.md"
	var b strings.Builder
	b.WriteString("# Commands\n\nMade from the help texts by `go test -run TestCommands -update .`\n\n" +
		"The exit status is 0 when what was asked for was done, 1 when it failed or did not hold, and 2 when it makes no\nsense as it was asked.\n")
	all := leaves(t, "")
	if len(all) < 15 {
		t.Errorf("found only %q", all)
	}
	for _, command := range all {
		text := strings.TrimSpace(help(t, command))
		// The settings of a node have a page.
		if before, _, is := strings.Cut(text, "\n\nNode\n"); is {
			text = before + "\n\nThe settings of a node: docs/config.md"
		}
		b.WriteString("\n## carillon " + command + "\n\n```\n" + text + "\n```\n")
	}
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != b.String() {
		t.Errorf("%s is out of date: run `go test -run TestCommands -update .` (%v)", name, err)
	}
}
