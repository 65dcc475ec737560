package server

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"carillon/config"
	"carillon/media"
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
	page.WriteString("\n## Why media are dropped\n\nThe words of `why` in `carillon_media_dropped_total`. Of one call `carillon calls show` has\n`key_used_up`, `not_authentic` (wrong tags), `plain`, `replay` and `wrong_source`.\n\n| why | meaning |\n| --- | --- |\n")
	for _, d := range drops() {
		fmt.Fprintf(&page, "| `%s` | %s |\n", d.why, d.help)
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

// TestDrops: each reason has a count of its own in media.Stats.
func TestDrops(t *testing.T) {
	var s media.Stats
	counts := reflect.ValueOf(&s).Elem()
	by := map[string]string{}
	for i := range counts.NumField() {
		f, name := counts.Field(i), counts.Type().Field(i).Name
		if !f.CanUint() {
			continue
		}
		f.SetUint(1)
		for _, d := range drops() {
			if d.count(&s) == 1 {
				by[name] += d.why
			}
		}
		f.SetUint(0)
	}
	all := drops()
	if len(by) != len(all) || !slices.IsSortedFunc(all, func(a, b drop) int { return strings.Compare(a.why, b.why) }) {
		t.Errorf("%d reasons count %v", len(all), by)
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
