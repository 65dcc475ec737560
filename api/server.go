package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carillon/api/wire"
	"carillon/call"
	"carillon/clock"
	"carillon/directory"
	"carillon/iam"
	"carillon/restjson"
	"carillon/sigv4"
	"carillon/trunk"
)

// Limits of the API. Each can be set in Config except where it says otherwise.
const (
	// DefaultMaxBody is the longest request body in bytes. A longer one is counted in
	// carillon_api_bodies_too_large_total.
	DefaultMaxBody = 1 << 20
	// DefaultMaxConcurrent is how many requests are worked on at once; more are answered 503 and counted in
	// carillon_api_overload_total.
	DefaultMaxConcurrent = 1024
	// DefaultMaxPerAccount is how many of them may be one account's, or one operator's key's; more are answered 503 and
	// counted with the overload.
	DefaultMaxPerAccount = DefaultMaxConcurrent / 4
	// DefaultMaxLargeBodies is how many bodies of more than 64 KiB, or of a length not told, are read at once; more are
	// answered 503 and counted with the overload. Times DefaultMaxBody it bounds what senders nobody knows can fill.
	DefaultMaxLargeBodies = 32
	// DefaultMaxAuditReads is how many pages of the audit log are read, made and sent at once; more are answered 503 and
	// counted with the overload. Times audit.MaxPageBytes it bounds what readers who do not take their answers can fill.
	DefaultMaxAuditReads = 16
	// DefaultLargeBodyTime is how long such a body may be on its way: strangers who trickle must not hold all places.
	DefaultLargeBodyTime = 10 * time.Second
	// refusalTime is how long a client may take to take a refusal.
	refusalTime = 5 * time.Second
	// DefaultRequestTime is how long a request may take, its transaction included.
	DefaultRequestTime = 20 * time.Second
	// DefaultRetryMemory is how long a create is recognised when its client sends it again. It is the time in which
	// a signature stays good, so the same bytes never make a second connector.
	DefaultRetryMemory = sigv4.Window
	// smallBody is the longest body in bytes that any sender may send at any time. It is fixed.
	smallBody = 64 << 10
	// MaxHeaderBytes bounds the header of a request. It is fixed.
	MaxHeaderBytes = 16 << 10
)

// Directory is what the API reads from.
type Directory interface {
	// Snapshot returns the latest snapshot; never nil.
	Snapshot() *directory.Snapshot
	// Await returns once Snapshot is at revision or later.
	Await(ctx context.Context, revision int64) error
}

// CallFilter chooses calls; an empty field chooses all.
type CallFilter struct {
	Account, ConnectorID string
	// Number is the caller's or the called one, Reason the name of a call.Reason.
	Number, Reason string
	// Since chooses calls that began then or later.
	Since time.Time
}

// Calls is where records of calls are read from.
type Calls interface {
	// List returns at most limit records, newest first, those behind after, and the cursor of the next page: "" on
	// the last one. A cursor that List did not make gives an Error of kind Invalid.
	List(ctx context.Context, f CallFilter, limit int, after string) (records []call.Record, next string, err error)
	// Show returns the record of one call.
	Show(ctx context.Context, id call.ID) (record call.Record, found bool, err error)
}

// Config is what a Server is made from.
type Config struct {
	// Store, Directory, Calls and Audit hold the state.
	Store     trunk.Store
	Directory Directory
	Calls     Calls
	Audit     AuditLog
	// Rehearser is the signalling plane's judgement.
	Rehearser Rehearser
	// Clock and Random are passed in by whoever owns them; nil Clock is the system's. Random must be
	// cryptographically strong and safe for concurrent use: ids and secrets come from it.
	Clock  clock.Clock
	Random io.Reader
	// Logger gets one line for each request (info for one that changed something, else debug) and for each internal
	// error; nil is silent.
	Logger *slog.Logger
	// Metrics registers the metrics; nil keeps them unregistered.
	Metrics prometheus.Registerer
	// Rules are the limits of a connector's configuration; the zero value means trunk.DefaultRules.
	Rules trunk.Rules
	// TokenKey seals NextToken; the same on every node, at least 16 bytes.
	TokenKey []byte
	// DualStack says that the node serves IPv6: without it DUAL_STACK connectors are refused.
	DualStack bool
	// MaxPerAccount replaces its default, a quarter of MaxConcurrent, and LargeBodyTime its own, where they are not 0.
	MaxPerAccount int
	LargeBodyTime time.Duration
	// MaxBody, MaxConcurrent, MaxLargeBodies, MaxAuditReads, RequestTime and RetryMemory replace the defaults where they are not 0.
	MaxBody        int64
	MaxConcurrent  int
	MaxLargeBodies int
	MaxAuditReads  int
	RequestTime    time.Duration
	RetryMemory    time.Duration
	// MaxRateBuckets replaces its default where it is not 0.
	MaxRateBuckets int
	// ThrottleException is what a request beyond its account's rate is answered with: ThrottledClientException, which is
	// AWS's and the default, or ThrottlingException, which more clients back off from.
	ThrottleException string
}

// Server answers the API. Make it with New.
type Server struct {
	config   Config
	rows     []row
	router   *restjson.Router
	verifier *sigv4.Verifier
	policies *iam.Cache
	metrics  *metrics
	// nothing is the state of an installation in which nothing exists.
	nothing *directory.Snapshot
	// working, largeBodies and auditReads hold one element for each request in that stage.
	working, largeBodies, auditReads chan struct{}

	writer restjson.Writer
	shares shares
	rates  rates
	tokens tokenKeys
}

