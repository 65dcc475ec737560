package api

import (
	"fmt"
	"strings"

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
	filter := CallFilter{
		Account: account, ConnectorID: r.query.Get(v1.QueryConnector), Number: r.query.Get(v1.QueryNumber), Reason: r.query.Get(v1.QueryReason),
	}
	if _, known := call.ParseReason(filter.Reason); filter.Reason != "" && !known {
		return nil, trunk.Errorf(trunk.Invalid, "No call ends with the reason %q; one is %s.", filter.Reason, nearReason(filter.Reason))
	}
	if filter.Since, err = r.timeQuery(v1.QuerySince); err != nil {
		return nil, err
	}
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

// nearReason returns a reason that somebody may have meant who knows a part of its name or spells it otherwise.
func nearReason(text string) call.Reason {
	text = strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(text))
	for _, known := range call.Reasons() {
		if strings.Contains(known.String(), text) {
			return known
		}
	}
	return call.ReasonMediaNotEncrypted
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
