package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// exampleOrder is the order in which the AWS CLI's examples can be run.
var exampleOrder = []string{
	"create-voice-connector", "get-voice-connector", "list-voice-connectors", "update-voice-connector",
	"put-voice-connector-termination", "get-voice-connector-termination", "put-voice-connector-termination-credentials",
	"list-voice-connector-termination-credentials", "get-voice-connector-termination-health", "put-voice-connector-origination",
	"get-voice-connector-origination", "put-voice-connector-logging-configuration", "get-voice-connector-logging-configuration",
	"put-voice-connector-streaming-configuration", "get-voice-connector-streaming-configuration", "put-voice-connector-proxy",
	"get-voice-connector-proxy", "create-voice-connector-group", "get-voice-connector-group", "list-voice-connector-groups",
	"update-voice-connector-group",
	"search-available-phone-numbers", "create-phone-number-order", "get-phone-number-order", "list-phone-number-orders",
	"associate-phone-numbers-with-voice-connector", "get-phone-number", "list-phone-numbers", "disassociate-phone-numbers-from-voice-connector",
	"associate-phone-numbers-with-voice-connector-group", "disassociate-phone-numbers-from-voice-connector-group",
	"update-phone-number-settings", "get-phone-number-settings", "update-global-settings", "get-global-settings",
	"update-phone-number", "batch-update-phone-number", "delete-phone-number", "restore-phone-number", "batch-delete-phone-number",
	"delete-voice-connector-proxy", "delete-voice-connector-streaming-configuration", "delete-voice-connector-termination-credentials",
	"delete-voice-connector-termination", "delete-voice-connector-origination", "delete-voice-connector-group",
	"delete-voice-connector",
	"create-proxy-session", "get-proxy-session", "list-proxy-sessions", "update-proxy-session", "delete-proxy-session",
	"associate-phone-number-with-user", "disassociate-phone-number-from-user",
}

// exampleDiffers gives the reason why an example's answer has a member that ours has not.
var exampleDiffers = map[string]string{
	"get-voice-connector-termination .Termination.DefaultPhoneNumber":     "the example that puts a termination has none",
	"get-voice-connector-termination-health .TerminationHealth.Timestamp": "nobody sent OPTIONS",
	"get-voice-connector-termination-health .TerminationHealth.Source":    "nobody sent OPTIONS",
}

// exampleRefused names commands that are refused here, by a part of them, with the exception.
var exampleRefused = map[string]string{
	"proxy-session":                    "ForbiddenException", // AWS ended them
	"-phone-number-with-user":          "ForbiddenException", // users are Amazon Chime's, not a trunk's
	"-phone-number-from-user":          "ForbiddenException",
	`--product-type "BusinessCalling"`: "BadRequestException", // Amazon Chime's own calling
}

func exampleRefusal(line string) string {
	for part, exception := range exampleRefused {
		if strings.Contains(line, part) {
			return exception
		}
	}
	return ""
}

// example is a command and what AWS answered; nil where that was nothing, or is no JSON.
type example struct {
	name, line string
	answer     jsonObject
}

// readExamples reads the commands out of the file.
func readExamples(t *testing.T) map[string][]example {
	t.Helper()
	text, err := os.ReadFile("testdata/examples-awscli-chime.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]example{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, rest, _ := strings.Cut(section, ".rst")
		for _, one := range strings.Split(rest, "\n    aws ")[1:] {
			command, after, _ := strings.Cut(one, "\n\n")
			// A continuation may have blanks after its backslash, and one lacks the backslash.
			e := example{name: name, line: strings.Join(strings.Fields(regexp.MustCompile(`\\\s*\n`).ReplaceAllString(command, " ")), " ")}
			if _, answer, found := strings.Cut(after, "Output::\n"); found {
				_ = json.NewDecoder(strings.NewReader(answer)).Decode(&e.answer) // some are not quite JSON: then only the command counts
			}
			all[name] = append(all[name], e)
		}
	}
	return all
}

