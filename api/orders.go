package api

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/trunk"
)

func createOrder(r *request, in *wire.CreatePhoneNumberOrderRequest) (any, error) {
	o, err := r.newOrder(in)
	if err != nil {
		return nil, err
	}
	name := ""
	if in.Name != nil {
		name = string(*in.Name)
	}
	made, err := createOnce(r, creation[*trunk.Order]{
		made: o, noun: "phone number order", reads: true,
		write: func(tx trunk.Tx) error { return r.fill(tx, o, name) },
	})
	if err != nil {
		return nil, err
	}
	return &wire.CreatePhoneNumberOrderResponse{PhoneNumberOrder: wireOrder(made)}, nil
}

func (r *request) newOrder(in *wire.CreatePhoneNumberOrderRequest) (*trunk.Order, error) {
	if err := checkCount(len(in.E164PhoneNumbers)); err != nil {
		return nil, err
	}
	if *in.ProductType == wire.PhoneNumberProductTypeBusinessCalling {
		return nil, noBusinessCalling()
	}
	id, err := uuid.NewRandomFromReader(r.server.config.Random)
	if err != nil {
		return nil, fmt.Errorf("make order id: %w", err)
	}
	o := &trunk.Order{ID: id.String(), Account: r.principal.Account, ProductType: trunk.ProductType(*in.ProductType), Created: r.now}
	for _, text := range in.E164PhoneNumbers {
		e164, ok := trunk.ParseNumber(string(text))
		if !ok {
			return nil, trunk.Errorf(trunk.Invalid, "E164PhoneNumbers must be numbers in E.164, for example +12065550100.")
		}
		if !slices.ContainsFunc(o.Numbers, func(n trunk.OrderedNumber) bool { return n.E164 == e164 }) {
			o.Numbers = append(o.Numbers, trunk.OrderedNumber{E164: e164})
		}
	}
	return o, nil
}

// fill moves the ordered numbers that are in the pool to the account. Of two orders for one number at the same moment
// one reads what the other wrote.
func (r *request) fill(tx trunk.Tx, o *trunk.Order, name string) error {
	acquired := 0
	for i := range o.Numbers {
		ordered := &o.Numbers[i]
		n, ok, err := trunk.Get[*trunk.PhoneNumber](tx, trunk.EntityKey{Kind: trunk.KindNumber, ID: string(ordered.E164)})
		if err != nil {
			return err
		}
		if ordered.Acquired = ok && n.Free(r.now); !ordered.Acquired {
			continue
		}
		if err := r.notForbidden(r.numberARN(ordered.E164)); err != nil {
			return err
		}
		acquired++
		tx.Put(&trunk.PhoneNumber{
			E164: ordered.E164, Account: o.Account, ProductType: o.ProductType, Name: name, OrderID: o.ID,
			Created: r.now, Updated: later(n.Updated, r.now),
		})
	}
	tx.Create(o)
	if kept := r.snapshot.Orders(o.Account, "", trunk.MaxOrders+1); len(kept) >= trunk.MaxOrders {
		for _, oldest := range kept[:len(kept)-trunk.MaxOrders+1] {
			tx.Delete(oldest.EntityKey())
		}
	}
	return r.takePlaces(tx, o.Account, trunk.QuotaNumbers, acquired)
}

func getOrder(r *request, in *wire.GetPhoneNumberOrderRequest) (any, error) {
	o, ok := r.snapshot.Order(in.PhoneNumberOrderID)
	if !ok || o.Account != r.principal.Account {
		return nil, notFound()
	}
	return &wire.GetPhoneNumberOrderResponse{PhoneNumberOrder: wireOrder(o)}, nil
}

func listOrders(r *request, in *wire.ListPhoneNumberOrdersRequest) (any, error) {
	found, next, err := pageOf(r, page{in.MaxResults, in.NextToken}, func(after string, limit int) []*trunk.Order {
		return r.snapshot.Orders(r.principal.Account, after, limit)
	}, directory.OrderCursor)
	if err != nil {
		return nil, err
	}
	answer := &wire.ListPhoneNumberOrdersResponse{PhoneNumberOrders: []wire.PhoneNumberOrder{}, NextToken: next}
	for _, o := range found {
		answer.PhoneNumberOrders = append(answer.PhoneNumberOrders, *wireOrder(o))
	}
	return answer, nil
}

// wireOrder translates an order. It was carried out when it was made, so it is never Processing.
func wireOrder(o *trunk.Order) *wire.PhoneNumberOrder {
	w := &wire.PhoneNumberOrder{
		PhoneNumberOrderID: new(o.ID),
		ProductType:        new(wire.PhoneNumberProductType(o.ProductType)),
		OrderType:          new(wire.PhoneNumberOrderTypeNew),
		CreatedTimestamp:   wire.At(o.Created),
		UpdatedTimestamp:   wire.At(o.Created),
	}
	acquired := 0
	for _, n := range o.Numbers {
		status := wire.OrderedPhoneNumberStatusFailed
		if n.Acquired {
			acquired++
			status = wire.OrderedPhoneNumberStatusAcquired
		}
		w.OrderedPhoneNumbers = append(w.OrderedPhoneNumbers, wire.OrderedPhoneNumber{
			E164PhoneNumber: new(wire.Sensitive(n.E164)), Status: &status,
		})
	}
	status := wire.PhoneNumberOrderStatusPartial
	switch acquired {
	case len(o.Numbers):
		status = wire.PhoneNumberOrderStatusSuccessful
	case 0:
		status = wire.PhoneNumberOrderStatusFailed
	}
	w.Status = &status
	return w
}
