package interop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// countryDigits is how many digits of a national number tell one country of a shared code from another.
const countryDigits = 5

// asISO are the regions of libphonenumber that ISO 3166-1 has with another country.
var asISO = map[string]string{"AC": "SH", "TA": "SH"}

// amended are the prefixes for which something else than libphonenumber is followed, and why; none where there is no country.
var amended = map[string]struct{ iso2, why string }{
	"379":      {"VA", "assigned by the ITU, not in use"},
	"997":      {"KZ", "assigned by the ITU, not in use"},
	"76":       {"KZ", "the ITU has 6 and 7 of +7 with Kazakhstan"},
	"599":      {"", "its parts are countries; Sint Maarten's has gone to +1"},
	"5999":     {"CW", "its part"},
	"672":      {"", "its parts are territories"},
	"6723":     {"NF", "its part"},
	"6721":     {"AQ", "the ITU has it with the Australian bases in the Antarctic"},
	"1644":     {"CA", "a code of no place, held by the Canadian Numbering Administrator"},
	"1655":     {"CA", "as above"},
	"1677":     {"CA", "as above"},
	"1688":     {"CA", "as above"},
	"2125288":  {"EH", "the ITU's plan of +212 has its landlines in Western Sahara"},
	"2125289":  {"EH", "as above"},
	"447924":   {"IM", "Ofcom has given it to an operator of the Isle of Man alone"},
	"59059027": {"BL", "Arcep has its landlines on Saint Barthelemy"},
	"59059087": {"MF", "Arcep has its landlines on Saint Martin"},
	"13100":    {"", "a number of seven digits inside Canada, where the code is Los Angeles"},
	"13101":    {"", "as above"},
	"18001":    {"", "toll-free numbers are not a country's"},
}

// TestCountryTable holds the table of countries against the data of libphonenumber. With -update it writes it anew.
func TestCountryTable(t *testing.T) {
	const file = "../numbering/countries_gen.go"
	made := countriesFile(countries(t))
	if *update {
		if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != made {
		t.Errorf("%s is not what the data say (%v): go test -run TestCountryTable -update .", file, err)
	}
}

// countries returns the country of each prefix; a longer one beats a shorter one. A country code is its largest country's,
// which libphonenumber names first; the others of a shared code have the prefixes below which only they have numbers.
func countries(t *testing.T) map[string]string {
	t.Helper()
	data, err := phonenumbers.MetadataCollection()
	if err != nil {
		t.Fatal(err)
	}
	plans, codes, leading := map[string]*pattern{}, map[string]int{}, map[string][]string{}
	for _, m := range data.Metadata {
		if region := m.GetId(); region != "001" { // networks that are in no country
			plans[region], codes[region], leading[region] = numbersOf(t, m), int(m.GetCountryCode()), beginnings(t, m.GetLeadingDigits())
		}
	}
	table := map[string]string{}
	for region, plan := range plans {
		code := fmt.Sprint(codes[region])
		iso2 := region
		if other, ok := asISO[region]; ok {
			iso2 = other
		}
		all := phonenumbers.GetRegionCodesForCountryCode(codes[region])
		if all[0] == region {
			table[code] = iso2
			continue
		}
		var others pattern
		for _, other := range all {
			if other != region {
				others = append(others, *plans[other]...)
			}
		}
		for _, digits := range only(*plan, others) {
			table[code+digits] = iso2
		}
		for _, digits := range leading[region] {
			table[code+digits] = iso2
		}
	}
	for prefix, a := range amended {
		if a.iso2 == table[prefix] {
			t.Errorf("%s is in %q without being amended", prefix, a.iso2)
		}
		if table[prefix] = a.iso2; a.iso2 == "" {
			delete(table, prefix)
		}
	}
	for prefix, iso2 := range maps.Clone(table) {
		for n := len(prefix) - 1; n > 0; n-- {
			if shorter, ok := table[prefix[:n]]; ok {
				if shorter == iso2 {
					delete(table, prefix)
				}
				break
			}
		}
	}
	return table
}

// numbersOf is all kinds of numbers of a region.
func numbersOf(t *testing.T, m *phonenumbers.PhoneMetadata) *pattern {
	t.Helper()
	p := new(pattern)
	for _, d := range []*phonenumbers.PhoneNumberDesc{m.GetFixedLine(), m.GetMobile(), m.GetTollFree(), m.GetPremiumRate(), m.GetSharedCost(),
		m.GetPersonalNumber(), m.GetVoip(), m.GetPager(), m.GetUan(), m.GetVoicemail()} {
		p.add(t, d)
	}
	return p
}

// only returns the shortest prefixes below which there are numbers of plan and none of others.
func only(plan, others pattern) (prefixes []string) {
	var look func(digits string, in, out reached)
	look = func(digits string, in, out reached) {
		switch {
		case !in.any():
		case !out.any():
			prefixes = append(prefixes, digits)
		case len(digits) < countryDigits:
			for r := '0'; r <= '9'; r++ {
				look(digits+string(r), plan.step(in, r), others.step(out, r))
			}
		}
	}
	look("", plan.start(), others.start())
	return prefixes
}

// beginnings lists what an expression for the first digits of a region's numbers matches.
func beginnings(t *testing.T, text string) (prefixes []string) {
	t.Helper()
	var p pattern
	p.add(t, &phonenumbers.PhoneNumberDesc{NationalNumberPattern: &text})
	var look func(digits string, at reached)
	look = func(digits string, at reached) {
		switch {
		case !at.any():
		case p.ends(at):
			prefixes = append(prefixes, digits)
		default:
			for r := '0'; r <= '9'; r++ {
				look(digits+string(r), p.step(at, r))
			}
		}
	}
	look("", p.start())
	return prefixes
}

// countriesFile writes the table, a line for each digit that prefixes begin with and each country code in it.
func countriesFile(table map[string]string) string {
	var b strings.Builder
	b.WriteString("// Code generated by interop.TestCountryTable from the data of libphonenumber. DO NOT EDIT.\n\npackage numbering\n\n" +
		"// prefixes maps digits after the plus sign to a country. A longer key beats a shorter one.\n" +
		"var prefixes = map[string]string{")
	for i, prefix := range slices.Sorted(maps.Keys(table)) {
		if i%6 == 0 {
			b.WriteString("\n\t")
		} else {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%q: %q,", prefix, table[prefix])
	}
	b.WriteString("\n}\n")
	return b.String()
}
