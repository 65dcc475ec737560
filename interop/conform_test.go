package interop

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// trial is one call that every client makes which knows the operation. Trials run in their order: what an answer gives,
// later ones use. A member that a client's model does not have is left out for that client, of input and want.
type trial struct {
	operation string
	// in is the input and want what the output must hold; see match.
	in, want string
	// fails is the exception that must be raised instead, says a part of its message, and code its ErrorCode where that
	// is not the exception's name.
	fails, says, code string
	// pages asks for all pages, with the client's own paginator where it has one.
	pages *pages
	// whole trials are only for clients whose model has every member of the input.
	whole bool
	// only names the namespace that the trial is for; empty is both.
	only string
}

// pages is a list that is read page by page.
type pages struct {
	// list is the member with the elements, key the member of each that identifies it; empty when it is the element.
	list, key string
	size      int
	// sizes are those of the pages, and all the keys on them, in any order.
	sizes []int
	all   []string
}

// keys are those on the pages, if the trial asks for any.
func (s trial) keys() string {
	if s.pages == nil {
		return ""
	}
	return strings.Join(s.pages.all, " ")
}

// The cells of the matrix.
const (
	cellOK   = "ok"
	cellFail = "FAIL"
	// cellNone: the client does not have the operation.
	cellNone = "-"
)

const matrixFile = "testdata/conformance.json"

// TestConformance runs every trial with every client, and holds what came out against the matrix that docs/coverage.md
// shows. With -update it writes the matrix and prints it.
func TestConformance(t *testing.T) {
	t.Parallel()
	n := node(t)
	var mu sync.Mutex
	matrix := map[string]map[string]string{}
	t.Run("clients", func(t *testing.T) {
		for i, column := range theClients {
			t.Run(column.name+"/"+column.namespace, func(t *testing.T) {
				t.Parallel()
				c := &client{name: column.name + "/" + column.namespace, namespace: column.namespace}
				cells := runTrials(t, column.start(t, newSeat(t, n, i), c), newSeatNames(n, i))
				mu.Lock()
				defer mu.Unlock()
				for operation, cell := range cells {
					if matrix[operation] == nil {
						matrix[operation] = map[string]string{}
					}
					matrix[operation][c.name] = cell
				}
			})
		}
	})
	text, err := json.MarshalIndent(matrix, "", " ") // maps are marshalled in the order of their keys
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		printMatrix(matrix)
		if err := os.WriteFile(matrixFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, text) {
		t.Errorf("%s is not what was seen: run make conformance and look at the difference\n%s", matrixFile, text)
	}
}

// newSeatNames are the names that trials can use from the start.
func newSeatNames(n *process, number int) map[string]string {
	s := &seat{area: areaCodes[number]}
	names := map[string]string{
		"domain": n.Domain, "account": seatAccount(number), "area": s.area,
		"nobody": strings.Repeat("x", 22), "nothing": "00000000-0000-4000-8000-000000000000",
	}
	for i := range poolSize {
		names[fmt.Sprintf("n%d", i)] = s.number(i)
	}
	return names
}

// walk is one client's way through the trials.
type walk struct {
	c     *client
	model surface
	names map[string]string
	// passed over are the names that no trial gave because it was not for this client.
	passedOver map[string]bool
	cells      map[string]string
}

func runTrials(t *testing.T, c *client, names map[string]string) map[string]string {
	w := &walk{c: c, model: readModel(t, c.namespace), names: names, passedOver: map[string]bool{}, cells: map[string]string{}}
	for _, operation := range allOperations(t) {
		w.cells[operation] = cellNone
	}
	for i, s := range trials(t) {
		fault, ran := w.trial(t, s)
		switch {
		case fault != "":
			w.cells[s.operation] = cellFail
			t.Errorf("trial %d, %s %s: %s", i, s.operation, fill(s.in, w.names), fault)
		case ran && w.cells[s.operation] == cellNone:
			w.cells[s.operation] = cellOK
		}
	}
	for operation := range w.model {
		if c.known[operation] != nil && w.cells[operation] == cellNone {
			w.cells[operation] = cellFail
			t.Errorf("%s: the client has it and no trial was for it", operation)
		}
	}
	return w.cells
}

// trial takes one trial, and returns what was wrong and whether the trial was for this client.
func (w *walk) trial(t *testing.T, s trial) (fault string, ran bool) {
	fills, _ := filling(s.want)
	passOver := func() (string, bool) {
		for _, name := range fills {
			w.passedOver[name] = true
		}
		return "", false
	}
	known := w.c.known[s.operation]
	if known == nil || w.model[s.operation] == nil || s.only != "" && s.only != w.c.namespace {
		return passOver()
	}
	in, cut := w.trimmed(t, s, s.in, func(o *operationShape) *shape { return o.Input })
	if s.whole && cut {
		return passOver()
	}
	_, uses := filling(s.in + s.want + s.keys())
	for _, name := range uses {
		if w.passedOver[name] {
			return passOver()
		}
		if w.names[name] == "" {
			return "an earlier trial did not give " + name, true
		}
	}
	if s.pages != nil {
		return w.pages(s, in, known.Paginator), true
	}
	a := w.c.call(s.operation, in, 0)
	switch {
	case a.Broken != "":
		return a.Broken, true
	case s.fails != "":
		return w.failed(s, a), true
	case a.Fault != "":
		return fmt.Sprintf("got %s: %s, want success", a.Fault, a.Message), true
	}
	want, _ := w.trimmed(t, s, s.want, func(o *operationShape) *shape { return o.Output })
	got := any(a.Out)
	if a.Out == nil {
		got = jsonObject{}
	}
	if faults := match(want, got, w.names); len(faults) > 0 {
		return strings.Join(faults, "; "), true
	}
	if status := w.model[s.operation].Status; status != 0 && a.Status != 0 && a.Status != status {
		return fmt.Sprintf("got status %d, want %d", a.Status, status), true
	}
	return "", true
}

