package api

import (
	"errors"
	"strings"

	"carillon/api/wire"
	"carillon/numbering"
	"carillon/trunk"
)

// Limits of the operations on phone numbers. They are fixed.
const (
	// MaxNumbers is the most phone numbers of one request: an order, an association, a batch. All of them are one
	// transaction. Requests with more are refused and counted in carillon_api_requests_total as BadRequestException.
	MaxNumbers = 100
	// MaxNumberScan is the most numbers that a search or a list looks at for one page. A filter that few of them pass
	// gives short, even empty, pages with a NextToken to go on from, counted in carillon_api_short_pages_total.
	MaxNumberScan = 50_000
)

// numberOperations are the operations of phone numbers but for their associations.
func numberOperations() offered {
	return offered{
		wire.OpSearchAvailablePhoneNumbers:       {anyNumber, awsHandler(searchNumbers)},
		wire.OpListSupportedPhoneNumberCountries: {anyNumber, awsHandler(listCountries)},

		wire.OpCreatePhoneNumberOrder: {anyNumber, awsHandler(createOrder)},
		wire.OpListPhoneNumberOrders:  {anyNumber, awsHandler(listOrders)},
		wire.OpGetPhoneNumberOrder:    {anyNumber, awsHandler(getOrder)},

		wire.OpListPhoneNumbers:       {anyNumber, awsHandler(listPhoneNumbers)},
		wire.OpGetPhoneNumber:         {oneNumber, awsHandler(getPhoneNumber)},
		wire.OpUpdatePhoneNumber:      {oneNumber, awsHandler(updatePhoneNumber)},
		wire.OpBatchUpdatePhoneNumber: {anyNumber, awsHandler(batchUpdatePhoneNumber)},
		wire.OpDeletePhoneNumber:      {oneNumber, awsHandler(deletePhoneNumber)},
		wire.OpBatchDeletePhoneNumber: {anyNumber, awsHandler(batchDeletePhoneNumber)},
		wire.OpRestorePhoneNumber:     {oneNumber, awsHandler(restorePhoneNumber)},

		wire.OpGetPhoneNumberSettings:    {anyNumber, awsHandler(getNumberSettings)},
		wire.OpUpdatePhoneNumberSettings: {anyNumber, awsHandler(updateNumberSettings)},
	}
}

// anyNumber is the resource of operations about phone numbers in general.
func anyNumber(r *request) string { return r.numberARN("*") }

// oneNumber is the resource of operations about the number in the path, whether the account has it or not.
func oneNumber(r *request) string {
	id := r.labels["phoneNumberId"]
	if e164 := parseNumberID(id); e164 != "" {
		id = string(e164)
	}
	return r.numberARN(trunk.Number(id))
}

func (r *request) numberARN(e164 trunk.Number) string {
	return (&trunk.PhoneNumber{E164: e164, Account: r.principal.Account}).ARN()
}

// parseNumberID reads a PhoneNumberId: a number in E.164 with or without its plus sign, which may be percent-encoded,
// and once more. Answers have it encoded, so a client that puts an id from an answer into a path encodes it twice. What
// is no number at all is "", which is nobody's.
func parseNumberID(id string) trunk.Number {
	for _, plus := range []string{"%252B", "%2B", "+"} {
		if len(id) > len(plus) && strings.EqualFold(id[:len(plus)], plus) {
			id = id[len(plus):]
			break
		}
	}
	if strings.HasPrefix(id, "+") {
		return ""
	}
	e164, _ := trunk.ParseNumber(id)
	return e164
}

// numberID is a number's PhoneNumberId as AWS writes it.
func numberID(e164 trunk.Number) string { return "%2B" + strings.TrimPrefix(string(e164), "+") }

// held returns a copy of the caller's number, also of one in the deletion queue, as the transaction sees it.
func (r *request) held(tx trunk.Tx, e164 trunk.Number) (*trunk.PhoneNumber, error) {
	if e164 == "" {
		return nil, notFound()
	}
	n, ok, err := trunk.Get[*trunk.PhoneNumber](tx, trunk.EntityKey{Kind: trunk.KindNumber, ID: string(e164)})
	if err != nil {
		return nil, err
	}
	if !ok || !n.HeldBy(r.principal.Account, r.now) {
		return nil, notFound()
	}
	return n.Clone(), nil
}

// putNumber stores a change of a number.
func (r *request) putNumber(tx trunk.Tx, n *trunk.PhoneNumber) {
	n.Updated = later(n.Updated, r.now)
	tx.Put(n)
}

// one runs fn on the number with that id in a transaction and returns the number as fn left it.
func (r *request) one(id wire.Sensitive, fn func(trunk.Tx, trunk.Number) (*trunk.PhoneNumber, error)) (*trunk.PhoneNumber, error) {
	var n *trunk.PhoneNumber
	err := r.update(func(tx trunk.Tx) (err error) {
		n, err = fn(tx, parseNumberID(string(id)))
		return err
	})
	return n, err
}

