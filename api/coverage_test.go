package api

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// refusalsList has each sentence that refuses operations, and which.
func refusalsList() string {
	var b strings.Builder
	b.WriteString("\nWhat the others are answered:\n\n| operations | sentence |\n|---|---|\n")
	names := map[string][]string{}
	var sentences []string
	for _, op := range Operations() {
		if op.Offered {
			continue
		}
		if names[op.Refusal] == nil {
			sentences = append(sentences, op.Refusal)
		}
		names[op.Refusal] = append(names[op.Refusal], op.Name)
	}
	for _, sentence := range sentences {
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names[sentence], ", "), sentence)
	}
	return b.String()
}

// TestCoverage holds docs/coverage.md against the table of operations.
func TestCoverage(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Operations

Written by ` + "`go test ./api -run TestCoverage -update`" + ` from the table that router, policies and metrics read too.

## AWS

Both namespaces are answered on one listener. An operation that is not offered is recognised: 403 ` + "`ForbiddenException`" + `
with one of the sentences below.

The columns of the clients are written by ` + "`make conformance`" + `, which calls every operation with every client that has it:
Debian 12's AWS CLI and boto3, and the releases of the AWS SDKs for Go and JavaScript that ` + "`interop/go.mod`" + ` and
` + "`interop/js/package.json`" + ` name. *ok*: success, typed exceptions and pages are as they should be, or the refusal is;
*-*: the client does not have the operation. Where a client has two marks, they are for ` + "`chime`" + ` and ` + "`chime-sdk-voice`" + `.

| operation | request | status | chime | chime-sdk-voice | here | AWS CLI | boto3 | Go v1 | Go v2 | JS |
|---|---|---|---|---|---|---|---|---|---|---|
`)
	clients := readConformance(t)
	mark := map[bool]string{true: "yes", false: "-"}
	total, offered := 0, 0
	for _, op := range Operations() {
		if len(op.Namespaces) == 0 {
			continue
		}
		total++
		here := "403"
		if op.Offered {
			offered++
			here = "offered"
		}
		fmt.Fprintf(&b, "| %s | `%s %s` | %d | %s | %s | %s | %s |\n", op.Name, op.Method, op.Path, op.Status,
			mark[slices.Contains(op.Namespaces, "chime")], mark[slices.Contains(op.Namespaces, "chime-sdk-voice")], here, clients[op.Name])
	}
	fmt.Fprintf(&b, "\n%d of %d are offered.\n", offered, total)
	b.WriteString(refusalsList())
	b.WriteString(`
## STS

What clients ask first. Signed for the service ` + "`sts`" + `, at ` + "`/sts`" + ` or, with a host ` + "`sts.…`" + ` or that signature, at ` + "`/`" + `; no policy can deny it.

| operation | request | status |
|---|---|---|
`)
	for _, op := range Operations() {
		if op.Service == stsService {
			fmt.Fprintf(&b, "| %s | `%s %s`, or GET | %d |\n", op.Name, op.Method, op.Path, op.Status)
		}
	}
	b.WriteString(`
## Carillon's own

Signed like the rest, service ` + "`chime`" + `. A key without a policy may use none of them unless it is an operator's.

| operation | request | status | action | who |
|---|---|---|---|---|
`)
	for _, op := range Operations() {
		if len(op.Namespaces) > 0 || op.Service == stsService {
			continue
		}
		who := "whose policy allows it, in their account; operators"
		if op.OperatorOnly {
			who = "operators"
		}
		fmt.Fprintf(&b, "| %s | `%s %s` | %d | `%s` | %s |\n", op.Name, op.Method, op.Path, op.Status, op.Action, who)
	}
	const file = "../docs/coverage.md"
	if *updateGolden {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is out of date: run `go test ./api -run TestCoverage -update`", file)
	}
}

// readConformance returns the cells of each operation as the page has them.
func readConformance(t *testing.T) map[string]string {
	t.Helper()
	const file = "../interop/testdata/conformance.json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var matrix map[string]map[string]string
	if err := json.Unmarshal(text, &matrix); err != nil {
		t.Fatal(err)
	}
	columns := [][]string{
		{"awscli/chime", "awscli/chime-sdk-voice"}, {"boto3/chime", "boto3/chime-sdk-voice"}, {"aws-sdk-go/chime"}, {"aws-sdk-go-v2/chime-sdk-voice"},
		{"aws-sdk-js/chime", "aws-sdk-js/chime-sdk-voice"},
	}
	out := map[string]string{}
	for _, op := range Operations() {
		if len(op.Namespaces) == 0 {
			continue
		}
		var cells []string
		for _, column := range columns {
			var marks []string
			for _, client := range column {
				mark := matrix[op.Name][client]
				if mark == "" {
					t.Errorf("%s has nothing about %s of %s: run make conformance", file, op.Name, client)
				}
				marks = append(marks, mark)
			}
			cells = append(cells, strings.Join(marks, " "))
		}
		out[op.Name] = strings.Join(cells, " | ")
	}
	return out
}
