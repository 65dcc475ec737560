package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestOperatingPage: a node takes the settings in the unit of docs/operating.md.
func TestOperatingPage(t *testing.T) {
	page, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ExecStart=\S+/carillon serve (.*)$`).FindSubmatch(page)
	if m == nil {
		t.Fatal("the page has no unit that starts a node")
	}
	got := carillon(t, nil, append([]string{"config", "check"}, strings.Fields(string(m[1]))...)...)
	if got.status != 0 || got.err != "" {
		t.Errorf("carillon config check %s: %+v", m[1], got)
	}
}
