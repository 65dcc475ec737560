package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/iam"
	"carillon/restjson"
	"carillon/trunk"
)

// request is one request on its way through the steps. What a step needs is filled in by those before it.
type request struct {
	server *Server
	http   *http.Request
	// ctx ends when the client goes away; until is when the request has taken too long. What waits asks bounded for both.
	ctx   context.Context
	until time.Time
	// id is the x-amzn-RequestId; now is when the request came, in UTC and milliseconds, the precision of the API.
	id  string
	now time.Time

	// sts says that the request is for STS and speaks its protocol.
	sts       bool
	row       *row
	labels    map[string]string
	query     url.Values
	body      []byte
	namespace wire.Namespace
	principal *iam.Principal
	// signatureEnd is when the signature stops being good.
	signatureEnd time.Time
	// region is the one the client signed for; any is accepted.
	region string
	// snapshot is the state this request reads, one and the same in all its steps.
	snapshot *directory.Snapshot
	// resource is the ARN that the policy was asked about for the request as a whole; empty for unrestricted rows.
	resource string
	// judged are the questions that were put to the policy; none without one. fresh is what the transaction has read of
	// what they are about.
	judged []judgement
	fresh  map[trunk.EntityKey]trunk.Entity
	// recorded counts the entries this request has left in the audit log.
	recorded int
	// leave gives back, once the answer is sent, a place that the handler took for an answer that can be long; may be nil.
	leave func()
	// shared is true while it counts among those of its account.
	shared bool
	// unauthorized is true when no policy of the principal allows it.
	unauthorized bool
}

// serve is the life of a request: what it is, who sent it, whether they may, and only then what it says.
func (s *Server) serve(w http.ResponseWriter, h *http.Request) {
	started := s.config.Clock.Now()
	r := &request{server: s, http: h, now: started.UTC().Truncate(time.Millisecond), sts: speaksSTS(h)}
	defer func() {
		if r.leave != nil {
			r.leave()
		}
	}()
	var answer any
	err := r.name()
	if err == nil {
		err = r.readBody(w)
	}
	if !working(h.Context()) {
		return // closed for want of room, and net/http finds out when it writes
	}
	if err == nil {
		answer, err = r.work()
	}
	worked(h.Context())
	r.finish(w, answer, err, started)
}

// work takes the steps in their order. Nothing about the state may show in an answer before authorize has passed.
func (r *request) work() (answer any, err error) {
	release, err := r.enter(r.server.working)
	if err != nil {
		return nil, err
	}
	defer release()
	r.ctx, r.until = r.http.Context(), r.server.config.Clock.Now().Add(r.server.config.RequestTime)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	defer r.leaveShare()
	for _, step := range []func(*request) error{
		(*request).route,
		(*request).authenticate,
		(*request).enterShare,
		(*request).throttle,
		(*request).authorize,
		(*request).offered,
	} {
		if err := step(r); err != nil {
			return nil, err
		}
	}
	answer, err = r.row.handle(r)
	if r.http.Method == http.MethodGet && trunk.KindOf(err) == trunk.NotFound {
		if err := r.catchUp(); err != nil {
			return nil, err
		}
		// What was not known to be there may be what the policy forbids.
		if err := r.authorize(); err != nil {
			return nil, err
		}
		answer, err = r.row.handle(r)
	}
	return answer, err
}

// catchUp brings the snapshot to the store's present revision. A read that finds nothing does so before it says so:
// another node may have made what is asked for, and told its client, a moment ago.
func (r *request) catchUp() error {
	err := r.update(func(tx trunk.Tx) error {
		_, err := tx.Get((&trunk.Installation{}).EntityKey())
		return err
	})
	r.snapshot = r.server.config.Directory.Snapshot()
	return err
}

// name gives the request its id.
func (r *request) name() error {
	id, err := uuid.NewRandomFromReader(r.server.config.Random)
	if err != nil {
		return fmt.Errorf("make request id: %w", err)
	}
	r.id = id.String()
	return nil
}

// errOverload refuses a request beyond the bounds. It is counted and never logged: a flood must not fill the log too.
var errOverload = trunk.Errorf(trunk.Unavailable, "Too many requests are being worked on. Try again.")

// errTooLong refuses to begin another write.
var errTooLong = trunk.Errorf(trunk.Unavailable, "The request took too long. What it has written so far stays written. Try again.")

