package api

import (
	"iter"
	"slices"
	"strings"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/numbering"
	"carillon/trunk"
)

// numberList is a page of numbers that is asked for.
type numberList struct {
	page
	// defaultMax is the size of the page where max is not set.
	defaultMax int
	behind     numbersBehind
	// keep chooses among them.
	keep func(*trunk.PhoneNumber) bool
}

// numbers returns a page and the token of the next one, nil on the last. The cursor is a number, known or not, so what
// comes and goes between two pages shifts nothing.
func (r *request) numbers(l numberList) ([]*trunk.PhoneNumber, *string, error) {
	limit, after := l.defaultMax, trunk.Number("")
	if l.max != nil {
		limit = int(*l.max)
	}
	if l.token != nil && *l.token != "" {
		cursor, err := r.readToken(r.row.name, *l.token)
		if err != nil {
			return nil, nil, err
		}
		after = trunk.Number(cursor)
	}
	var found []*trunk.PhoneNumber
	looked := 0
	for n := range l.behind(after) {
		if looked++; l.keep(n) {
			if len(found) == limit {
				return found, new(r.token(r.row.name, string(found[limit-1].E164))), nil
			}
			found = append(found, n)
		}
		if looked == MaxNumberScan {
			r.server.metrics.shortPages.Inc()
			return found, new(r.token(r.row.name, string(n.E164))), nil
		}
	}
	return found, nil, nil
}

func listPhoneNumbers(r *request, in *wire.ListPhoneNumbersRequest) (any, error) {
	behind, err := r.filtered(in)
	if err != nil {
		return nil, err
	}
	found, next, err := r.numbers(numberList{
		page: page{in.MaxResults, in.NextToken}, defaultMax: defaultPage, behind: behind,
		keep: func(n *trunk.PhoneNumber) bool {
			return n.HeldBy(r.principal.Account, r.now) &&
				(in.ProductType == nil || trunk.ProductType(*in.ProductType) == n.Product()) &&
				(in.Status == nil || *in.Status == "" || *in.Status == string(r.numberStatus(n)))
		},
	})
	if err != nil {
		return nil, err
	}
	answer := &wire.ListPhoneNumbersResponse{PhoneNumbers: []wire.PhoneNumber{}, NextToken: next}
	for _, n := range found {
		answer.PhoneNumbers = append(answer.PhoneNumbers, *r.wireNumber(n))
	}
	return answer, nil
}

// numbersBehind yields numbers in the order of their digits, those behind a cursor.
type numbersBehind func(after trunk.Number) iter.Seq[*trunk.PhoneNumber]

func noNumbers(trunk.Number) iter.Seq[*trunk.PhoneNumber] {
	return slices.Values[[]*trunk.PhoneNumber](nil)
}

// filtered returns the account's numbers with the association that FilterName and FilterValue say; all of them where
// they say nothing. A value that names nothing of the account finds nothing.
func (r *request) filtered(in *wire.ListPhoneNumbersRequest) (numbersBehind, error) {
	name, value := wire.PhoneNumberAssociationName(""), ""
	if in.FilterName != nil {
		name = *in.FilterName
	}
	if in.FilterValue != nil {
		value = *in.FilterValue
	}
	if (name == "") != (value == "") {
		return nil, trunk.Errorf(trunk.Invalid, "FilterName and FilterValue must be given together.")
	}
	filter := directory.NumberFilter{Account: r.principal.Account}
	switch name {
	case "":
	case wire.PhoneNumberAssociationNameVoiceConnectorID:
		filter.ConnectorID = value
	case wire.PhoneNumberAssociationNameVoiceConnectorGroupID:
		filter.GroupID = value
	case wire.PhoneNumberAssociationNameSIPRuleID:
		return r.numbersOfRule(value), nil
	default: // of Amazon Chime's accounts and users, which are not here
		return noNumbers, nil
	}
	return func(after trunk.Number) iter.Seq[*trunk.PhoneNumber] { return r.snapshot.NumbersBy(filter, after) }, nil
}

// numbersOfRule yields the one number that a SIP rule of the account names, if it does.
func (r *request) numbersOfRule(id string) numbersBehind {
	rule, ok := r.snapshot.SIPRule(id)
	if !ok || rule.Account != r.principal.Account || rule.Disabled || rule.Trigger != trunk.ToPhoneNumber {
		return noNumbers
	}
	n, ok := r.snapshot.Number(trunk.Number(rule.TriggerValue))
	if !ok || !n.Deleted.IsZero() {
		return noNumbers
	}
	return func(after trunk.Number) iter.Seq[*trunk.PhoneNumber] {
		if n.E164 <= after {
			return noNumbers(after)
		}
		return slices.Values([]*trunk.PhoneNumber{n})
	}
}