// TestCLIExamples types what the AWS CLI's own examples of the namespace chime type, and holds the answers against
// those that AWS gave: every member that AWS had must be there, and be of the same kind.
func TestCLIExamples(t *testing.T) {
	t.Parallel()
	n := node(t)
	seatNumber := len(theClients)
	s := newSeat(t, n, seatNumber)
	aws := startAWSCLI(t, s, &client{name: "awscli/chime", namespace: "chime"})
	examples := readExamples(t)
	own := map[string]string{"206": s.area}
	for i, digits := range []string{"12065550100", "12065550101", "12065550102", "12065550103"} {
		own[digits] = strings.TrimPrefix(s.number(i), "+")
	}
	own["14013143874"], own["14013144061"] = own["12065550100"], own["12065550101"]
	// The ids of the examples become ours as they are made.
	made := map[string]struct{ theirs, object, member string }{
		"create-voice-connector":       {"abcdef1ghij2klmno3pqr4", "VoiceConnector", "VoiceConnectorId"},
		"create-voice-connector-group": {"123a456b-c7d8-90e1-fg23-4h567jkl8901", "VoiceConnectorGroup", "VoiceConnectorGroupId"},
		"create-phone-number-order":    {"abc12345-de67-89f0-123g-h45i678j9012", "PhoneNumberOrder", "PhoneNumberOrderId"},
	}
	differ := map[string]bool{}
	for _, name := range exampleOrder {
		if len(examples[name]) == 0 {
			t.Errorf("there is no example %s", name)
		}
		for _, e := range examples[name] {
			line := e.line
			for theirs, ours := range own {
				line = regexp.MustCompile(`\b`+regexp.QuoteMeta(theirs)+`\b`).ReplaceAllString(strings.ReplaceAll(line, "%2B"+theirs, "%2B"+ours), ours)
			}
			if name == "delete-voice-connector-group" { // no example empties the group first
				aws.call("UpdateVoiceConnectorGroup", object{"VoiceConnectorGroupId": own["123a456b-c7d8-90e1-fg23-4h567jkl8901"], "Name": "empty",
					"VoiceConnectorItems": []any{}}, 0)
			}
			a := aws.ask(object{"line": line})
			if exception := exampleRefusal(line); exception != "" {
				if a.Fault != exception {
					t.Errorf("aws %s: got %+v, want %s", line, a, exception)
				}
				continue
			}
			if a.Broken != "" || a.Fault != "" {
				t.Errorf("aws %s: %s%s %s", line, a.Broken, a.Fault, a.Message)
				continue
			}
			if m, ok := made[name]; ok {
				if o, ok := a.Out[m.object].(jsonObject); ok {
					own[m.theirs] = fmt.Sprint(o[m.member])
				}
			}
			for _, fault := range lacks("", e.answer, a.Out) {
				if exampleDiffers[name+" "+fault] == "" {
					t.Errorf("aws %s: lacks %s: got %s, want %s", line, fault, compact(a.Out), compact(e.answer))
				}
				differ[name+" "+fault] = true
			}
		}
	}
	if len(exampleOrder) != len(examples) {
		t.Errorf("%d examples run, want %d", len(exampleOrder), len(examples))
	}
	for d := range exampleDiffers {
		if !differ[d] {
			t.Errorf("%s is no difference", d)
		}
	}
}

// lacks returns the places of members that want has and got has not, or not of the same kind.
func lacks(at string, want, got any) []string {
	var all []string
	switch want := want.(type) {
	case jsonObject:
		object, ok := got.(jsonObject)
		if !ok {
			return []string{at}
		}
		for name, w := range want {
			if g, there := object[name]; there {
				all = append(all, lacks(at+"."+name, w, g)...)
			} else {
				all = append(all, at+"."+name)
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok {
			return []string{at}
		}
		if len(want) > 0 && len(list) > 0 {
			all = lacks(at, want[0], list[0])
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			return []string{at}
		}
	}
	return all
}
