// Package numbering says to which country a phone number belongs, and which ranges cost more than they seem to.
//
// Its tables of countries and premium rates are made from the public data of libphonenumber; README.md names the sources.
// The package is pure: no I/O, no state.
package numbering

import (
	"slices"
	"strings"

	"carillon/trunk"
)

// longestPrefix is the length in digits of the longest key in prefixes: the lookup tries no longer one.
const longestPrefix = 8

// Country returns the ISO 3166-1 alpha-2 code of the country a number belongs to, or "" when it belongs to none:
// an unassigned country code, or a network that spans countries (+800, +881, ...). The longest assigned prefix
// wins, so the shared codes are told apart: +7 Russia and Kazakhstan, +44 and the Crown dependencies, +1 and the
// twenty-odd countries in it. An unassigned +1 area code counts as US. Kosovo is "XK".
func Country(number trunk.Number) (iso2 string) {
	digits := strings.TrimPrefix(string(number), "+")
	for n := min(longestPrefix, len(digits)); n > 0; n-- {
		if iso2, ok := prefixes[digits[:n]]; ok {
			return iso2
		}
	}
	return ""
}

// HighRisk reports whether a number lies in a range that bills the caller for more than a call: premium rates of
// national plans, satellite and international networks. Toll fraud ends in these, so they are off until someone allows
// them by name. A number in the Caribbean is not one of them: those are countries.
func HighRisk(number trunk.Number) bool {
	digits := strings.TrimPrefix(string(number), "+")
	for _, prefix := range highRisk {
		if strings.HasPrefix(digits, prefix) {
			return true
		}
	}
	// No range begins with another, so only the last one that is not behind the number can be its beginning.
	at, exact := slices.BinarySearch(premiumRates[:], digits)
	return exact || at > 0 && strings.HasPrefix(digits, premiumRates[at-1])
}

// Emergency reports whether what was dialled calls the emergency services: 911 or 112, with or without a plus sign
// that a phone put before it. Such a call passes every rule about numbers, countries and limits.
func Emergency(digits string) bool {
	switch strings.TrimPrefix(digits, "+") {
	case "911", "112":
		return true
	}
	return false
}

// ValidCountry reports whether iso2 is an upper-case ISO 3166-1 alpha-2 code, or "XK", the user-assigned code in
// general use for Kosovo, without which numbers in +383 could never be allowed.
func ValidCountry(iso2 string) bool {
	if len(iso2) != 2 || iso2 != strings.ToUpper(iso2) {
		return false
	}
	return strings.Contains(iso3166, " "+iso2+" ")
}

// iso3166 lists every officially assigned code, each between two spaces, and XK.
const iso3166 = " AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ" +
	" BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ" +
	" CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ" +
	" EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY" +
	" HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ" +
	" LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ" +
	" NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW" +
	" SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ" +
	" TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS" +
	" XK YE YT ZA ZM ZW "

// highRisk are the prefixes, without the plus sign, of ranges that bill for more than a call.
var highRisk = [...]string{
	"1900", // NANPA pay-per-call, the codes that are given to nobody included
	"870",  // Inmarsat
	"878",  // universal personal telecommunications
	"881",  // global mobile satellite systems
	"882",  // international networks
	"883",  // international networks
	"979",  // international premium rate
}
