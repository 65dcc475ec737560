package api

import (
	"fmt"

	v1 "carillon/api/v1"
	"carillon/call"
	"carillon/trunk"
)

func listCalls(r *request) (any, error) {
	account, err := r.accountQuery()
	if err != nil {
		return nil, err
	}
	limit, after, err := r.pageQuery()
	if err != nil {
		return nil, err
	}
	filter := CallFilter{Account: account, ConnectorID: r.query.Get(v1.QueryConnector)}
	ctx, cancel := r.bounded()
	defer cancel()
	records, next, err := r.server.config.Calls.List(ctx, filter, limit, after)
	if err != nil {
		return nil, fmt.Errorf("list calls: %w", err)
	}
	answer := &v1.CallList{Calls: []v1.Call{}}
	for _, record := range records {
		answer.Calls = append(answer.Calls, r.seen(record))
	}
	if next != "" {
		answer.NextToken = new(r.token(r.row.name, next))
	}
	return answer, nil
}

func getCall(r *request) (any, error) {
	ctx, cancel := r.bounded()
	defer cancel()
	record, found, err := r.server.config.Calls.Show(ctx, call.ID(r.labels["id"]))
	if err != nil {
		return nil, fmt.Errorf("show call: %w", err)
	}
	if !found || !r.principal.Operator && record.Account != r.principal.Account {
		return nil, trunk.Errorf(trunk.NotFound, "There is no call of that id.")
	}
	record = r.seen(record)
	return &record, nil
}

// seen returns a record as the caller may read it.
func (r *request) seen(record call.Record) call.Record {
	if r.principal.Operator {
		return record
	}
	return record.SeenByTenant()
}
