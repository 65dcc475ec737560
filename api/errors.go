package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"carillon/api/wire"
	"carillon/restjson"
	"carillon/sigv4"
	"carillon/trunk"
)

// exceptionRow is what a kind of error is on the wire.
type exceptionRow struct{ name, code string }

// exceptions is the one table from kinds to exceptions, indexed by trunk.Kind. Never written.
var exceptions = [...]exceptionRow{
	trunk.Internal:      {wire.ServiceFailureException, "ServiceFailure"},
	trunk.Invalid:       {wire.BadRequestException, "BadRequest"},
	trunk.NotFound:      {wire.NotFoundException, "NotFound"},
	trunk.Conflict:      {wire.ConflictException, "Conflict"},
	trunk.Forbidden:     {wire.ForbiddenException, "Forbidden"},
	trunk.LimitExceeded: {wire.ResourceLimitExceededException, "ResourceLimitExceeded"},
	trunk.Throttled:     {wire.ThrottledClientException, "Throttled"},
	trunk.Unavailable:   {wire.ServiceUnavailableException, "ServiceUnavailable"},
}

// badRequest takes the place of an exception that the operation does not model: SDKs raise those without a type, and
// callers that match types would not see them.
func badRequest() exceptionRow { return exceptions[trunk.Invalid] }

// unexpected is all a client learns of an internal error.
const unexpected = "The service encountered an unexpected error."

// exception translates an error. It is the only place that does.
func (r *request) exception(err error) restjson.Exception {
	var (
		signature *sigv4.Error
		unknown   *restjson.UnknownOperationError
		denied    *deniedError
		kinded    *trunk.Error
		throttled *throttledError
	)
	if r.sts {
		return stsException(err)
	}
	switch {
	case errors.As(err, &signature):
		name := signature.Fault.Exception()
		return restjson.Exception{Status: signature.Fault.Status(), Type: name, Code: strings.TrimSuffix(name, "Exception"), Message: signature.Message}
	case errors.As(err, &unknown):
		return restjson.Exception{Status: http.StatusNotFound, Type: "UnknownOperationException", Code: "UnknownOperation", Message: unknown.Error()}
	case errors.As(err, &denied):
		return r.modelled(exceptionRow{wire.AccessDeniedException, "AccessDenied"}, exceptions[trunk.Forbidden], denied.Error())
	case errors.As(err, &throttled):
		return throttled.exception(r.server.config.ThrottleException)
	case errors.As(err, &kinded):
		return r.kinded(kinded)
	case isRequestFault(err):
		return r.modelled(badRequest(), badRequest(), err.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return r.modelled(exceptions[trunk.Unavailable], exceptions[trunk.Unavailable], "The request took too long. Try again.")
	}
	return r.modelled(exceptions[trunk.Internal], exceptions[trunk.Internal], unexpected)
}

func (r *request) kinded(e *trunk.Error) restjson.Exception {
	if e.Kind == trunk.Internal || int(e.Kind) >= len(exceptions) {
		return r.modelled(exceptions[trunk.Internal], exceptions[trunk.Internal], unexpected)
	}
	x := r.modelled(exceptions[e.Kind], badRequest(), e.Detail)
	if e.Code != "" && x.Type == exceptions[e.Kind].name {
		x.Code = e.Code
	}
	return x
}

// modelled returns the exception want if the operation models it in the request's namespace, else instead.
func (r *request) modelled(want, instead exceptionRow, message string) restjson.Exception {
	if r.row != nil && r.row.aws != nil && !r.row.aws.In(r.namespace).Models(want.name) {
		want = instead
	}
	return restjson.Exception{Status: wire.ExceptionStatus(want.name), Type: want.name, Code: want.code, Message: message}
}

// isRequestFault reports whether the sentence of err is about the request and fit for its sender.
func isRequestFault(err error) bool {
	var (
		serialization *restjson.SerializationError
		validation    *restjson.ValidationError
	)
	return errors.As(err, &serialization) || errors.As(err, &validation) || isTooLarge(err)
}

func isTooLarge(err error) bool {
	var tooLarge *restjson.BodyTooLargeError
	return errors.As(err, &tooLarge)
}
