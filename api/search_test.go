package api

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"carillon/directory"
	"carillon/trunk"
)

func found(t testing.TB, a answer) []string {
	t.Helper()
	all := []string{}
	for _, e := range a.member(t, "E164PhoneNumbers").([]any) {
		all = append(all, fmt.Sprint(e))
	}
	return all
}

// TestSearch: each filter chooses among the numbers of the pool, and together they must all hold.
func TestSearch(t *testing.T) {
	n := startNode(t)
	const seattle, spokane, victoria, free, berlin, boston = "+12065550100", "+15095550100", "+12505550100", "+18005550100", "+493012345678", "+16175550100"
	n.pool(t, seattle, spokane, victoria, free, berlin, boston)
	n.order(t, accountB, "+12065550101")
	n.put(t, &trunk.PhoneNumber{E164: "+12065550102", Account: accountA, Deleted: n.clock.Now()})
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{seattle, victoria, spokane, boston, free, berlin}},
		{"area-code=206", []string{seattle}},
		{"area-code=207", nil},
		{"state=WA", []string{seattle, spokane}},
		{"state=BC", []string{victoria}},
		{"state=WA&area-code=509", []string{spokane}},
		{"state=WA&area-code=617", nil},
		{"country=US", []string{seattle, spokane, boston, free}},
		{"country=CA", []string{victoria}},
		{"country=DE", []string{berlin}},
		{"country=DE&area-code=206", nil},
		{"country=FR", nil},
		{"toll-free-prefix=800", []string{free}},
		{"toll-free-prefix=888", nil},
		{"toll-free-prefix=800&area-code=206", nil},
		{"phone-number-type=TollFree", []string{free}},
		{"phone-number-type=Local&country=US", []string{seattle, spokane, boston}},
		{"phone-number-type=Local&toll-free-prefix=800", nil},
		{"state=WA&city=Seattle", nil},
		{"area-code=&state=&city=&next-token=", []string{seattle, victoria, spokane, boston, free, berlin}},
	} {
		a := n.do(t, accountA, "GET", "/search?type=phone-numbers&"+c.query, "").want(t, 200)
		if got := found(t, a); !slices.Equal(got, c.want) || !strings.Contains(a.Body, `"NextToken":null`) {
			t.Errorf("%s: got %s, want %v", c.query, a.Body, c.want)
		}
	}
	for query, says := range map[string]string{
		"city=Seattle": "State", "area-code=20": "AreaCode", "area-code=2a6": "AreaCode", "state=ZZ": "State", "state=wa": "State",
		"country=us": "country", "toll-free-prefix=206": "tollFreePrefix", "phone-number-type=Mobile": "phoneNumberType",
		"max-results=0": "maxResults", "max-results=501": "maxResults", "next-token=x": "NextToken",
	} {
		a := n.do(t, accountA, "GET", "/search?type=phone-numbers&"+query, "")
		if a.Status != 400 || !strings.Contains(a.text(t, "Message"), says) {
			t.Errorf("%s: got %d %s, want 400 with %q", query, a.Status, a.Body, says)
		}
	}
}