// chimeService is the service name in every client's credential scope, in both namespaces.
const chimeService = "chime"

// New returns a server. It fails when something it cannot do without is missing.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Directory == nil || c.Calls == nil || c.Audit == nil || c.Rehearser == nil || c.Random == nil {
		return nil, errors.New("make API server: Store, Directory, Calls, Audit, Rehearser and Random must be given")
	}
	if len(c.TokenKey) < 16 {
		return nil, errors.New("make API server: TokenKey has fewer than 16 bytes")
	}
	c = withDefaults(c)
	if err := checkThrottle(c.ThrottleException); err != nil {
		return nil, err
	}
	s := &Server{
		config: c, rows: table(), nothing: directory.New(directory.Config{}).Snapshot(), policies: iam.NewCache(0),
		working: make(chan struct{}, c.MaxConcurrent), largeBodies: make(chan struct{}, c.MaxLargeBodies),
		auditReads: make(chan struct{}, c.MaxAuditReads),
		shares:     shares{most: c.MaxPerAccount, taken: map[party]int{}},
		rates:      rates{limit: c.MaxRateBuckets, buckets: map[rateKey]rateBucket{}},
	}
	routes := make([]restjson.Route, len(s.rows))
	for i := range s.rows {
		routes[i] = s.rows[i].route
	}
	var err error
	if s.tokens, err = newTokenKeys(c.TokenKey); err != nil {
		return nil, fmt.Errorf("make API server: %w", err)
	}
	if s.router, err = restjson.NewRouter(routes); err != nil {
		return nil, fmt.Errorf("make API server: %w", err)
	}
	s.verifier = sigv4.NewVerifier(sigv4.Config{Keys: keyring{c.Directory}})
	if s.metrics, err = newMetrics(c.Metrics, s.verifier, s.policies); err != nil {
		return nil, fmt.Errorf("make API server: %w", err)
	}
	s.rates.forgotten = s.metrics.forgottenRates
	return s, nil
}

func withDefaults(c Config) Config {
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Rules.ShortestIPv4 == 0 && c.Rules.ShortestIPv6 == 0 {
		defaults := trunk.DefaultRules()
		c.Rules.ShortestIPv4, c.Rules.ShortestIPv6 = defaults.ShortestIPv4, defaults.ShortestIPv6
	}
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxConcurrent <= 0 {
		c.MaxConcurrent = DefaultMaxConcurrent
	}
	if c.MaxPerAccount <= 0 {
		c.MaxPerAccount = max(c.MaxConcurrent/4, 1)
	}
	if c.LargeBodyTime <= 0 {
		c.LargeBodyTime = DefaultLargeBodyTime
	}
	if c.MaxLargeBodies <= 0 {
		c.MaxLargeBodies = DefaultMaxLargeBodies
	}
	if c.MaxAuditReads <= 0 {
		c.MaxAuditReads = DefaultMaxAuditReads
	}
	if c.RequestTime <= 0 {
		c.RequestTime = DefaultRequestTime
	}
	if c.RetryMemory <= 0 {
		c.RetryMemory = DefaultRetryMemory
	}
	if c.MaxRateBuckets <= 0 {
		c.MaxRateBuckets = DefaultMaxRateBuckets
	}
	if c.ThrottleException == "" {
		c.ThrottleException = wire.ThrottledClientException
	}
	return c
}

// Handler returns the API as an http.Handler.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// HTTPServer returns an http.Server for a handler of this package with every limit set: the defaults of net/http wait
// for slow clients for ever.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(serverLog{log.Handler()}, slog.LevelWarn),
	}
}

// serverLog takes what an http.Server complains about. A handshake that did not come about is a stranger's doing, and a
// flood of them must not fill the log.
type serverLog struct{ slog.Handler }

// Handle implements slog.Handler.
func (l serverLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: TLS handshake error") {
		if !l.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		r.Level = slog.LevelDebug
	}
	return l.Handler.Handle(ctx, r)
}

// Operation describes one row of the table of operations, for documents and tests.
type Operation struct {
	// Name is AWS's name, or Carillon's.
	Name string
	// Action is the IAM action that must be allowed.
	Action string
	// Method and Path are the HTTP binding, the path with its literal query parameters.
	Method, Path string
	// Status is the HTTP status of success.
	Status int
	// Service is the service a request must be signed for: "chime", or "sts".
	Service string
	// Namespaces has the AWS namespaces with the operation; none for those of STS and Carillon's own.
	Namespaces []string
	// Offered is false for operations that are recognised and answered 403, with the sentence Refusal.
	Offered bool
	Refusal string
	// OperatorOnly says that only operators may use it, whatever their policy.
	OperatorOnly bool
}

// Operations returns the table of operations: those of the two namespaces in alphabetical order, then STS's, then Carillon's.
func Operations() []Operation {
	var all []Operation
	for _, r := range table() {
		op := Operation{
			Name: r.name, Action: r.action, Method: r.route.Method, Path: r.route.Template, Status: r.status,
			Service: r.service, Offered: r.handle != nil, Refusal: r.refusal, OperatorOnly: r.operatorOnly,
		}
		for i, s := range r.route.Select {
			op.Path += [2]string{"?", "&"}[min(i, 1)] + s.Name + "=" + s.Value
		}
		for _, n := range []wire.Namespace{wire.Chime, wire.Voice} {
			if r.aws != nil && r.aws.In(n).Offered {
				op.Namespaces = append(op.Namespaces, n.String())
			}
		}
		all = append(all, op)
	}
	return all
}
