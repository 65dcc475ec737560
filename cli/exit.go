package cli

import (
	"errors"
	"net/http"

	"carillon/restjson"
	"carillon/trunk"
)

// exitStatus is the exit status of each kind of error: what was asked makes no sense, or it did not work.
func exitStatus(k trunk.Kind) int {
	switch k {
	case trunk.Invalid:
		return exitUsage
	case trunk.Internal, trunk.NotFound, trunk.Conflict, trunk.Forbidden, trunk.LimitExceeded, trunk.Throttled, trunk.Unavailable:
		return exitFailed
	}
	return exitFailed
}

// kindOf classifies an error, those that the API answered by their exception and status.
func kindOf(err error) trunk.Kind {
	var answer *restjson.AnswerError
	if !errors.As(err, &answer) {
		return trunk.KindOf(err)
	}
	if answer.Type == "ResourceLimitExceededException" {
		return trunk.LimitExceeded // 400 by AWS's choice, although nothing is wrong with the request
	}
	switch answer.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return trunk.Invalid
	case http.StatusUnauthorized, http.StatusForbidden:
		return trunk.Forbidden
	case http.StatusNotFound:
		return trunk.NotFound
	case http.StatusConflict:
		return trunk.Conflict
	case http.StatusTooManyRequests:
		return trunk.Throttled
	case http.StatusServiceUnavailable:
		return trunk.Unavailable
	}
	return trunk.Internal
}

func usage(format string, args ...any) error { return trunk.Errorf(trunk.Invalid, format, args...) }

// sentence is an error as a person reads it: the API's own sentence without the exception's name, which is for programs.
func sentence(err error) string {
	var answer *restjson.AnswerError
	if errors.As(err, &answer) && answer.Message != "" {
		return answer.Message
	}
	return err.Error()
}
