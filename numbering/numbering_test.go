package numbering

import (
	"slices"
	"strings"
	"testing"

	"carillon/trunk"
)

func TestCountry(t *testing.T) {
	tests := []struct {
		number trunk.Number
		want   string
	}{
		{"", ""}, {"+1", "US"}, {"+12065550100", "US"}, {"+18005550100", "US"},
		{"+12115550100", "US"}, // 211 is assigned to nobody
		{"+16045550100", "CA"}, {"+19425550100", "CA"}, {"+12575550100", "CA"}, {"+16005550100", "CA"},
		{"+12425550100", "BS"}, {"+18765550100", "JM"}, {"+16585550100", "JM"}, {"+17875550100", "PR"},
		{"+19395550100", "PR"}, {"+18095550100", "DO"}, {"+18295550100", "DO"}, {"+18495550100", "DO"},
		{"+16715550100", "GU"}, {"+16705550100", "MP"}, {"+16845550100", "AS"}, {"+17215550100", "SX"},
		{"+74951234567", "RU"}, {"+77012345678", "KZ"}, {"+76001234567", "KZ"}, {"+99712345678", "KZ"},
		{"+442079460000", "GB"}, {"+447700900123", "GB"}, {"+441481960194", "GG"}, {"+447781123456", "GG"},
		{"+441534960194", "JE"}, {"+447797712345", "JE"}, {"+441624756789", "IM"}, {"+447924123456", "IM"},
		{"+390612345678", "IT"}, {"+390669812345", "VA"}, {"+390669912345", "IT"}, {"+3780549123456", "SM"},
		{"+4721234567", "NO"}, {"+4779123456", "SJ"},
		{"+61212345678", "AU"}, {"+61891621234", "CC"}, {"+61891641234", "CX"},
		{"+212520123456", "MA"}, {"+212528812345", "EH"},
		{"+262262161234", "RE"}, {"+262269601234", "YT"}, {"+262639012345", "YT"},
		{"+358131234567", "FI"}, {"+358181234567", "AX"},
		{"+590590201234", "GP"}, {"+590590271234", "BL"}, {"+590590871234", "MF"},
		{"+59994351234", "CW"}, {"+5997151234", "BQ"}, {"+5993181234", "BQ"}, {"+5995421234", ""},
		{"+672112345", "AQ"}, {"+672322123", "NF"}, {"+672912345", ""},
		{"+38328012345", "XK"}, {"+24762889", "SH"}, {"+2908123", "SH"},
		{"+80012345678", ""}, {"+881612345678", ""}, {"+9991234567", ""}, {"+2101234567", ""},
	}
	for _, tt := range tests {
		if got := Country(tt.number); got != tt.want {
			t.Errorf("Country(%q) = %q, want %q", tt.number, got, tt.want)
		}
	}
}

// TestPrefixesNameCountries holds the table against ISO 3166-1 in both directions.
func TestPrefixesNameCountries(t *testing.T) {
	reached := map[string]bool{}
	longest := 0
	for prefix, iso2 := range prefixes {
		if !ValidCountry(iso2) {
			t.Errorf("prefix %s: %q is no country", prefix, iso2)
		}
		reached[iso2] = true
		longest = max(longest, len(prefix))
	}
	if longest != longestPrefix {
		t.Errorf("longestPrefix = %d, the table's is %d", longestPrefix, longest)
	}
	// Those without a telephone range of their own: uninhabited, or dialled through a neighbour's.
	without := []string{"BV", "GS", "HM", "PN", "TF", "UM"}
	for _, iso2 := range strings.Fields(iso3166) {
		if reached[iso2] == slices.Contains(without, iso2) {
			t.Errorf("%s: has a prefix = %v, want %v", iso2, reached[iso2], !reached[iso2])
		}
	}
}

// TestOneOwnerPerPrefix proves that a longer prefix is never there for nothing.
func TestOneOwnerPerPrefix(t *testing.T) {
	for prefix, iso2 := range prefixes {
		for n := len(prefix) - 1; n > 0; n-- {
			if outer, ok := prefixes[prefix[:n]]; ok {
				if outer == iso2 {
					t.Errorf("prefix %s repeats %s, which prefix %s has", prefix, iso2, prefix[:n])
				}
				break
			}
		}
	}
}

func TestAreaCodesAreAreaCodes(t *testing.T) {
	for prefix := range prefixes {
		if prefix[0] != '1' || prefix == "1" {
			continue
		}
		// An area code is [2-9][0-8][0-9].
		if len(prefix) != 4 || prefix[1] < '2' || prefix[2] == '9' {
			t.Errorf("%q is no area code", prefix)
		}
	}
}

func TestHighRisk(t *testing.T) {
	tests := []struct {
		number trunk.Number
		want   bool
	}{
		{"+19005550100", true}, {"+870773111632", true}, {"+878101234567890", true}, {"+881612345678", true},
		{"+88213123456", true}, {"+883510001234567", true}, {"+979123456789", true},
		{"+499001123456", true}, {"+499002123456", false}, {"+449012345678", true}, {"+393331234567", false}, {"+39899123456", true}, {"+3389", true},
		{"+12065550100", false}, {"+18765550100", false}, {"+8801812345678", false}, {"+97112345678", false},
		{"", false}, {"+1", false},
	}
	for _, tt := range tests {
		if got := HighRisk(tt.number); got != tt.want {
			t.Errorf("HighRisk(%q) = %v, want %v", tt.number, got, tt.want)
		}
	}
}

// The search relies on the order of the table, and on no range beginning with another.
func TestPremiumRatesAreInOrder(t *testing.T) {
	for i, prefix := range premiumRates[1:] {
		if before := premiumRates[i]; before >= prefix || strings.HasPrefix(prefix, before) {
			t.Errorf("%s comes before %s", before, prefix)
		}
	}
	for _, prefix := range premiumRates {
		if !HighRisk(trunk.Number("+"+prefix)) || !HighRisk(trunk.Number("+"+prefix+"00000")) {
			t.Errorf("a number in %s is not found", prefix)
		}
	}
}

func TestEmergency(t *testing.T) {
	for digits, want := range map[string]bool{
		"911": true, "112": true, "+911": true, "+112": true,
		"": false, "9": false, "9111": false, "1911": false, "933": false, "999": false, "++911": false, "+12065550911": false,
	} {
		if got := Emergency(digits); got != want {
			t.Errorf("Emergency(%q) = %v, want %v", digits, got, want)
		}
	}
}

func TestValidCountry(t *testing.T) {
	for iso2, want := range map[string]bool{
		"US": true, "AD": true, "ZW": true, "XK": true, "GB": true,
		"": false, "us": false, "Us": false, "UK": false, "ZZ": false, "AAA": false, " A": false, "A ": false, "  ": false, "D A": false,
	} {
		if got := ValidCountry(iso2); got != want {
			t.Errorf("ValidCountry(%q) = %v, want %v", iso2, got, want)
		}
	}
	if got := len(strings.Fields(iso3166)); got != 249+1 {
		t.Errorf("%d codes, want the 249 of ISO 3166-1 and XK", got)
	}
}

func FuzzCountry(f *testing.F) {
	f.Add("+12065550100")
	f.Add("+")
	f.Add("447911")
	f.Fuzz(func(t *testing.T, s string) {
		if iso2 := Country(trunk.Number(s)); iso2 != "" && !ValidCountry(iso2) {
			t.Errorf("Country(%q) = %q", s, iso2)
		}
	})
}
