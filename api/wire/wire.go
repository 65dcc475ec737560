// Package wire holds the shapes of the two Voice Connector APIs, generated from the service models: requests, answers,
// constraints and the table of operations.
//
// The Go structures are the union of both namespaces; what differs (required members, lengths, patterns, enums) is in
// one constraint table for each. Wire types stop at the handlers of package api.
package wire

import (
	"fmt"
	"net/http"

	"carillon/restjson"
)

//go:generate go run ../../tools/wiregen -models ../../tools/models -out .

// Namespace is one of the two APIs, or neither of them in particular. Only validation differs between them.
type Namespace uint8

// The namespaces. Either is for clients that give no hint which one they speak: it has every operation and member of
// both, each with the looser of the two constraints.
const (
	Chime  Namespace = iota // chime, 2018-05-01
	Voice                   // chime-sdk-voice, 2022-08-03
	Either                  // the union
	namespaceCount
)

// String returns the AWS name of the namespace.
func (n Namespace) String() string {
	switch n {
	case Chime:
		return "chime"
	case Voice:
		return "chime-sdk-voice"
	case Either:
		return "either"
	}
	return fmt.Sprintf("Namespace(%d)", uint8(n))
}

// OperationID numbers the operations in alphabetical order. The numbers are no stable contract: never store them.
type OperationID int

// String returns the AWS name of the operation.
func (id OperationID) String() string {
	if id < 0 || int(id) >= len(operations) {
		return fmt.Sprintf("OperationID(%d)", int(id))
	}
	return operations[id].Name
}

// Operation is one row of the operations table.
type Operation struct {
	// ID is the index of the row.
	ID OperationID
	// Name is the AWS name, as in IAM actions ("chime:CreateVoiceConnector").
	Name string
	// Route is the HTTP binding; the same in both namespaces.
	Route restjson.Route
	// Status is the HTTP status of success.
	Status int
	// HasOutput says that an answer has a body.
	HasOutput bool
	// Paginated says that it takes max-results and next-token and answers NextToken.
	Paginated bool
	bindings  [namespaceCount]Binding
}

// Binding is what one namespace says of an operation.
type Binding struct {
	// Offered is false if the namespace does not have the operation; nothing else is set then.
	Offered bool
	// Deprecated operations still work; SDKs warn about them.
	Deprecated bool
	// Errors are the modelled exceptions, sorted. SDKs raise any other one without a type.
	Errors []string
	// Input is what a request is held against; a shape without members if the operation takes none.
	Input *restjson.Shape
}

// In returns what a namespace says of the operation.
func (o *Operation) In(n Namespace) *Binding {
	return &o.bindings[n]
}

// Models reports whether the binding lists an exception.
func (b *Binding) Models(exception string) bool {
	for _, e := range b.Errors {
		if e == exception {
			return true
		}
	}
	return false
}

// Operations returns the table, indexed by OperationID. The caller must not change it.
func Operations() []Operation { return operations[:] }

// Routes returns the HTTP bindings of all operations in the order of [Operations], for [restjson.NewRouter].
func Routes() []restjson.Route {
	routes := make([]restjson.Route, len(operations))
	for i := range operations {
		routes[i] = operations[i].Route
	}
	return routes
}

// ExceptionStatus returns the HTTP status of a modelled exception; 500 for any other, which is how AWS clients treat an
// exception they do not know anyway.
func ExceptionStatus(exception string) int {
	if status, ok := exceptionStatus[exception]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// noInput is the input of operations that take none.
var noInput = restjson.Shape{Kind: restjson.Structure}