// each runs fn on each id. What fn refuses for one number is reported for that number and stops
// nothing else; any other error stops everything.
func each(ids []wire.Sensitive, fn func(i int, e164 trunk.Number) error) ([]wire.PhoneNumberError, error) {
	failed := []wire.PhoneNumberError{}
	for i, id := range ids {
		e164 := parseNumberID(string(id))
		err := fn(i, e164)
		if err == nil {
			continue
		}
		code, message, ok := itemError(err)
		if !ok {
			return nil, err
		}
		if e164 != "" {
			id = wire.Sensitive(numberID(e164))
		}
		failed = append(failed, wire.PhoneNumberError{PhoneNumberID: &id, ErrorCode: &code, ErrorMessage: &message})
	}
	return failed, nil
}

// itemError translates what can be said of one number of several.
func itemError(err error) (code wire.ErrorCode, message string, ok bool) {
	var (
		denied *deniedError
		kinded *trunk.Error
	)
	switch {
	case errors.As(err, &denied):
		return wire.ErrorCodeAccessDenied, denied.Error(), true
	case !errors.As(err, &kinded):
		return "", "", false
	case kinded.Kind == trunk.Invalid, kinded.Kind == trunk.NotFound, kinded.Kind == trunk.Conflict, kinded.Kind == trunk.LimitExceeded:
		code := exceptions[kinded.Kind].code
		if kinded.Code != "" {
			code = kinded.Code
		}
		return wire.ErrorCode(code), kinded.Detail, true
	}
	return "", "", false
}

// batch is each as a transaction of its own, for operations that name numbers in their body. The policy was asked about
// numbers in general; what it says of each of them, by its tags perhaps, is heard here.
func (r *request) batch(ids []wire.Sensitive, fn func(tx trunk.Tx, i int, e164 trunk.Number) error) ([]wire.PhoneNumberError, error) {
	if err := checkCount(len(ids)); err != nil {
		return nil, err
	}
	var failed []wire.PhoneNumberError
	err := r.update(func(tx trunk.Tx) (err error) {
		failed, err = each(ids, func(i int, e164 trunk.Number) error {
			if err := r.mayTouch(r.numberARN(e164)); err != nil {
				return err
			}
			return fn(tx, i, e164)
		})
		return err
	})
	return failed, err
}

func checkCount(n int) error {
	if n < 1 || n > MaxNumbers {
		return trunk.Errorf(trunk.Invalid, "The request names %d phone numbers; give 1 to %d.", n, MaxNumbers)
	}
	return nil
}

func getPhoneNumber(r *request, in *wire.GetPhoneNumberRequest) (any, error) {
	n, ok := r.snapshot.Number(parseNumberID(string(in.PhoneNumberID)))
	if !ok || !n.HeldBy(r.principal.Account, r.now) {
		return nil, notFound()
	}
	return &wire.GetPhoneNumberResponse{PhoneNumber: r.wireNumber(n)}, nil
}

// numberChange is what an update says of a number; at most one member is set.
type numberChange struct {
	product           *wire.PhoneNumberProductType
	callingName, name *wire.Sensitive
}

func updatePhoneNumber(r *request, in *wire.UpdatePhoneNumberRequest) (any, error) {
	change := numberChange{in.ProductType, in.CallingName, in.Name}
	n, err := r.one(in.PhoneNumberID, func(tx trunk.Tx, e164 trunk.Number) (*trunk.PhoneNumber, error) {
		return r.changeNumber(tx, e164, change)
	})
	if err != nil {
		return nil, err
	}
	return &wire.UpdatePhoneNumberResponse{PhoneNumber: r.wireNumber(n)}, nil
}

