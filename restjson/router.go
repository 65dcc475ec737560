package restjson

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Route is the HTTP binding of one operation.
type Route struct {
	// Method is the HTTP method in capitals.
	Method string
	// Template is the path: literal segments and {label} segments, a slash before each, none at the end.
	Template string
	// Select lists the query parameters with a fixed value that belong to the URI ("?operation=put"). Two routes may
	// differ in nothing else.
	Select []Selector
}

// Selector is a query parameter with a fixed value.
type Selector struct {
	Name, Value string
}

// Match is what a [Router] found.
type Match struct {
	// Route is the index of the route in the slice the router was made from.
	Route int
	// Labels holds the unescaped value of each label; never an empty one.
	Labels map[string]string
}

// UnknownOperationError says that no route fits a request. AWS answers both causes the same: 404 with
// UnknownOperationException.
type UnknownOperationError struct {
	// Allowed lists the methods that the path does know, sorted; empty if the path is unknown.
	Allowed []string
}

// Error returns a sentence fit for the client.
func (e *UnknownOperationError) Error() string {
	if len(e.Allowed) == 0 {
		return "The requested operation is not recognized by the service: no operation has this path."
	}
	return "The requested operation is not recognized by the service: this path takes " + strings.Join(e.Allowed, ", ") +
		", some of them with an 'operation' or 'type' query parameter."
}

// Router finds the route of a request. It works on the escaped path, so that an escaped slash stays inside its label.
// A router is immutable and safe for concurrent use.
type Router struct {
	root node
}

// node is one segment of all templates with the same beginning.
type node struct {
	literal map[string]*node
	label   *node
	// rows ending here, those with selectors first: the more specific route wins.
	rows []row
}

type row struct {
	index  int
	method string
	query  []Selector
	labels []string
}

// NewRouter builds a router. It refuses templates it cannot serve and two routes that no request could tell apart.
func NewRouter(routes []Route) (*Router, error) {
	rt := new(Router)
	for i, route := range routes {
		if err := rt.add(i, route); err != nil {
			return nil, fmt.Errorf("add route %s %s: %w", route.Method, route.Template, err)
		}
	}
	return rt, nil
}

func (rt *Router) add(index int, route Route) error {
	if !strings.HasPrefix(route.Template, "/") || strings.ContainsAny(route.Template, "?#+") {
		return fmt.Errorf("the template is not a plain path")
	}
	n, labels := &rt.root, []string(nil)
	for segment := range strings.SplitSeq(route.Template[1:], "/") {
		name, isLabel := strings.CutPrefix(segment, "{")
		if !isLabel {
			if n.literal == nil {
				n.literal = make(map[string]*node)
			}
			if n.literal[segment] == nil {
				n.literal[segment] = new(node)
			}
			n = n.literal[segment]
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		if !closed || name == "" || slices.Contains(labels, name) {
			return fmt.Errorf("bad label %q", segment)
		}
		labels = append(labels, name)
		if n.label == nil {
			n.label = new(node)
		}
		n = n.label
	}
	for _, other := range n.rows {
		if other.method == route.Method && sameSelectors(other.query, route.Select) {
			return fmt.Errorf("the same request already reaches route %d", other.index)
		}
	}
	n.rows = append(n.rows, row{index: index, method: route.Method, query: route.Select, labels: labels})
	slices.SortStableFunc(n.rows, func(a, b row) int { return len(b.query) - len(a.query) })
	return nil
}

func sameSelectors(a, b []Selector) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s Selector) bool { return !slices.Contains(b, s) })
}

// Match finds the route for a method, an escaped path (http.Request.URL.EscapedPath) and a parsed query. The error is
// always an [*UnknownOperationError].
func (rt *Router) Match(method, escapedPath string, query url.Values) (Match, error) {
	rest, rooted := strings.CutPrefix(escapedPath, "/")
	if !rooted {
		return Match{}, &UnknownOperationError{}
	}
	s := search{method: method, query: query}
	if found := s.walk(&rt.root, rest, true); found != nil {
		m := Match{Route: found.index, Labels: make(map[string]string, len(found.labels))}
		for i, name := range found.labels {
			m.Labels[name] = s.values[i]
		}
		return m, nil
	}
	return Match{}, &UnknownOperationError{Allowed: slices.Sorted(maps.Keys(s.allowed))}
}

// search is the state of one Match: label values of the branch being tried, and methods seen on branches that ended
// without a row for this request.
type search struct {
	method  string
	query   url.Values
	values  []string
	allowed map[string]bool
}

func (s *search) walk(n *node, rest string, more bool) *row {
	if !more {
		return s.pick(n)
	}
	segment, rest, more := strings.Cut(rest, "/")
	if next := n.literal[segment]; next != nil {
		if found := s.walk(next, rest, more); found != nil {
			return found
		}
	}
	// An empty label would let "/voice-connectors/" act on no connector at all.
	if n.label == nil || segment == "" {
		return nil
	}
	value, err := url.PathUnescape(segment)
	if err != nil {
		return nil
	}
	s.values = append(s.values, value)
	if found := s.walk(n.label, rest, more); found != nil {
		return found
	}
	s.values = s.values[:len(s.values)-1]
	return nil
}

func (s *search) pick(n *node) *row {
	for i := range n.rows {
		r := &n.rows[i]
		if r.method == s.method && s.selected(r.query) {
			return r
		}
		if s.allowed == nil {
			s.allowed = make(map[string]bool)
		}
		s.allowed[r.method] = true
	}
	return nil
}

func (s *search) selected(want []Selector) bool {
	for _, sel := range want {
		// The first one counts, as it does for members.
		if values := s.query[sel.Name]; len(values) == 0 || values[0] != sel.Value {
			return false
		}
	}
	return true
}
