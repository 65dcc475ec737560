package server

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"carillon/config"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsPage = "../docs/metrics.md"

// TestMetricsPage holds docs/metrics.md against what a running node exposes.
func TestMetricsPage(t *testing.T) {
	n := startTrial(t)
	// A metric with labels shows once it has a value: one request without a signature gives the API's theirs.
	answer, err := http.Get(n.Ready().API + "/voice-connectors")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Fatalf("request without a signature: status %d, want 403", answer.StatusCode)
	}
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteString("# Metrics\n\nServed in Prometheus' form at `--metrics`. Made from the code by `go test ./server -run TestMetricsPage -update`. Those of Go's\nruntime (`go_`) and of the process (`process_`) are served, too.\n\n")
	page.WriteString("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") {
			continue // they differ between versions of Go and kernels
		}
		var labels []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(labels, "`"+l.GetName()+"`") {
					labels = append(labels, "`"+l.GetName()+"`")
				}
			}
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	if *update {
		if err := os.WriteFile(metricsPage, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	if page.String() != string(want) {
		t.Errorf("docs/metrics.md is out of date: run go test ./server -run TestMetricsPage -update")
	}
}

// startTrial starts a trial node on free ports and stops it with the test.
func startTrial(t *testing.T) *Node {
	t.Helper()
	c := config.Default(true)
	c.Data = t.TempDir()
	const free = "127.0.0.1:0"
	c.API, c.SIPUDP, c.SIPTCP, c.SIPTLS, c.DNS, c.Metrics = free, free, free, free, free, free
	n, err := Start(t.Context(), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
