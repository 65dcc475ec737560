package restjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// The headers of every answer.
const (
	HeaderRequestID = "x-amzn-RequestId" // on every answer, success or not
	HeaderErrorType = "x-amzn-ErrorType" // decides which typed exception a client raises
)

// ContentType of every answer with a body.
const ContentType = "application/json"

// Exception is an error answer.
type Exception struct {
	// Status is the HTTP status.
	Status int
	// Type is the exception's name, "BadRequestException": the one thing clients tell exceptions apart by.
	Type string
	// Code is the short code that Amazon Chime adds, "BadRequest".
	Code string
	// Message is the sentence for a human.
	Message string
}

// WriteAnswer writes a success: status, request id, and body as JSON with members in the order of the struct's fields.
// A nil body writes none. The error means that body cannot be marshalled (nothing is written then) or that the client
// went away.
func WriteAnswer(w http.ResponseWriter, requestID string, status int, body any) error {
	if body == nil {
		w.Header().Set(HeaderRequestID, requestID)
		// RFC 9110 section 8.6: no Content-Length with 204.
		if status != http.StatusNoContent {
			w.Header().Set("Content-Length", "0")
		}
		w.WriteHeader(status)
		return nil
	}
	text, err := Marshal(body)
	if err != nil {
		return err
	}
	return write(w, requestID, status, text)
}

// WriteException writes an error answer. The error means that the client went away.
func WriteException(w http.ResponseWriter, requestID string, e Exception) error {
	text, err := Marshal(struct {
		Code    string `json:"Code"`
		Message string `json:"Message"`
	}{e.Code, e.Message})
	if err != nil {
		return err
	}
	w.Header().Set(HeaderErrorType, e.Type)
	return write(w, requestID, e.Status, text)
}

// Marshal returns v as compact JSON. Unlike json.Marshal it leaves <, > and & as they are: no answer is ever HTML.
func Marshal(v any) ([]byte, error) {
	// Room for an answer about one thing: growing to it byte by byte costs twice that.
	const usual = 768
	buf := bytes.NewBuffer(make([]byte, 0, usual))
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func write(w http.ResponseWriter, requestID string, status int, text []byte) error {
	h := w.Header()
	h.Set(HeaderRequestID, requestID)
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
