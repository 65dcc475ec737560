package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/clock"
	"carillon/quickjson"
	"carillon/restjson"
	"carillon/server"
	"carillon/sigv4"
	"carillon/trunk"
)

// requestTime bounds one request to the API.
const requestTime = 30 * time.Second

// signingService and defaultRegion are the scope of signatures; the API accepts any region.
const (
	signingService = "chime"
	defaultRegion  = "us-east-1"
)

// readyFileVariable names the ready file of the node that commands speak to. To carillon serve it is --ready-file.
const readyFileVariable = "CARILLON_READY_FILE"

// client speaks to the API of one node.
type client struct {
	node    server.Ready // where it is; with CARILLON_API only the API's address is known
	keys    sigv4.Credentials
	region  string
	clock   clock.Clock
	caller  *http.Client
	version string
}

// nodeFlags are those of every command that speaks to a node.
type nodeFlags struct {
	ReadyFile string `name:"ready-file" placeholder:"FILE" help:"Ready file of the node; else $$CARILLON_API with AWS's credential variables, else $$CARILLON_READY_FILE."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// connect finds the node and builds its client.
func (f *nodeFlags) connect(s *session) (*client, error) {
	env := func(name string) string { v, _ := s.getenv(name); return v }
	file := f.ReadyFile
	if file == "" && env("CARILLON_API") == "" {
		file = env(readyFileVariable)
	}
	var ready server.Ready
	var token string
	switch {
	case file != "":
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil, trunk.Errorf(trunk.Unavailable, "There is no ready file %s: no node that writes it is up.", file)
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &ready); err != nil || ready.API == "" {
			return nil, usage("%s is not a ready file.", file)
		}
	case env("CARILLON_API") != "":
		ready.API, ready.AccessKeyID, ready.SecretAccessKey = env("CARILLON_API"), env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
		// The same variable is the node's --api, which is HOST:PORT.
		if !strings.Contains(ready.API, "://") {
			ready.API = "http://" + ready.API
		}
		ready.CAFile, token = env("AWS_CA_BUNDLE"), env("AWS_SESSION_TOKEN")
		if ready.AccessKeyID == "" || ready.SecretAccessKey == "" {
			return nil, usage("CARILLON_API is set, so AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be, too.")
		}
	default:
		return nil, usage("Name the node: --ready-file FILE or CARILLON_READY_FILE, or CARILLON_API with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
	}
	region := env("AWS_REGION")
	if region == "" {
		region = env("AWS_DEFAULT_REGION")
	}
	c := newClient(ready, s.clock)
	c.keys.SessionToken = token
	if region != "" {
		c.region = region
	}
	return c, nil
}

// newClient returns a client with the credentials of a ready file.
func newClient(ready server.Ready, c clock.Clock) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if roots, err := rootsOf(ready.CAFile); err == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	return &client{
		node: ready, region: defaultRegion, clock: c, version: version(),
		keys:   sigv4.Credentials{AccessKeyID: ready.AccessKeyID, SecretAccessKey: ready.SecretAccessKey},
		caller: &http.Client{Transport: transport, Timeout: requestTime},
	}
}

// rootsOf returns the system's roots with those of a file.
func rootsOf(file string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if file == "" {
		return roots, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, usage("%s holds no certificate in PEM.", file)
	}
	return roots, nil
}

// aws performs an operation of AWS's. out may be nil.
func (c *client) aws(ctx context.Context, id wire.OperationID, in, out any) error {
	op := wire.Operations()[id]
	r, body, err := restjson.NewRequest(ctx, c.node.API, op.Route, op.In(wire.Either).Input, in)
	if err != nil {
		return err
	}
	return c.send(r, body, out)
}

// own performs an operation under /carillon/v1/. path may have a query; in and out may be nil.
func (c *client) own(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = quickjson.Marshal(in); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.node.API+path, bytes.NewReader(body))
	if err != nil {
		return usage("%q is no address of an API: %v.", c.node.API, err)
	}
	if in != nil {
		r.Header.Set("Content-Type", restjson.ContentType)
	}
	return c.send(r, body, out)
}

// pages asks for the pages of a list of Carillon's own until there are most entries or no more pages. take keeps a page's
// and returns how many there are by now, and the page's token.
func pages[T any](ctx context.Context, c *client, path string, query url.Values, most int, take func(T) (int, *string)) error {
	for have := 0; have < most; {
		query.Set(v1.QueryMax, strconv.Itoa(min(most-have, v1.MaxPage)))
		var page T
		if err := c.own(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		var token *string
		if have, token = take(page); token == nil {
			return nil
		}
		query.Set(v1.QueryToken, *token)
	}
	return nil
}

func (c *client) send(r *http.Request, body []byte, out any) error {
	r.Header.Set("User-Agent", "carillon/"+c.version)
	sigv4.Sign(r, body, c.keys, sigv4.Scope{Region: c.region, Service: signingService}, c.clock.Now())
	answer, err := c.caller.Do(r)
	if err != nil {
		if r.Context().Err() != nil {
			return r.Context().Err()
		}
		return trunk.Errorf(trunk.Unavailable, "The API at %s does not answer: %v.", c.node.API, errors.Unwrap(err))
	}
	return restjson.ReadAnswer(answer, out)
}
