package interop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"carillon/numbering"
	"carillon/trunk"

	"github.com/nyaruka/phonenumbers"
)

var kinds = map[phonenumbers.PhoneNumberType]string{
	phonenumbers.FIXED_LINE: "fixed", phonenumbers.MOBILE: "mobile", phonenumbers.TOLL_FREE: "toll-free", phonenumbers.SHARED_COST: "shared cost",
	phonenumbers.VOIP: "VoIP", phonenumbers.PERSONAL_NUMBER: "personal", phonenumbers.PAGER: "pager", phonenumbers.UAN: "company",
	phonenumbers.VOICEMAIL: "voicemail", phonenumbers.PREMIUM_RATE: "premium",
}

// elsewhere are the examples that numbering gives to another country than libphonenumber does, and why.
var elsewhere = map[string]string{
	"+24762889": "ISO 3166-1 has Ascension with Saint Helena", "+24740123": "as above", "+247542011": "as above",
	"+2908999":    "ISO 3166-1 has Tristan da Cunha with Saint Helena",
	"+5996001234": "a range that the islands share belongs to neither",
	"+13101234":   "no number of the public network: dialled inside Canada alone",
	"+672106609":  "the ITU has 672 1 with Antarctica",
}

// TestCountriesOfNumbers holds the country table against the examples of every kind and country in libphonenumber, and
// against its area codes in +1.
func TestCountriesOfNumbers(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, region := range slices.Sorted(maps.Keys(phonenumbers.GetSupportedRegions())) {
		for kind, name := range kinds {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			number := phonenumbers.Format(example, phonenumbers.E164)
			seen[number] = true
			got := numbering.Country(trunk.Number(number))
			agrees := got == region || got == phonenumbers.GetRegionCodeForNumber(example)
			if why := elsewhere[number]; agrees != (why == "") {
				t.Errorf("%s, %s in %s, is in %q; named as a difference: %q", number, name, region, got, why)
			}
		}
	}
	for number := range elsewhere {
		if !seen[number] {
			t.Errorf("%s is named and no example", number)
		}
	}
	for area := 200; area < 1000; area++ {
		number := fmt.Sprintf("+1%d2345678", area)
		parsed, err := phonenumbers.Parse(number, "US")
		if err != nil {
			t.Fatal(err)
		}
		want := phonenumbers.GetRegionCodeForNumber(parsed)
		if got := numbering.Country(trunk.Number(number)); want != "" && got != want {
			t.Errorf("area code %d is in %s, want %s", area, got, want)
		}
	}
}

// unmarked are examples of premium numbers that no prefix of premiumDigits digits tells from others.
// Their plans tell them by their length.
var unmarked = map[string]bool{
	"+8551900123456": true, "+3531520123456": true, "+601600123456": true, "+661900123456": true, "+508810123456": true,
	"+9609001234567": true, "+96190123456": true,
}

// TestPremiumRates holds the ranges that are off until allowed against libphonenumber: its premium examples are in them
// and no others. With -update it writes the table anew.
func TestPremiumRates(t *testing.T) {
	t.Parallel()
	const file = "../numbering/premium_gen.go"
	made := premiumFile(premiumRates(t))
	if *update {
		if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return // what is compiled in is the table before
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != made {
		t.Errorf("%s is not what the data say (%v): go test -run TestPremiumRates -update .", file, err)
	}
	for region := range phonenumbers.GetSupportedRegions() {
		for kind, name := range kinds {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			number := phonenumbers.Format(example, phonenumbers.E164)
			want := kind == phonenumbers.PREMIUM_RATE && !unmarked[number]
			if got := numbering.HighRisk(trunk.Number(number)); got != want {
				t.Errorf("%s, %s in %s: high risk %v, want %v", number, name, region, got, want)
			}
		}
	}
}

// premiumDigits is how many digits of a national number a range is told by.
const premiumDigits = 5

// premiumRates returns the prefixes, with their country codes, below which there are premium numbers and no others.
func premiumRates(t *testing.T) (prefixes []string) {
	t.Helper()
	data, err := phonenumbers.MetadataCollection()
	if err != nil {
		t.Fatal(err)
	}
	type plan struct{ premium, other pattern }
	plans := map[int32]*plan{}
	for _, m := range data.Metadata {
		if m.GetId() == "001" {
			continue // networks that are in no country have a list of their own
		}
		p := plans[m.GetCountryCode()]
		if p == nil {
			p = new(plan)
			plans[m.GetCountryCode()] = p
		}
		p.premium.add(t, m.GetPremiumRate())
		for _, d := range []*phonenumbers.PhoneNumberDesc{m.GetFixedLine(), m.GetMobile(), m.GetTollFree(), m.GetSharedCost(), m.GetPersonalNumber(),
			m.GetVoip(), m.GetPager(), m.GetUan(), m.GetVoicemail()} {
			p.other.add(t, d)
		}
	}
	for code, p := range plans {
		var look func(digits string, premium, other reached)
		look = func(digits string, premium, other reached) {
			next := map[rune]reached{}
			for r := '0'; r <= '9'; r++ {
				if after := p.premium.step(premium, r); after.any() {
					next[r] = after
				}
			}
			switch {
			case !premium.any():
			case !other.any() && (len(next) == 10 || len(digits) == premiumDigits):
				prefixes = append(prefixes, fmt.Sprint(code)+digits)
			case len(digits) < premiumDigits:
				for r, after := range next {
					look(digits+string(r), after, p.other.step(other, r))
				}
			}
		}
		look("", p.premium.start(), p.other.start())
	}
	slices.Sort(prefixes)
	return prefixes
}

// premiumFile writes the table.
func premiumFile(prefixes []string) string {
	var b strings.Builder
	b.WriteString("// Code generated by interop.TestPremiumRates from the data of libphonenumber. DO NOT EDIT.\n\npackage numbering\n\n" +
		"// premiumRates are the ranges that national plans have for numbers that cost more than a call, without the plus sign and\n" +
		"// in order. None begins with another.\nvar premiumRates = [...]string{")
	for i, p := range prefixes {
		if i%12 == 0 {
			b.WriteString("\n\t")
		} else {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%q,", p)
	}
	b.WriteString("\n}\n")
	return b.String()
}
