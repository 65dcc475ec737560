package restjson

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// routerTest is a request line and the route it must reach.
type routerTest struct {
	request string
	want    int // -1: unknown
	labels  map[string]string
	allowed string
}

func routerTests() []routerTest {
	return []routerTest{
		{"GET /things", 0, nil, ""},
		{"POST /things", 1, nil, ""},
		{"POST /things?operation=batch", 2, nil, ""},
		{"POST /things?a=b&operation=batch&c", 2, nil, ""},
		{"POST /things?operation=other", 1, nil, ""},
		{"POST /things?operation=other&operation=batch", 1, nil, ""},
		{"GET /things/", -1, nil, ""},
		{"GET /things/a", 3, map[string]string{"thingId": "a"}, ""},
		{"GET /things/a/", -1, nil, ""},
		{"GET /things//parts/b", -1, nil, ""},
		{"GET /things/%2B1206", 3, map[string]string{"thingId": "+1206"}, ""},
		{"GET /things/a%2F..%2Fb%20c%25", 3, map[string]string{"thingId": "a/../b c%"}, ""},
		{"GET /things/%zz", -1, nil, ""},
		{"GET /things/settings", 7, nil, ""},
		{"GET /things/%73ettings", 3, map[string]string{"thingId": "settings"}, ""},
		{"GET /things/settings/parts/b", 6, map[string]string{"ThingId": "settings", "partId": "b"}, ""},
		{"POST /things/a/parts?operation=put", 4, map[string]string{"thingId": "a"}, ""},
		{"POST /things/a/parts?operation=delete", 5, map[string]string{"thingId": "a"}, ""},
		{"POST /things/a/parts", -1, nil, "POST"},
		{"DELETE /things", -1, nil, "GET POST"},
		{"DELETE /things/settings", -1, nil, "GET"},
		{"GET /search?type=numbers", 8, nil, ""},
		{"GET /search", -1, nil, "GET"},
		{"GET /flag?on", 9, nil, ""},
		{"GET /flag", -1, nil, "GET"},
		{"get /things", -1, nil, "GET POST"},
		{"GET /Things", -1, nil, ""},
		{"GET /", -1, nil, ""},
		{"GET *", -1, nil, ""},
		{"GET /nothing/here", -1, nil, ""},
	}
}

func TestRouter(t *testing.T) {
	routes := []Route{
		{Method: "GET", Template: "/things"},
		{Method: "POST", Template: "/things"},
		{Method: "POST", Template: "/things", Select: []Selector{{"operation", "batch"}}},
		{Method: "GET", Template: "/things/{thingId}"},
		{Method: "POST", Template: "/things/{thingId}/parts", Select: []Selector{{"operation", "put"}}},
		{Method: "POST", Template: "/things/{thingId}/parts", Select: []Selector{{"operation", "delete"}}},
		{Method: "GET", Template: "/things/{ThingId}/parts/{partId}"},
		{Method: "GET", Template: "/things/settings"},
		{Method: "GET", Template: "/search", Select: []Selector{{"type", "numbers"}}},
		{Method: "GET", Template: "/flag", Select: []Selector{{"on", ""}}},
	}
	rt, err := NewRouter(routes)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range routerTests() {
		method, target, _ := strings.Cut(tt.request, " ")
		path, rawQuery, _ := strings.Cut(target, "?")
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			t.Fatal(err)
		}
		m, err := rt.Match(method, path, query)
		if tt.want >= 0 {
			if err != nil || m.Route != tt.want || !maps.Equal(m.Labels, tt.labels) {
				t.Errorf("%s: got %+v, %v; want route %d, %v", tt.request, m, err, tt.want, tt.labels)
			}
			continue
		}
		unknown, ok := errors.AsType[*UnknownOperationError](err)
		if !ok {
			t.Errorf("%s: got %+v, %v; want unknown", tt.request, m, err)
			continue
		}
		if got := strings.Join(unknown.Allowed, " "); got != tt.allowed || unknown.Error() == "" {
			t.Errorf("%s: allowed %q, want %q", tt.request, got, tt.allowed)
		}
	}
}

func TestRouterRefuses(t *testing.T) {
	good := Route{Method: "GET", Template: "/a/{b}"}
	for _, routes := range [][]Route{
		{{Method: "GET", Template: "a"}},
		{{Method: "GET", Template: "/a?b=c"}},
		{{Method: "GET", Template: "/a/{b+}"}},
		{{Method: "GET", Template: "/a/{b"}},
		{{Method: "GET", Template: "/a/{}"}},
		{{Method: "GET", Template: "/{a}/{a}"}},
		{good, good},
		{good, {Method: "GET", Template: "/a/{other}"}},
		{{Method: "GET", Template: "/a", Select: []Selector{{"x", "1"}, {"y", "2"}}}, {Method: "GET", Template: "/a", Select: []Selector{{"y", "2"}, {"x", "1"}}}},
	} {
		if _, err := NewRouter(routes); err == nil {
			t.Errorf("%+v: accepted", routes)
		}
	}
	if _, err := NewRouter(slices.Clone([]Route{good, {Method: "POST", Template: "/a/{other}"}})); err != nil {
		t.Error(err)
	}
}

func FuzzRouter(f *testing.F) {
	for _, path := range []string{"/things", "/things/", "/things/a%2Fb/parts/c", "//", "/%", ""} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		rt, err := NewRouter([]Route{{Method: "GET", Template: "/things"}, {Method: "GET", Template: "/things/{a}"}, {Method: "GET", Template: "/things/{a}/parts/{b}"}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := rt.Match("GET", path, nil)
		if err != nil {
			return
		}
		if len(m.Labels) != m.Route || strings.Count(path, "/") != []int{1, 2, 4}[m.Route] {
			t.Errorf("%q matched route %d with %v", path, m.Route, m.Labels)
		}
		for name, value := range m.Labels {
			if value == "" {
				t.Errorf("%q: label %s is empty", path, name)
			}
		}
	})
}
