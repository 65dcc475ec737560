package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ng speaks rtpengine's control protocol: a cookie and a bencoded dictionary in a datagram, answered likewise.
type ng struct {
	conn   net.Conn
	run    string // cookies must never come again, whoever sent them
	cookie int
}

func newNG(at string) (*ng, error) {
	conn, err := net.Dial("udp", at)
	if err != nil {
		return nil, fmt.Errorf("reach rtpengine: %w", err)
	}
	return &ng{conn: conn, run: strconv.FormatInt(time.Now().UnixNano(), 36)}, nil
}

// ask sends a command and returns the answer's strings. It tries again when no answer comes.
func (g *ng) ask(command map[string]any) (map[string]any, error) {
	g.cookie++
	cookie := g.run + "_" + strconv.Itoa(g.cookie)
	request := cookie + " " + encode(command)
	b := make([]byte, 65535)
	for range 20 {
		if _, err := g.conn.Write([]byte(request)); err != nil {
			return nil, err
		}
		_ = g.conn.SetReadDeadline(time.Now().Add(time.Second))
		for {
			n, err := g.conn.Read(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil { // nobody listens yet
				time.Sleep(50 * time.Millisecond)
				break
			}
			of, text, _ := strings.Cut(string(b[:n]), " ")
			if of != cookie {
				continue
			}
			v, _, err := decode(text)
			answer, ok := v.(map[string]any)
			if err != nil || !ok {
				return nil, fmt.Errorf("an answer %q: %w", text, err)
			}
			if answer["result"] == "error" {
				return nil, fmt.Errorf("rtpengine refuses: %v", answer["error-reason"])
			}
			return answer, nil
		}
	}
	return nil, errors.New("rtpengine does not answer")
}

// encode writes strings, lists of strings and dictionaries.
func encode(v any) string {
	var b strings.Builder
	switch v := v.(type) {
	case string:
		fmt.Fprintf(&b, "%d:%s", len(v), v)
	case []string:
		b.WriteByte('l')
		for _, s := range v {
			b.WriteString(encode(s))
		}
		b.WriteByte('e')
	case map[string]any:
		b.WriteByte('d')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(encode(k) + encode(v[k]))
		}
		b.WriteByte('e')
	}
	return b.String()
}

var errBencode = errors.New("not bencoded")

// decode reads one value off a text.
func decode(s string) (v any, rest string, err error) {
	switch {
	case s == "":
		return nil, "", errBencode
	case s[0] == 'i':
		number, rest, ok := strings.Cut(s[1:], "e")
		n, err := strconv.Atoi(number)
		if !ok || err != nil {
			return nil, "", errBencode
		}
		return n, rest, nil
	case s[0] == 'l' || s[0] == 'd':
		return decodeMany(s)
	}
	size, rest, ok := strings.Cut(s, ":")
	n, err := strconv.Atoi(size)
	if !ok || err != nil || n < 0 || n > len(rest) {
		return nil, "", errBencode
	}
	return rest[:n], rest[n:], nil
}

func decodeMany(s string) (any, string, error) {
	var list []any
	rest := s[1:]
	for rest != "" && rest[0] != 'e' {
		v, after, err := decode(rest)
		if err != nil {
			return nil, "", err
		}
		list, rest = append(list, v), after
	}
	if rest == "" {
		return nil, "", errBencode
	}
	if s[0] == 'l' {
		return list, rest[1:], nil
	}
	values := map[string]any{}
	for pair := range slices.Chunk(list, 2) {
		name, ok := pair[0].(string)
		if !ok || len(pair) != 2 {
			return nil, "", errBencode
		}
		values[name] = pair[1]
	}
	return values, rest[1:], nil
}