// enter takes one of the places of a bounded stage, or refuses at once: a queue would only hide the overload.
func (r *request) enter(places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		r.server.metrics.overload.Inc()
		return nil, errOverload
	}
}

// readBody reads the whole body: the signature covers it, so it is read from anybody. Slow senders hold no place among
// the requests that are worked on, and only few may send more than a real request ever has.
func (r *request) readBody(w http.ResponseWriter) (err error) {
	if r.http.ContentLength < 0 || r.http.ContentLength > smallBody {
		leave, full := r.enter(r.server.largeBodies)
		if full != nil {
			return full
		}
		defer leave()
		// Deadlines of sockets are the system's time. The next request of the connection sets its own.
		deadline := http.NewResponseController(w)
		_ = deadline.SetReadDeadline(time.Now().Add(r.server.config.LargeBodyTime))
		defer func() {
			if err == nil { // what has not come by then is not waited for, either
				_ = deadline.SetReadDeadline(time.Time{})
			}
		}()
	}
	if r.body, err = restjson.ReadBody(r.http, r.server.config.MaxBody); isTooLarge(err) {
		return err
	} else if err != nil {
		// The client went away or sent less than it said: its fault, and no line in the log.
		return &restjson.SerializationError{Message: "The request body could not be read."}
	}
	r.query, err = restjson.ReadQuery(r.http)
	return err
}

// route finds namespace and row.
func (r *request) route() error {
	if r.sts {
		return r.routeSTS()
	}
	path := r.http.URL.EscapedPath()
	r.namespace, path = namespaceOf(r.http.Host, path, r.http.UserAgent())
	match, err := r.server.router.Match(r.http.Method, path, r.query)
	if err != nil {
		return err
	}
	row := &r.server.rows[match.Route]
	if row.service == stsService || row.aws != nil && !row.aws.In(r.namespace).Offered {
		return &restjson.UnknownOperationError{}
	}
	r.row, r.labels = row, match.Labels
	return nil
}

// offered stops at operations that are known but have no handler.
func (r *request) offered() error {
	if r.row.handle == nil {
		return trunk.Errorf(trunk.Forbidden, "%s", r.row.refusal)
	}
	return nil
}

// finish writes answer or exception, counts and logs.
func (r *request) finish(w http.ResponseWriter, answer any, err error, started time.Time) {
	s, operation, outcome := r.server, "unknown", "none"
	if r.row != nil {
		operation = r.row.name
	}
	var writeErr error
	if err == nil {
		writeErr = r.write(w, answer, restjson.Exception{})
	} else {
		// Who asks for nothing but refusals may be one that takes none. A writer without deadlines needs none.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(refusalTime)) // deadlines of sockets are the system's time
		e := r.exception(err)
		outcome = e.Type
		_, r.unauthorized = errors.AsType[*deniedError](err)
		if e.Status >= http.StatusInternalServerError && !errors.Is(err, errOverload) {
			s.config.Logger.Error("request failed", "request", r.id, "operation", operation, "error", err)
		}
		if isTooLarge(err) {
			s.metrics.tooLarge.Inc()
		}
		if r.http.ContentLength != int64(len(r.body)) {
			// The rest of the body may still be on its way; it must not be taken for the next request.
			w.Header().Set("Connection", "close")
		}
		if throttled, ok := errors.AsType[*throttledError](err); ok {
			throttled.announce(w.Header())
		}
		writeErr = r.write(w, nil, e)
	}
	took := s.config.Clock.Now().Sub(started)
	s.metrics.requests.WithLabelValues(operation, outcome).Inc()
	s.metrics.seconds.WithLabelValues(operation).Observe(took.Seconds())
	r.log(operation, outcome, took, writeErr)
}

// write sends the answer, or the exception e if it is one, in the protocol of the request.
func (r *request) write(w http.ResponseWriter, answer any, e restjson.Exception) error {
	switch {
	case r.sts:
		return r.writeSTS(w, answer, e)
	case e.Type != "":
		return r.server.writer.Exception(w, r.id, e)
	}
	return r.server.writer.Answer(w, r.id, r.row.status, answer)
}