// searchPage is the size of a page of a search that names none: the largest there is.
const searchPage = 500

// searchNumbers finds numbers of the pool. A filter that is left out, or empty, chooses nothing away.
func searchNumbers(r *request, in *wire.SearchAvailablePhoneNumbersRequest) (any, error) {
	behind, err := r.pool(in)
	if err != nil {
		return nil, err
	}
	found, next, err := r.numbers(numberList{
		page: page{in.MaxResults, in.NextToken}, defaultMax: searchPage, behind: behind,
		keep: func(n *trunk.PhoneNumber) bool {
			return (text(in.Country) == "" || numbering.Country(n.E164) == *in.Country) &&
				(in.PhoneNumberType == nil || *in.PhoneNumberType == "" || *in.PhoneNumberType == numberType(n.E164))
		},
	})
	if err != nil {
		return nil, err
	}
	answer := &wire.SearchAvailablePhoneNumbersResponse{E164PhoneNumbers: []wire.Sensitive{}, NextToken: next}
	for _, n := range found {
		answer.E164PhoneNumbers = append(answer.E164PhoneNumbers, wire.Sensitive(n.E164))
	}
	return answer, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// pool returns the numbers of the pool with one of the prefixes that a search asks for.
func (r *request) pool(in *wire.SearchAvailablePhoneNumbersRequest) (numbersBehind, error) {
	area, state, city, tollFree := text(in.AreaCode), text(in.State), text(in.City), text(in.TollFreePrefix)
	prefixes := []trunk.Number{""}
	narrow := func(codes ...string) {
		var both []trunk.Number
		for _, code := range codes {
			if prefix := trunk.Number("+1" + code); prefixes[0] == "" || slices.Contains(prefixes, prefix) {
				both = append(both, prefix)
			}
		}
		// An empty list would be no prefix asked for; no number begins with this one.
		prefixes = append(both, "+0")
	}
	if area != "" {
		if len(area) != 3 || strings.Trim(area, "0123456789") != "" {
			return nil, trunk.Errorf(trunk.Invalid, "AreaCode must be three digits.")
		}
		narrow(area)
	}
	if tollFree != "" {
		narrow(tollFree)
	}
	if state != "" {
		codes := numbering.AreaCodes(state)
		if len(codes) == 0 {
			return nil, trunk.Errorf(trunk.Invalid, "State must be the two capital letters of a state of the US or a province of Canada.")
		}
		narrow(codes...)
	}
	switch {
	case city != "" && state == "":
		return nil, trunk.Errorf(trunk.Invalid, "City needs State with it.")
	case city != "": // the inventory knows no cities
		return noNumbers, nil
	}
	return func(after trunk.Number) iter.Seq[*trunk.PhoneNumber] {
		return func(yield func(*trunk.PhoneNumber) bool) {
			for _, prefix := range prefixes {
				for n := range r.snapshot.PoolNumbers(prefix, after) {
					if !yield(n) {
						return
					}
				}
			}
		}
	}, nil
}

// listCountries answers the countries of the installation's numbers, whoever holds them, and the United States in any
// case.
func listCountries(r *request, in *wire.ListSupportedPhoneNumberCountriesRequest) (any, error) {
	answer := &wire.ListSupportedPhoneNumberCountriesResponse{PhoneNumberCountries: []wire.PhoneNumberCountry{}}
	if *in.ProductType == wire.PhoneNumberProductTypeBusinessCalling {
		return answer, nil // no number can be ordered for it
	}
	const tollFreeCountry = "US"
	countries := numbering.Countries(func(behind trunk.Number) (trunk.Number, bool) {
		for n := range r.snapshot.NumbersBy(directory.NumberFilter{}, behind) {
			return n.E164, true
		}
		return "", false
	})
	if at, found := slices.BinarySearch(countries, tollFreeCountry); !found {
		countries = slices.Insert(countries, at, tollFreeCountry)
	}
	for _, iso2 := range countries {
		types := []wire.PhoneNumberType{wire.PhoneNumberTypeLocal}
		if iso2 == tollFreeCountry {
			types = append(types, wire.PhoneNumberTypeTollFree)
		}
		answer.PhoneNumberCountries = append(answer.PhoneNumberCountries, wire.PhoneNumberCountry{
			CountryCode: &iso2, SupportedPhoneNumberTypes: types,
		})
	}
	return answer, nil
}
