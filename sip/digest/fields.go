package digest

import "carillon/sip"

// Fields gives the values of all lines of one header of m, for Request.Credentials and Client.Answer. The lines are not
// split at commas as those of other headers are: in these four a comma parts the parameters of one value (RFC 3261 §7.3.1).
// The values lie in m's buffer.
func Fields(m *sip.Message, id sip.HeaderID) [][]byte {
	if m.Count(id) == 0 {
		return nil
	}
	var values [][]byte
	for f := range m.Fields() {
		if f.ID == id {
			values = append(values, f.Value)
		}
	}
	return values
}