// trimmed fills a text's gaps and leaves out what the namespace's model or the client's own does not have.
func (w *walk) trimmed(t *testing.T, s trial, text string, side func(*operationShape) *shape) (jsonObject, bool) {
	t.Helper()
	value := decodeJSON(t, fill(cmp.Or(text, "{}"), w.names))
	value, cut := trim(value, side(w.model[s.operation]))
	value, cutByClient := trim(value, side(w.c.known[s.operation]))
	return value.(jsonObject), cut || cutByClient
}

// failed judges an exception: its name, the client's own class for it, its status and what it says.
func (w *walk) failed(s trial, a answer) string {
	want := exceptionStatus[s.fails]
	switch {
	case a.Fault == "":
		return fmt.Sprintf("got success %s, want %s", compact(a.Out), s.fails)
	case a.Fault != s.fails || !strings.Contains(a.Message, s.says):
		return fmt.Sprintf("got %s: %s, want %s: %s", a.Fault, a.Message, s.fails, s.says)
	case !a.Typed:
		return fmt.Sprintf("%s is not the client's own class", a.Fault)
	case a.Message == "":
		return a.Fault + " says nothing"
	case a.Code != "" && a.Code != cmp.Or(s.code, strings.TrimSuffix(s.fails, "Exception")):
		return fmt.Sprintf("got %s with ErrorCode %s, want %s", a.Fault, a.Code, cmp.Or(s.code, strings.TrimSuffix(s.fails, "Exception")))
	case a.Status != 0 && a.Status != want:
		return fmt.Sprintf("got status %d for %s, want %d", a.Status, a.Fault, want)
	}
	return ""
}

// exceptionStatus is the status of each modelled exception that trials expect, the same in both namespaces.
var exceptionStatus = map[string]int{
	"BadRequestException": 400, "ForbiddenException": 403, "NotFoundException": 404, "ConflictException": 409,
	"ResourceLimitExceededException": 400,
}

// pages reads all pages of a list, with the client's paginator if it has one, and holds them against what should be on
// them.
func (w *walk) pages(s trial, in jsonObject, paginator bool) string {
	var a answer
	if paginator {
		a = w.c.call(s.operation, in, s.pages.size)
	} else {
		a = w.turnPages(s, in)
	}
	switch {
	case a.Broken != "":
		return a.Broken
	case a.Fault != "":
		return fmt.Sprintf("got %s: %s, want pages", a.Fault, a.Message)
	}
	var sizes []int
	var keys []string
	for _, page := range a.Pages {
		list, ok := page[s.pages.list].([]any)
		if !ok {
			return fmt.Sprintf("a page has no %s: %s", s.pages.list, compact(page))
		}
		sizes = append(sizes, len(list))
		for _, element := range list {
			if s.pages.key != "" {
				element = element.(jsonObject)[s.pages.key]
			}
			keys = append(keys, fmt.Sprint(element))
		}
	}
	if !a.Merged && !slices.Equal(sizes, s.pages.sizes) {
		return fmt.Sprintf("got pages of %v, want %v: %s", sizes, s.pages.sizes, compact(a.Pages))
	}
	var all []string
	for _, key := range s.pages.all {
		all = append(all, fill(key, w.names))
	}
	slices.Sort(all)
	slices.Sort(keys)
	if !slices.Equal(keys, all) {
		return fmt.Sprintf("got %v on the pages, want %v", keys, all)
	}
	return ""
}

// turnPages does what a script does that has no paginator: it passes NextToken on until there is none.
func (w *walk) turnPages(s trial, in jsonObject) answer {
	var all answer
	in = maps.Clone(in)
	in["MaxResults"] = s.pages.size
	for range len(s.pages.sizes) + 1 {
		a := w.c.call(s.operation, in, 0)
		if a.Fault != "" || a.Broken != "" {
			return a
		}
		all.Pages = append(all.Pages, a.Out)
		token, more := a.Out["NextToken"].(string)
		if !more {
			return all
		}
		in["NextToken"] = token
	}
	return answer{Broken: fmt.Sprintf("there is still a NextToken after %d pages", len(all.Pages))}
}

// allOperations are those of both models.
func allOperations(t *testing.T) []string {
	t.Helper()
	all := map[string]bool{}
	for namespace := range models {
		for operation := range readModel(t, namespace) {
			all[operation] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// printMatrix shows the matrix to whoever ran the suite for it.
func printMatrix(matrix map[string]map[string]string) {
	fmt.Printf("%-50s", "")
	for _, c := range theClients {
		fmt.Printf(" %-14s", c.name)
	}
	fmt.Printf("\n%-50s", "")
	for _, c := range theClients {
		fmt.Printf(" %-14s", strings.TrimPrefix(c.namespace, "chime-sdk-"))
	}
	fmt.Println()
	for _, operation := range slices.Sorted(maps.Keys(matrix)) {
		fmt.Printf("%-50s", operation)
		for _, c := range theClients {
			fmt.Printf(" %-14s", matrix[operation][c.name+"/"+c.namespace])
		}
		fmt.Println()
	}
}
