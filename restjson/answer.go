package restjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"carillon/quickjson"
)

// The headers of every answer, spelled as net/http keeps them.
const (
	HeaderRequestID = "X-Amzn-Requestid" // on every answer, success or not; AWS's x-amzn-RequestId
	HeaderErrorType = "X-Amzn-Errortype" // decides which typed exception a client raises; AWS's x-amzn-ErrorType
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

// Writer writes answers, each in the room of an earlier one. The zero value is ready; it is safe for concurrent use.
type Writer struct {
	rooms sync.Pool // of *room
}

// Answer writes a success: status, request id, and body as JSON with members in the order of the struct's fields.
// A nil body writes none. The error means that body cannot be marshalled (nothing is written then) or that the client
// went away.
func (a *Writer) Answer(w http.ResponseWriter, requestID string, status int, body any) error {
	if body == nil {
		w.Header().Set(HeaderRequestID, requestID)
		// RFC 9110 section 8.6: no Content-Length with 204.
		if status != http.StatusNoContent {
			w.Header().Set("Content-Length", "0")
		}
		w.WriteHeader(status)
		return nil
	}
	return a.write(w, requestID, status, body)
}

// Exception writes an error answer. The error means that the client went away.
func (a *Writer) Exception(w http.ResponseWriter, requestID string, e Exception) error {
	w.Header().Set(HeaderErrorType, e.Type)
	return a.write(w, requestID, e.Status, struct {
		Code    string `json:"Code"`
		Message string `json:"Message"`
	}{e.Code, e.Message})
}

// write makes an answer and sends it. Its room is only used again when all went well: the writer of HTTP/2 can return
// early from a write that fails, and what it still holds must not become part of somebody else's answer.
func (a *Writer) write(w http.ResponseWriter, requestID string, status int, body any) error {
	room := a.enter()
	text, err := room.marshal(body)
	if err == nil {
		err = write(w, requestID, status, text)
	}
	if err == nil {
		a.leave(room)
	}
	return err
}

func (a *Writer) enter() *room {
	if r, ok := a.rooms.Get().(*room); ok {
		return r
	}
	return newRoom()
}

// largestKept is the largest room in bytes that is kept for another answer: one long list must not hold its memory.
const largestKept = 64 << 10

func (a *Writer) leave(r *room) {
	if r.text.Cap() <= largestKept {
		a.rooms.Put(r)
	}
}

// room is where an answer is made.
type room struct {
	text    bytes.Buffer
	encoder *json.Encoder
}

func newRoom() *room {
	r := new(room)
	// Room for an answer about one thing: growing to it byte by byte costs twice that.
	r.text.Grow(768)
	r.encoder = json.NewEncoder(&r.text)
	r.encoder.SetEscapeHTML(false)
	return r
}

// marshal returns v as JSON, which is good until the next one.
func (r *room) marshal(v any) ([]byte, error) {
	r.text.Reset()
	if a, ok := v.(quickjson.Appender); ok {
		if text, ok := a.AppendJSON(r.text.AvailableBuffer()); ok {
			_, err := r.text.Write(text) // where it is already, if there was room
			return r.text.Bytes(), err
		}
	}
	if err := r.encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	return bytes.TrimSuffix(r.text.Bytes(), []byte("\n")), nil
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
