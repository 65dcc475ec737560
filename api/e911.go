package api

import (
	"strings"
	"unicode/utf8"

	"carillon/api/wire"
	"carillon/trunk"
)

// notValidated is AWS's ValidationResult for an address that is not confirmed. 0 (as it is) and 1 (corrected) are never
// answered: no database of addresses is asked here, and help must not be sent to one on the word of a pattern.
const notValidated = 2

// maxAddressPart is the longest part of an address in characters. It is fixed; longer ones are answered as malformed.
const maxAddressPart = 128

// validateAddress tells whether an address has the form of one: if it does, the answer has it in its normal spelling, if
// not, none. Nothing of an address is ever quoted or logged.
func validateAddress(r *request, in *wire.ValidateE911AddressRequest) (any, error) {
	if *in.AWSAccountID != r.principal.Account {
		return nil, trunk.Errorf(trunk.Forbidden, "AwsAccountId must be the account of the caller.")
	}
	answer := &wire.ValidateE911AddressResponse{
		CandidateAddressList: []wire.CandidateAddress{}, ValidationResult: new(int32(notValidated)),
	}
	if a, ok := normalAddress(in); ok {
		answer.Address = a
	}
	return answer, nil
}

// normalAddress brings an address to its normal spelling, reporting whether each part has the form it must have in its
// country.
func normalAddress(in *wire.ValidateE911AddressRequest) (*wire.Address, bool) {
	var (
		parts [6]string
		ok    = true
	)
	for i, part := range [...]*wire.Sensitive{in.StreetNumber, in.StreetInfo, in.City, in.State, in.Country, in.PostalCode} {
		var fine bool
		parts[i], fine = normalPart(string(*part))
		ok = ok && fine
	}
	street, info, city, state, country := parts[0], parts[1], parts[2], parts[3], parts[4]
	var code, plus4 string
	switch {
	case !ok || !strings.ContainsAny(street, "0123456789"):
		return nil, false
	case country == "US" && hasWord(usStates, state):
		code, plus4, ok = usPostalCode(parts[5])
	case country == "CA" && hasWord(caProvinces, state):
		code, ok = caPostalCode(parts[5])
	default:
		return nil, false
	}
	if !ok {
		return nil, false
	}
	a := &wire.Address{
		City: new(wire.Sensitive(city)), Country: new(wire.Sensitive(country)), PostalCode: new(wire.Sensitive(code)),
		State: new(wire.Sensitive(state)), StreetName: new(wire.Sensitive(info)), StreetNumber: new(wire.Sensitive(street)),
	}
	if plus4 != "" {
		a.PostalCodePlus4 = new(wire.Sensitive(plus4))
	}
	return a, true
}

// The codes of states and provinces as postal addresses have them; those of military addresses, which are no places, are
// left out.
const (
	usStates = "AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN MO MP MS MT NC ND NE NH NJ NM NV NY " +
		"OH OK OR PA PR RI SC SD TN TX UT VA VI VT WA WI WV WY"
	caProvinces = "AB BC MB NB NL NS NT NU ON PE QC SK YT"
)

func hasWord(list, word string) bool {
	return len(word) == 2 && !strings.Contains(word, " ") && strings.Contains(" "+list+" ", " "+word+" ")
}

// normalPart returns a part of an address in capitals, with single spaces.
func normalPart(s string) (string, bool) {
	if utf8.RuneCountInString(s) > maxAddressPart || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", false
	}
	s = strings.ToUpper(strings.Join(strings.Fields(s), " "))
	return s, s != ""
}

// usPostalCode splits a ZIP code, or ZIP+4 with or without its dash.
func usPostalCode(s string) (code, plus4 string, ok bool) {
	if len(s) == 10 && s[5] == '-' {
		s = s[:5] + s[6:]
	}
	if len(s) != 5 && len(s) != 9 || strings.Trim(s, "0123456789") != "" {
		return "", "", false
	}
	return s[:5], s[5:], true
}

// caPostalCode returns a Canadian code as A1A 1A1. D, F, I, O, Q and U are in none, and none begins with W or Z.
func caPostalCode(s string) (string, bool) {
	s = strings.ReplaceAll(s, " ", "")
	if len(s) != 6 || strings.ContainsAny(s[:1], "WZ") {
		return "", false
	}
	for i := range len(s) {
		set := "ABCEGHJKLMNPRSTVWXYZ"
		if i%2 == 1 {
			set = "0123456789"
		}
		if strings.IndexByte(set, s[i]) < 0 {
			return "", false
		}
	}
	return s[:3] + " " + s[3:], true
}
