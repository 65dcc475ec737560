package restjson

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// vector is one request of a Smithy malformed-request test, with its parameters filled in.
type vector struct {
	id, method, uri, body string
	query                 []string
	headers               map[string]any
	errorType, message    string
}

// readVectors reads the httpMalformedRequestTests of a .smithy file.
func readVectors(t *testing.T, file string) []vector {
	t.Helper()
	var all []vector
	const trait = "@httpMalformedRequestTests("
	rest := string(readSmithy(t, file))
	for {
		i := strings.Index(rest, trait)
		if i < 0 {
			return all
		}
		p := nodeParser{rest: rest[i+len(trait):]}
		for _, c := range p.value().([]any) {
			all = append(all, expand(c.(map[string]any))...)
		}
		rest = p.rest
	}
}

func readSmithy(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/smithy/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bareWord is a number, a flag or null: what is written without quotes.
type bareWord string

// expand makes one vector for each set of test parameters.
func expand(c map[string]any) []vector {
	parameters, _ := c["testParameters"].(map[string]any)
	n := 1
	for _, list := range parameters {
		n = len(list.([]any))
	}
	var out []vector
	for i := range n {
		replacements := []string{"$$", "$"}
		for name, list := range parameters {
			value := fmt.Sprint(list.([]any)[i])
			quoted, _ := json.Marshal(value)
			replacements = append(replacements, "$"+name+":L", value, "$"+name+":S", string(quoted))
		}
		fill := func(s any) string {
			if s == nil {
				return ""
			}
			return strings.NewReplacer(replacements...).Replace(s.(string))
		}
		request, response := c["request"].(map[string]any), c["response"].(map[string]any)
		v := vector{id: c["id"].(string), method: request["method"].(string), uri: fill(request["uri"]), body: fill(request["body"])}
		v.headers, _ = request["headers"].(map[string]any)
		queries, _ := request["queryParams"].([]any)
		for _, q := range queries {
			v.query = append(v.query, fill(q))
		}
		v.errorType = response["headers"].(map[string]any)["x-amzn-errortype"].(string)
		if body, ok := response["body"].(map[string]any); ok {
			var want struct{ Message string }
			contents := fill(body["assertion"].(map[string]any)["contents"])
			if err := json.Unmarshal([]byte(contents), &want); err != nil {
				panic(v.id + ": " + err.Error() + contents)
			}
			v.message = want.Message
		}
		out = append(out, v)
	}
	return out
}

// nodeParser reads the node values of the Smithy IDL: JSON with text blocks, comments, bare words and optional commas.
type nodeParser struct{ rest string }

func (p *nodeParser) space() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n,:")
		if !strings.HasPrefix(p.rest, "//") {
			return
		}
		_, p.rest, _ = strings.Cut(p.rest, "\n")
	}
}

func (p *nodeParser) take(prefix string) bool {
	p.space()
	rest, found := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return found
}

func (p *nodeParser) value() any {
	switch {
	case p.take("["):
		list := []any{}
		for !p.take("]") {
			list = append(list, p.value())
		}
		return list
	case p.take("{"):
		object := map[string]any{}
		for !p.take("}") {
			name := p.value().(string)
			object[name] = p.value()
		}
		return object
	case p.take(`"""`):
		text, rest, _ := strings.Cut(p.rest, `"""`)
		p.rest = rest
		// A backslash at the end of a line joins it to the next, whose indentation is none of the text's.
		text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
		return strings.TrimSpace(strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(text))
	case strings.HasPrefix(p.rest, `"`):
		end := 1
		for p.rest[end] != '"' {
			if p.rest[end] == '\\' {
				end++
			}
			end++
		}
		var s string
		if err := json.Unmarshal([]byte(p.rest[:end+1]), &s); err != nil {
			panic(err)
		}
		p.rest = p.rest[end+1:]
		return s
	}
	end := strings.IndexAny(p.rest, " \t\r\n,:]})")
	word := p.rest[:end]
	p.rest = p.rest[end:]
	if word[0] == '-' || word[0] >= '0' && word[0] <= '9' || word == "true" || word == "false" || word == "null" {
		return bareWord(word)
	}
	return word
}
