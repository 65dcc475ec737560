package api

// defaultPage is the size of a page when the request names none: the largest that both namespaces allow, because AWS
// CLIs do not turn pages here.
const defaultPage = 99

// page is what a request of a paged operation asks for.
type page struct {
	max   *int32
	token *string
}

// pageOf returns the page asked for and the token of the next one, nil on the last. fetch returns at most limit of
// those behind a cursor, cursor the place just behind one of them. No page depends on another one's state: what is
// made or deleted between two pages shifts nothing.
func pageOf[E any](r *request, p page, fetch func(after string, limit int) []E, cursor func(E) string) ([]E, *string, error) {
	limit, after := defaultPage, ""
	if p.max != nil {
		limit = int(*p.max)
	}
	// Shells send an empty token for a variable that is not set.
	if p.token != nil && *p.token != "" {
		var err error
		if after, err = r.readToken(r.row.name, *p.token); err != nil {
			return nil, nil, err
		}
	}
	// One more than asked for tells whether there is another page.
	found := fetch(after, limit+1)
	if len(found) <= limit {
		return found, nil, nil
	}
	found = found[:limit]
	return found, new(r.token(r.row.name, cursor(found[limit-1]))), nil
}
