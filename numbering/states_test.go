package numbering

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"carillon/trunk"
)

// provinces are the two letters of Canada's provinces and territories.
const provinces = "AB BC MB NB NL NS NT NU ON PE QC SK YT"

// TestAreaCodes holds the states against the countries: the two tables must not drift apart.
func TestAreaCodes(t *testing.T) {
	if got := len(areaCodes); got != 51+13 {
		t.Errorf("%d states and provinces, want the 50, DC and Canada's 13", got)
	}
	owners := map[string][]string{}
	for state, codes := range areaCodes {
		want := "US"
		if slices.Contains(strings.Fields(provinces), state) {
			want = "CA"
		}
		fields := AreaCodes(state)
		if !slices.IsSorted(fields) || strings.Join(fields, " ") != codes {
			t.Errorf("%s: %q is not in order", state, codes)
		}
		for _, code := range fields {
			number := trunk.Number("+1" + code + "5550100")
			if got := Country(number); got != want || TollFree(number) {
				t.Errorf("%s: %s is in %s, toll-free %v", state, code, got, TollFree(number))
			}
			owners[code] = append(owners[code], state)
		}
	}
	shared := map[string]string{"782": "NS PE", "902": "NS PE", "867": "NT NU YT"}
	for code, states := range owners {
		slices.Sort(states)
		if got := strings.Join(states, " "); len(states) > 1 && shared[code] != got {
			t.Errorf("%s is in %s", code, got)
		}
	}
	// Canada's area codes are all in a province but for those that are not geographic.
	for prefix, iso2 := range prefixes {
		code := strings.TrimPrefix(prefix, "1")
		if iso2 == "CA" && (owners[code] == nil) != slices.Contains([]string{"600", "622", "633", "644", "655", "677", "688"}, code) {
			t.Errorf("%s: in provinces %v", code, owners[code])
		}
	}
	for _, none := range []string{"", "wa", "ZZ", "WAS", "Washington"} {
		if got := AreaCodes(none); len(got) != 0 {
			t.Errorf("AreaCodes(%q) = %v", none, got)
		}
	}
}

func TestTollFree(t *testing.T) {
	for number, want := range map[trunk.Number]bool{
		"+18005550100": true, "+18335550100": true, "+18445550100": true, "+18555550100": true, "+18665550100": true,
		"+18775550100": true, "+18885550100": true,
		"+18225550100": false, "+18895550100": false, "+19005550100": false, "+12065550100": false, "+8005550100": false,
		"+1800": false, "+1": false, "": false,
	} {
		if got := TollFree(number); got != want {
			t.Errorf("TollFree(%q) = %v, want %v", number, got, want)
		}
	}
}

// inventory is a sorted list of numbers that counts how often it is asked.
type inventory struct {
	numbers []trunk.Number
	asked   int
}

func (i *inventory) next(behind trunk.Number) (trunk.Number, bool) {
	i.asked++
	at, found := slices.BinarySearch(i.numbers, behind)
	if found {
		at++
	}
	if at == len(i.numbers) {
		return "", false
	}
	return i.numbers[at], true
}

// TestCountries compares the walk that skips with one that looks at every number.
func TestCountries(t *testing.T) {
	many := &inventory{}
	for i := range 5000 {
		many.numbers = append(many.numbers, trunk.Number(fmt.Sprintf("+1206%07d", i)), trunk.Number(fmt.Sprintf("+4420%08d", i)))
	}
	every := &inventory{}
	for prefix := range prefixes {
		every.numbers = append(every.numbers, trunk.Number("+"+prefix+"000000"), trunk.Number("+"+prefix+"999999"), trunk.Number("+"+prefix))
	}
	for name, i := range map[string]*inventory{
		"empty": {}, "of no country": {numbers: []trunk.Number{"+9991234567"}}, "many": many, "every prefix": every,
		"one inside another": {numbers: []trunk.Number{"+12035550100", "+12045550100", "+12055550100", "+12425550100", "+19995550100", "+204555010"}},
		"ends in the last":   {numbers: []trunk.Number{"+9981234567", "+9989999999"}},
	} {
		slices.Sort(i.numbers)
		want := map[string]bool{}
		for _, n := range i.numbers {
			if iso2 := Country(n); iso2 != "" {
				want[iso2] = true
			}
		}
		if got := Countries(i.next); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s: got %v, want %v", name, got, slices.Sorted(maps.Keys(want)))
		}
		if i.asked > 4*len(prefixes) {
			t.Errorf("%s: asked %d times", name, i.asked)
		}
	}
	if many.asked > 10 {
		t.Errorf("asked %d times for numbers under two prefixes", many.asked)
	}
}

// FuzzCountries: whatever the numbers are, the walk ends and finds what looking at each finds.
func FuzzCountries(f *testing.F) {
	f.Add("+12065550100 +4479111 +999")
	f.Add("+1204 +1203 +12050")
	f.Fuzz(func(t *testing.T, text string) {
		i, want := &inventory{}, map[string]bool{}
		for _, word := range strings.Fields(text) {
			if n, ok := trunk.ParseDialled(word); ok {
				i.numbers = append(i.numbers, n)
			}
		}
		slices.Sort(i.numbers)
		i.numbers = slices.Compact(i.numbers)
		for _, n := range i.numbers {
			if iso2 := Country(n); iso2 != "" {
				want[iso2] = true
			}
		}
		if got := Countries(i.next); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%v: got %v, want %v", i.numbers, got, slices.Sorted(maps.Keys(want)))
		}
	})
}
