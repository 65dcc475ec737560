package directory

import "testing"

// FuzzCursor lists from what a client may have made of a cursor.
func FuzzCursor(f *testing.F) {
	s := at(f, put(connector(1, accountA), connector(2, accountA), connector(3, accountB))).Snapshot()
	for _, c := range s.Connectors("", "", 3) {
		f.Add(ConnectorCursor(c))
	}
	f.Add("111111111111/-1/")
	f.Fuzz(func(t *testing.T, cursor string) {
		if cursor == "" {
			return
		}
		for _, c := range s.Connectors(accountA, cursor, 10) {
			if c.Account != accountA {
				t.Errorf("cursor %q shows a connector of account %s", cursor, c.Account)
			}
		}
		if p, ok := parseCursor(cursor); ok {
			for _, c := range s.Connectors("", cursor, 10) {
				if comparePlaces(placeOf(c), p) <= 0 {
					t.Errorf("cursor %q lists %s, which is not behind it", cursor, c.ID)
				}
			}
		}
	})
}
