package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/restjson"
	"carillon/trunk"
)

// row is one operation: where it is, who may use it, what answers it.
type row struct {
	name   string
	action string
	// rate is the quota of its rate.
	rate string
	// service is the one whose signature opens it.
	service string
	route   restjson.Route
	// status is that of success.
	status int
	// operatorOnly rows are about the installation; no policy opens them to a tenant.
	operatorOnly bool
	// unrestricted rows need no permission and cannot be denied.
	unrestricted bool
	// resource names what is acted on, for policies.
	resource func(*request) string
	// handle returns the body of the answer, nil for none. It is nil for operations that are not offered, and refusal
	// then says so.
	handle  func(*request) (any, error)
	refusal string
	// aws is the operation's row in the model; nil for Carillon's own. inputs has by namespace what requests are held
	// against: the model's, but for tag operations.
	aws    *wire.Operation
	inputs map[wire.Namespace]*restjson.Shape
}

// served is what this package adds to an operation of the model.
type served struct {
	resource func(*request) string
	handle   func(*request) (any, error)
}

// awsHandler makes a handler from a function that takes the decoded and validated input.
func awsHandler[In any](fn func(*request, *In) (any, error)) func(*request) (any, error) {
	return func(r *request) (any, error) {
		in, err := decoded[In](r)
		if err != nil {
			return nil, err
		}
		return fn(r, in)
	}
}

// offered are operations of the model that are answered.
type offered map[wire.OperationID]served

// offeredOperations are all of them. Each family's rows are beside its handlers.
func offeredOperations() offered {
	all := offered{}
	for _, family := range []offered{
		connectorOperations(),
		groupOperations(),
		serviceOperations(),
		numberOperations(),
		associationOperations(),
		accountOperations(),
		ruleOperations(),
		tagOperations(),
	} {
		maps.Copy(all, family)
	}
	return all
}

// table returns every row: those of the two namespaces in alphabetical order, then STS's, then Carillon's.
func table() []row {
	answered := offeredOperations()
	var rows []row
	operations := wire.Operations()
	for i := range operations {
		op := &operations[i]
		r := row{
			name: op.Name, action: "chime:" + op.Name, service: chimeService, route: op.Route, status: op.Status,
			resource: wholeAccount, aws: op, inputs: inputsOf(op),
		}
		if s, ok := answered[op.ID]; ok {
			r.resource, r.handle = s.resource, s.handle
		} else {
			r.refusal = refusalOf(op.Name)
		}
		rows = append(rows, r)
	}
	rows = slices.Concat(rows, stsRows(), ownRows())
	for i := range rows {
		rows[i].rate = trunk.APIRateOf(rows[i].name)
	}
	return rows
}

// inputsOf returns what requests for an operation are held against.
func inputsOf(op *wire.Operation) map[wire.Namespace]*restjson.Shape {
	inputs := map[wire.Namespace]*restjson.Shape{}
	_, tags := tagOperations()[op.ID]
	for _, ns := range []wire.Namespace{wire.Chime, wire.Voice, wire.Either} {
		inputs[ns] = op.In(ns).Input
		if tags {
			inputs[ns] = tagInput(inputs[ns])
		}
	}
	return inputs
}

// ownRows are the operations under /carillon/v1/.
func ownRows() []row {
	rows := []row{
		{name: "ListCarriers", route: get(v1.Carriers), operatorOnly: true, handle: listCarriers},
		{name: "PutCarrier", route: put(v1.Carriers + "/{name}"), operatorOnly: true, handle: putCarrier},
		{name: "DeleteCarrier", route: remove(v1.Carriers + "/{name}"), operatorOnly: true, handle: deleteCarrier, status: http.StatusNoContent},

		{name: "ListNumbers", route: get(v1.Numbers), handle: listNumbers},
		{name: "ImportNumbers", route: post(v1.Numbers), operatorOnly: true, handle: importNumbers},
		{name: "ReleaseNumbers", route: post(v1.Numbers, "operation", "release"), operatorOnly: true, handle: releaseNumbers},

		{name: "ListKeys", route: get(v1.Keys), operatorOnly: true, handle: listKeys},
		{name: "CreateKey", route: post(v1.Keys), operatorOnly: true, handle: createKey, status: http.StatusCreated},
		{name: "DisableKey", route: post(v1.Keys+"/{id}", "operation", "disable"), operatorOnly: true, handle: disableKey, status: http.StatusNoContent},
		{name: "EnableKey", route: post(v1.Keys+"/{id}", "operation", "enable"), operatorOnly: true, handle: enableKey, status: http.StatusNoContent},
		{name: "RotateKey", route: post(v1.Keys+"/{id}", "operation", "rotate"), operatorOnly: true, handle: rotateKey, status: http.StatusCreated},
		{name: "DeleteKey", route: remove(v1.Keys + "/{id}"), operatorOnly: true, handle: deleteKey, status: http.StatusNoContent},

		{name: "GetConnectorSettings", route: get(v1.Connectors + "/{voiceConnectorId}/settings"), resource: operatedConnector, handle: getSettings},
		{name: "PutConnectorSettings", route: put(v1.Connectors + "/{voiceConnectorId}/settings"), resource: operatedConnector, handle: putSettings},

		{name: "ListQuotas", route: get(v1.Quotas), operatorOnly: true, handle: listQuotas},
		{name: "PutQuota", route: put(v1.Quotas + "/{name}"), operatorOnly: true, handle: putQuota},
		{name: "DeleteQuota", route: remove(v1.Quotas + "/{name}"), operatorOnly: true, handle: deleteQuota, status: http.StatusNoContent},

		{name: "ListCalls", route: get(v1.Calls), handle: listCalls},
		{name: "Rehearse", route: post(v1.Rehearsals), handle: rehearse},
		{name: "GetCall", route: get(v1.Calls + "/{id}"), handle: getCall},

		{name: "ListAudit", route: get(v1.Audit), handle: listAudit},
	}
	for i := range rows {
		r := &rows[i]
		r.action, r.service = "carillon:"+r.name, chimeService
		if r.status == 0 {
			r.status = http.StatusOK
		}
		if r.resource == nil {
			r.resource = ownResource
		}
	}
	return rows
}

// ownResource is the resource of Carillon's operations: installation-wide ones belong to no account. Its path below the
// base is the request's, labels filled in.
func ownResource(r *request) string {
	account := r.principal.Account
	if r.row.operatorOnly {
		account = ""
	}
	path := strings.Split(r.row.route.Template[len(v1.Base)+1:], "/")
	for i, segment := range path {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			path[i] = r.labels[strings.TrimSuffix(name, "}")]
		}
	}
	return "arn:aws:carillon::" + account + ":" + strings.Join(path, "/")
}

func get(path string) restjson.Route    { return binding(http.MethodGet, path) }
func put(path string) restjson.Route    { return binding(http.MethodPut, path) }
func remove(path string) restjson.Route { return binding(http.MethodDelete, path) }

func post(path string, selector ...string) restjson.Route {
	return binding(http.MethodPost, path, selector...)
}

func binding(method, path string, selector ...string) restjson.Route {
	r := restjson.Route{Method: method, Template: path}
	if len(selector) == 2 {
		r.Select = []restjson.Selector{{Name: selector[0], Value: selector[1]}}
	}
	return r
}
