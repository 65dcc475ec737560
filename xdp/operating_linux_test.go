package xdp

import (
	"fmt"
	"os"
	"regexp"
	"testing"
)

// TestOperatingPage: docs/operating.md says how much memory is locked, and how many queues an interface may have.
func TestOperatingPage(t *testing.T) {
	page, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for queues := range MaxQueues {
		most = max(most, memoryOf(queues+1))
	}
	for _, want := range []string{
		fmt.Sprintf("%d MiB are locked for one queue and up to %d MiB for more", memoryOf(1)>>20, most>>20),
		fmt.Sprintf("no more than %d queues", MaxQueues),
	} {
		words := regexp.MustCompile(" ").ReplaceAllString(regexp.QuoteMeta(want), `\s+`)
		if !regexp.MustCompile(words).Match(page) {
			t.Errorf("docs/operating.md does not say %q", want)
		}
	}
}
