package sbc

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"carillon/sip"
	"carillon/sip/transport"
)

// What a stranger is answered who sends the messages of RFC 4475 and RFC 5118; 0 is silence. That they are read right, and
// written anew where they are good, is seen to in package sip.
var torture = map[string]int{
	// Well formed: what they ask for is refused, to somebody at a host that is nobody's or by a method that is not served.
	"badbranch": 404, "baddate": 404, "esc01": 404, "longreq": 404, "lwsdisp": 404, "sdp01": 404, "semiuri": 404, "transports": 404,
	"cparam01": 405, "cparam02": 405, "dblreq": 405, "escnull": 405, "mpart01": 405, "regaut01": 405, "regescrt": 405, "unksm2": 405,
	"esc02": 501, "intmeth": 501, "wsinv": 481,
	// Well formed, and beyond what the node does.
	"bext01": 420, "invut": 415, "novelsc": 416, "unkscm": 416, "zeromf": 483,
	"inv2543": 400, // RFC 2543 needed no Contact, and a dialog does
	// Malformed.
	"badaspec": 400, "baddn": 400, "badinv01": 400, "badvers": 505, "clerr": 400, "escruri": 400, "insuf": 400, "ltgtruri": 400, "lwsruri": 400, "lwsstart": 400,
	"mcl01": 400, "mismatch01": 400, "mismatch02": 400, "multi01": 400, "ncl": 400, "quotbal": 400, "regbadct": 400, "scalar02": 400, "trws": 400,
	// Answers, and what gives no way back.
	"bcast": 0, "bigcode": 0, "noreason": 0, "scalarlg": 0, "test": 0, "unreason": 0,
	// RFC 5118.
	"ipv6-bad": 400, "ipv6-good": 405, "port-ambiguous": 405, "port-unambiguous": 405,
	"ipv4-mapped-ipv6": 404, "ipv4-mapped-ipv6.fixed": 404, "ipv6-bug-abnf-3-colons": 404, "ipv6-correct-abnf-2-colons": 404,
	"ipv6-in-sdp":       400, // its body is shorter than it says
	"ipv6-in-sdp.fixed": 404, "mult-ip-in-sdp": 404, "mult-ip-in-sdp.fixed": 404, "via-received-param-no-delim": 404,
	"mult-ip-in-header": 481, "via-received-param-with-delim": 481,
}

// TestTorture sends each message to the whole plane: one answer with the right status, or none, and nothing is kept.
func TestTorture(t *testing.T) {
	left := len(torture)
	for _, file := range append(glob(t, "rfc4475"), glob(t, "rfc5118")...) {
		name := strings.TrimSuffix(filepath.Base(file), ".dat")
		want, known := torture[name]
		if !known {
			t.Errorf("no answer to %s is known", name)
			continue
		}
		left--
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			scenario(t, nil, func(r *rig) {
				p := r.phone(transport.TCP, strangerIP)
				m, bad := new(sip.Message), (*sip.ParseError)(nil)
				switch err := m.Parse(text); {
				case err == nil:
					r.layer.Receive(p.near.Flow(), m)
				case errors.As(err, &bad):
					r.sbc.Malformed(p.near.Flow(), m, bad)
				default:
					t.Fatal(err)
				}
				synctest.Wait()
				var got []string
				for _, sent := range p.near.Sent() {
					status, _, _ := strings.Cut(string(sent.Data), "\r\n")
					got = append(got, status)
				}
				wanted := 1
				if want == 0 {
					wanted = 0
				}
				if len(got) != wanted || want != 0 && !strings.HasPrefix(got[0], "SIP/2.0 "+strconv.Itoa(want)+" ") {
					t.Errorf("answered %q, want %d", got, want)
				}
				r.noRecord()
			})
		})
	}
	if left != 0 {
		t.Errorf("%d answers are to no message", left)
	}
}

func glob(t *testing.T, rfc string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../sip/testdata", rfc, "*.dat"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d messages of %s: %v", len(files), rfc, err)
	}
	return files
}