// TestSearchPages: pages of a search over several prefixes go on where the last one ended, whatever was ordered between.
func TestSearchPages(t *testing.T) {
	n := startNode(t)
	var want []string
	for _, area := range []string{"206", "253", "509"} {
		for i := range 3 {
			want = append(want, fmt.Sprintf("+1%s555010%d", area, i))
		}
	}
	n.pool(t, want...)
	n.pool(t, "+12075550100")
	var got []string
	token := ""
	for page := 0; ; page++ {
		a := n.do(t, accountA, "GET", "/search?type=phone-numbers&state=WA&max-results=2"+token, "").want(t, 200)
		got = append(got, found(t, a)...)
		next := a.text(t, "NextToken")
		if next == "" {
			break
		}
		token = "&next-token=" + next
		if page == 0 { // the number the token stands for, and one before it
			n.do(t, accountB, "POST", orderPath, orderBody("VoiceConnector", want[0], want[1])).want(t, 201)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSearchIsBounded: a search that few numbers pass ends its page early and says where to go on.
func TestSearchIsBounded(t *testing.T) {
	n := startNode(t)
	const each = 2000 // of one transaction
	for first := 0; first < MaxNumberScan; first += each {
		var batch []trunk.Entity
		for i := first; i < first+each; i++ {
			batch = append(batch, &trunk.PhoneNumber{E164: trunk.Number(fmt.Sprintf("+1206%07d", i))})
		}
		n.put(t, batch...)
	}
	n.pool(t, "+493012345678")
	a := n.do(t, accountA, "GET", "/search?type=phone-numbers&country=DE", "").want(t, 200)
	if got := found(t, a); len(got) != 0 || a.text(t, "NextToken") == "" {
		t.Fatalf("first page: %s", a.Body)
	}
	a = n.do(t, accountA, "GET", "/search?type=phone-numbers&country=DE&next-token="+a.text(t, "NextToken"), "").want(t, 200)
	if got := found(t, a); !slices.Equal(got, []string{"+493012345678"}) || !strings.Contains(a.Body, `"NextToken":null`) {
		t.Errorf("second page: %s", a.Body)
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(n.metrics, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\ncarillon_api_short_pages_total 1\n") {
		t.Error("the short page was not counted")
	}
}

func TestListPhoneNumbers(t *testing.T) {
	n := startNode(t)
	s, theirs := n.subject(t, accountA), n.subject(t, accountB)
	n.order(t, accountA, "+12065550100", "+12065550101", "+12065550102", "+12065550103")
	n.do(t, accountA, "DELETE", "/phone-numbers/"+s.number, "").want(t, 204)
	n.do(t, accountA, "DELETE", "/phone-numbers/+12065550103", "").want(t, 204)
	n.do(t, accountA, "POST", "/voice-connectors/"+s.connector+"?operation=associate-phone-numbers", numbersBody(false, "+12065550101")).want(t, 200)
	n.do(t, accountA, "POST", "/phone-numbers/+12065550102", `{"ProductType":"SipMediaApplicationDialIn"}`).want(t, 200)
	n.put(t, &trunk.SIPRule{ID: "rule", Account: accountA, Trigger: trunk.ToPhoneNumber, TriggerValue: "+12065550100", Created: n.clock.Now()},
		&trunk.SIPRule{ID: "off", Account: accountA, Trigger: trunk.ToPhoneNumber, TriggerValue: "+12065550100", Disabled: true},
		&trunk.SIPRule{ID: "theirs", Account: accountB, Trigger: trunk.ToPhoneNumber, TriggerValue: "+12065550100"})
	for query, want := range map[string]string{
		"":                                    "00 01 02 03 " + s.number,
		"status=Assigned":                     "00 01",
		"status=Unassigned":                   "02",
		"status=DeleteInProgress":             "03 " + s.number,
		"status=AcquireFailed":                "",
		"product-type=VoiceConnector":         "00 01 03 " + s.number,
		"product-type=BusinessCalling":        "",
		"product-type=VoiceConnector&status=": "00 01 03 " + s.number,
		"filter-name=VoiceConnectorId&filter-value=" + s.connector:                   "01",
		"filter-name=VoiceConnectorId&filter-value=" + theirs.connector:              "",
		"filter-name=VoiceConnectorId&filter-value=" + s.connector + "&status=Other": "",
		"filter-name=VoiceConnectorGroupId&filter-value=" + s.group:                  "",
		"filter-name=SipRuleId&filter-value=rule":                                    "00",
		"filter-name=SipRuleId&filter-value=off":                                     "",
		"filter-name=SipRuleId&filter-value=theirs":                                  "",
		"filter-name=UserId&filter-value=x":                                          "",
		"filter-name=AccountId&filter-value=" + accountA:                             "",
	} {
		var got []string
		for _, e164 := range listed(t, n.do(t, accountA, "GET", "/phone-numbers?"+query, "").want(t, 200)) {
			got = append(got, strings.TrimPrefix(e164, "+120655501"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", query, got, want)
		}
	}
	for _, query := range []string{"filter-name=VoiceConnectorId", "filter-value=x", "filter-name=Fax&filter-value=x", "product-type=Fax", "next-token=x"} {
		n.do(t, accountA, "GET", "/phone-numbers?"+query, "").want(t, 400)
	}
}

// TestNumberPages: a list that is turned while numbers come and go has each number that was there all the time once.
func TestNumberPages(t *testing.T) {
	n := startNode(t)
	var all []string
	for i := range 20 {
		all = append(all, fmt.Sprintf("+120655501%02d", 2*i))
	}
	n.order(t, accountA, all...)
	var got []string
	token := ""
	for page := 0; ; page++ {
		a := n.do(t, accountA, "GET", "/phone-numbers?max-results=3"+token, "").want(t, 200)
		numbers := listed(t, a)
		got = append(got, numbers...)
		next := a.text(t, "NextToken")
		if next == "" {
			break
		}
		token = "&next-token=" + next
		// The last one of the page goes for good, and one comes in before it.
		n.remove(t, trunk.EntityKey{Kind: trunk.KindNumber, ID: numbers[len(numbers)-1]})
		n.order(t, accountA, fmt.Sprintf("+120655501%02d", 4*page+1))
	}
	for _, e164 := range all {
		if count := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != e164 })); count != 1 {
			t.Errorf("%s was listed %d times", e164, count)
		}
	}
}

func TestCountries(t *testing.T) {
	n := startNode(t)
	const path = "/phone-number-countries?product-type="
	const us = `{"CountryCode":"US","SupportedPhoneNumberTypes":["Local","TollFree"]}`
	if got := n.do(t, accountA, "GET", path+"VoiceConnector", "").want(t, 200).Body; got != `{"PhoneNumberCountries":[`+us+`]}` {
		t.Errorf("with an empty inventory: %s", got)
	}
	n.pool(t, "+12505550100", "+493012345678", "+8001234567")
	n.put(t, &trunk.PhoneNumber{E164: "+582121234567", Account: accountB})
	local := func(iso2 string) string {
		return `{"CountryCode":"` + iso2 + `","SupportedPhoneNumberTypes":["Local"]}`
	}
	want := `{"PhoneNumberCountries":[` + local("CA") + "," + local("DE") + "," + us + "," + local("VE") + `]}`
	for _, product := range []string{"VoiceConnector", "SipMediaApplicationDialIn"} {
		if got := n.do(t, accountA, "GET", path+product, "").want(t, 200).Body; got != want {
			t.Errorf("%s: got %s", product, got)
		}
	}
	if got := n.do(t, accountA, "GET", path+"BusinessCalling", "").want(t, 200).Body; got != `{"PhoneNumberCountries":[]}` {
		t.Errorf("business calling: %s", got)
	}
	n.do(t, accountA, "GET", "/phone-number-countries", "").want(t, 400)
	if got := len(n.directory.Snapshot().Numbers(directory.NumberFilter{}, "", 9)); got != 4 {
		t.Errorf("%d numbers", got)
	}
}