// log writes one line about the request: what changed something, and who did it, is worth keeping, and who tried to
// without permission.
func (r *request) log(operation, outcome string, took time.Duration, writeErr error) {
	level := slog.LevelDebug
	if (outcome == "none" || r.unauthorized) && r.http.Method != http.MethodGet && !r.sts {
		level = slog.LevelInfo
	}
	if !r.server.config.Logger.Enabled(r.http.Context(), level) {
		return
	}
	if outcome == "none" { // no exception, which in a line of a log reads like a failure
		outcome = "ok"
	}
	attrs := []slog.Attr{
		slog.String("request", r.id), slog.String("operation", operation), slog.String("outcome", outcome),
		slog.Duration("took", took), slog.String("source", r.http.RemoteAddr),
	}
	if r.principal != nil {
		attrs = append(attrs, slog.String("account", r.principal.Account), slog.String("access_key_id", r.principal.AccessKeyID))
	}
	if id := r.labels["voiceConnectorId"]; id != "" {
		attrs = append(attrs, slog.String("connector", id))
	}
	if writeErr != nil {
		attrs = append(attrs, slog.String("write_error", writeErr.Error()))
	}
	r.server.config.Logger.LogAttrs(r.http.Context(), level, "request", attrs...)
}

// update runs fn as one transaction, with the entry of the audit log that tells of it, and returns when this node
// answers by it. When the snapshot turns out to be older than what fn wants to be absent, fn runs once more on a new one.
func (r *request) update(fn func(trunk.Tx) error) error {
	err := r.updateOnce(fn)
	if !errors.Is(err, trunk.ErrPresent) {
		return err
	}
	if err := r.catchUp(); err != nil {
		return err
	}
	return r.updateOnce(fn)
}

// bounded returns a context that ends when the client goes away or the request has taken too long. Most requests wait for
// nothing but the store, which bounds each write itself, and go without: net/http's context keeps account of all made from it.
func (r *request) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, r.until.Sub(r.server.config.Clock.Now()))
}

func (r *request) updateOnce(fn func(trunk.Tx) error) error {
	if r.server.config.Clock.Now().After(r.until) {
		return errTooLong
	}
	entries := 0
	revision, err := r.server.config.Store.Update(r.ctx, func(tx trunk.Tx) (err error) {
		entries, err = r.record(tx, fn)
		return err
	})
	if err != nil {
		return fmt.Errorf("update store: %w", err)
	}
	r.recorded += entries
	if r.server.config.Directory.Snapshot().Revision() >= revision {
		return nil
	}
	ctx, cancel := r.bounded()
	defer cancel()
	if err := r.server.config.Directory.Await(ctx, revision); err != nil {
		return fmt.Errorf("update directory: %w", err)
	}
	return nil
}

// namespaceOf tells which AWS namespace a request speaks, and its path without the base path that may say so: by host
// name, else base path, else what the User-Agent lets slip. A client that gives no hint gets the looser validation.
func namespaceOf(host, path, agent string) (wire.Namespace, string) {
	namespace, rest := wire.Either, path
	if base, tail, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/"); ok {
		switch base {
		case "chime":
			namespace, rest = wire.Chime, "/"+tail
		case "chime-sdk-voice", "voice":
			namespace, rest = wire.Voice, "/"+tail
		}
	}
	if n := namespaceOfHost(host); n != wire.Either {
		return n, rest
	}
	if namespace != wire.Either {
		return namespace, rest
	}
	return namespaceOfAgent(agent), rest
}

func namespaceOfHost(host string) wire.Namespace {
	first, _, ok := strings.Cut(strings.ToLower(host), ".")
	switch {
	case !ok:
		return wire.Either
	case first == "chime", first == "chime-fips", strings.HasPrefix(strings.ToLower(host), "service.chime.aws.amazon.com"):
		return wire.Chime
	case first == "voice-chime", first == "voice-chime-fips":
		return wire.Voice
	}
	return wire.Either
}

func namespaceOfAgent(agent string) wire.Namespace {
	for word := range strings.FieldsSeq(agent) {
		switch word = strings.TrimPrefix(word, "md/"); {
		case strings.HasPrefix(word, "command#chime."), strings.HasPrefix(word, "command/chime."),
			strings.HasPrefix(word, "api/chime#"):
			return wire.Chime
		case strings.HasPrefix(word, "command#chime-sdk-voice."), strings.HasPrefix(word, "command/chime-sdk-voice."),
			strings.HasPrefix(word, "api/chime-sdk-voice#"), strings.HasPrefix(word, "api/chimesdkvoice#"):
			return wire.Voice
		}
	}
	return wire.Either
}