func batchUpdatePhoneNumber(r *request, in *wire.BatchUpdatePhoneNumberRequest) (any, error) {
	items := in.UpdatePhoneNumberRequestItems
	ids := make([]wire.Sensitive, len(items))
	for i := range items {
		ids[i] = *items[i].PhoneNumberID
	}
	failed, err := r.batch(ids, func(tx trunk.Tx, i int, e164 trunk.Number) error {
		_, err := r.changeNumber(tx, e164, numberChange{items[i].ProductType, items[i].CallingName, items[i].Name})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wire.BatchUpdatePhoneNumberResponse{PhoneNumberErrors: failed}, nil
}

func (r *request) changeNumber(tx trunk.Tx, e164 trunk.Number, change numberChange) (*trunk.PhoneNumber, error) {
	n, err := r.held(tx, e164)
	if err != nil {
		return nil, err
	}
	product, callingName, name := n.ProductType, n.CallingName, n.Name
	details := 0
	if change.product != nil {
		details++
		product = trunk.ProductType(*change.product)
	}
	if change.callingName != nil {
		details++
		callingName = string(*change.callingName)
	}
	if change.name != nil {
		details++
		name = string(*change.name)
	}
	switch {
	case details > 1:
		return nil, trunk.Errorf(trunk.Invalid, "Give one of ProductType, CallingName and Name: one detail of a phone number can be updated at a time.")
	case details == 1 && !n.Deleted.IsZero():
		return nil, trunk.Errorf(trunk.Invalid, "The phone number is in the deletion queue. Restore it first.")
	case product == trunk.ProductBusinessCalling:
		return nil, noBusinessCalling()
	case change.product != nil && product != n.Product() && r.assigned(n):
		return nil, trunk.Errorf(trunk.Conflict, "The ProductType of a phone number that is associated cannot change. Disassociate it first.")
	}
	if callingName == n.CallingName && name == n.Name && (change.product == nil || product == n.Product()) {
		return n, nil
	}
	n.ProductType, n.CallingName, n.Name = product, callingName, name
	r.putNumber(tx, n)
	return n, nil
}

func noBusinessCalling() error {
	return trunk.Errorf(trunk.Invalid, "ProductType BusinessCalling is of Amazon Chime's own calling, which is not here. Use VoiceConnector.")
}

// assigned reports whether anything takes the number's calls: a connector, a group or a SIP rule.
func (r *request) assigned(n *trunk.PhoneNumber) bool { return len(r.associations(n)) > 0 }

// associations returns what takes the number's calls; none for one in the deletion queue.
func (r *request) associations(n *trunk.PhoneNumber) []wire.PhoneNumberAssociation {
	all := []wire.PhoneNumberAssociation{}
	add := func(name wire.PhoneNumberAssociationName, value string, at *wire.Timestamp) {
		all = append(all, wire.PhoneNumberAssociation{Name: &name, Value: &value, AssociatedTimestamp: at})
	}
	var since *wire.Timestamp
	if !n.Associated.IsZero() {
		since = wire.At(n.Associated)
	}
	switch {
	case !n.Deleted.IsZero():
		return all
	case n.ConnectorID != "":
		add(wire.PhoneNumberAssociationNameVoiceConnectorID, n.ConnectorID, since)
	case n.GroupID != "":
		add(wire.PhoneNumberAssociationNameVoiceConnectorGroupID, n.GroupID, since)
	}
	for _, rule := range r.snapshot.RulesOn(n.Account, n.E164) {
		if !rule.Disabled {
			add(wire.PhoneNumberAssociationNameSIPRuleID, rule.ID, wire.At(rule.Created))
		}
	}
	return all
}

func (r *request) numberStatus(n *trunk.PhoneNumber) wire.PhoneNumberStatus {
	switch {
	case !n.Deleted.IsZero():
		return wire.PhoneNumberStatusDeleteInProgress
	case r.assigned(n):
		return wire.PhoneNumberStatusAssigned
	}
	return wire.PhoneNumberStatusUnassigned
}

func numberType(e164 trunk.Number) wire.PhoneNumberType {
	if numbering.TollFree(e164) {
		return wire.PhoneNumberTypeTollFree
	}
	return wire.PhoneNumberTypeLocal
}

// wireNumber translates a number that the caller holds.
func (r *request) wireNumber(n *trunk.PhoneNumber) *wire.PhoneNumber {
	w := &wire.PhoneNumber{
		PhoneNumberID:    new(wire.Sensitive(numberID(n.E164))),
		PhoneNumberARN:   new(n.ARN()),
		E164PhoneNumber:  new(wire.Sensitive(n.E164)),
		Type:             new(numberType(n.E164)),
		ProductType:      new(wire.PhoneNumberProductType(n.Product())),
		Status:           new(r.numberStatus(n)),
		Associations:     r.associations(n),
		CreatedTimestamp: wire.At(n.Created),
		UpdatedTimestamp: wire.At(n.Updated),
		Capabilities: &wire.PhoneNumberCapabilities{
			InboundCall: new(true), OutboundCall: new(true),
			InboundSMS: new(false), OutboundSMS: new(false), InboundMMS: new(false), OutboundMMS: new(false),
		},
		CallingNameStatus: new(wire.CallingNameStatusUnassigned),
	}
	if iso2 := numbering.Country(n.E164); iso2 != "" {
		w.Country = &iso2
	}
	if n.CallingName != "" {
		w.CallingName, w.CallingNameStatus = new(wire.Sensitive(n.CallingName)), new(wire.CallingNameStatusUpdateSucceeded)
	}
	if n.Name != "" {
		w.Name = new(wire.Sensitive(n.Name))
	}
	if n.OrderID != "" {
		w.OrderID = &n.OrderID
	}
	if !n.Deleted.IsZero() {
		w.DeletionTimestamp = wire.At(n.Deleted)
	}
	return w
}
