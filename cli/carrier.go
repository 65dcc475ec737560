package cli

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "carillon/api/v1"
)

type carrierCommand struct {
	Put    carrierPutCommand    `cmd:"" help:"Add a carrier or replace it."`
	List   carrierListCommand   `cmd:"" help:"List carriers."`
	Delete carrierDeleteCommand `cmd:"" help:"Delete a carrier."`
}

type carrierPutCommand struct {
	nodeFlags
	Name     string        `arg:"" help:"Name of the carrier."`
	Target   []string      `required:"" sep:"none" placeholder:"'sip:HOST:PORT;transport=udp|tcp|tls'" help:"Where calls go; repeat it for the next to try."`
	Prefix   []string      `placeholder:"+1" help:"Beginning of the numbers it takes; may be repeated. Without one it takes all. The carriers with the longest match are tried first, then the others that match."`
	SRTP     string        `name:"srtp" default:"off" placeholder:"off|offer|require" help:"Encryption of its media. It holds for this carrier: another one that takes the number is tried by its own."`
	Source   []string      `placeholder:"CIDR" help:"Network its calls come from, besides its targets; may be repeated."`
	Probe    time.Duration `placeholder:"DURATION" help:"How often each target is asked whether it is up, by OPTIONS; one that does not answer is tried last, and the log says so."`
	User     string        `help:"User name for its challenge."`
	Password string        `help:"Password for its challenge; - reads it from standard input, where no process list shows it."`
}

func (c *carrierPutCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	password, err := readPassword(c.Password, s)
	if err != nil {
		return err
	}
	if c.Probe < 0 || c.Probe%time.Second != 0 {
		return usage("--probe is whole seconds.")
	}
	in := v1.Carrier{
		Targets: c.Target, Prefixes: c.Prefix, SRTP: c.SRTP, Sources: c.Source,
		ProbeSeconds: int(c.Probe / time.Second), User: c.User, Password: password,
	}
	var carrier v1.Carrier // what is shown is the answer: it has no password
	if err := node.own(ctx, http.MethodPut, v1.Carriers+"/"+url.PathEscape(c.Name), in, &carrier); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, carrier)
	}
	return printCarriers(s, []v1.Carrier{carrier})
}

// readPassword returns a password, read from standard input where it is "-".
func readPassword(given string, s *session) (string, error) {
	if given != "-" {
		return given, nil
	}
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usage("There is no password on standard input: %v.", err)
	}
	return line, nil
}

type carrierListCommand struct{ nodeFlags }

func (c *carrierListCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	var list v1.CarrierList
	if err := node.own(ctx, http.MethodGet, v1.Carriers, nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, list)
	}
	return printCarriers(s, list.Carriers)
}

func printCarriers(s *session, carriers []v1.Carrier) error {
	var t table
	t.add("name", "target", "srtp", "prefixes", "sources", "probe", "user")
	for _, c := range carriers {
		prefixes := strings.Join(c.Prefixes, ",")
		if len(c.Prefixes) > 3 {
			prefixes = fmt.Sprintf("%s … (%d)", strings.Join(c.Prefixes[:3], ","), len(c.Prefixes))
		}
		probe := ""
		if c.ProbeSeconds > 0 {
			probe = (time.Duration(c.ProbeSeconds) * time.Second).String()
		}
		for i, target := range c.Targets {
			if i > 0 {
				t.add(c.Name, target)
				continue
			}
			if prefixes == "" {
				prefixes = "all"
			}
			t.add(c.Name, target, c.SRTP, prefixes, dash(strings.Join(c.Sources, ",")), dash(probe), dash(c.User))
		}
	}
	return t.print(s.Out)
}

type carrierDeleteCommand struct {
	nodeFlags
	Name string `arg:"" help:"Name of the carrier."`
}

func (c *carrierDeleteCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	if err := node.own(ctx, http.MethodDelete, v1.Carriers+"/"+url.PathEscape(c.Name), nil, nil); err != nil {
		return err
	}
	return done(s, c.JSON, "Deleted carrier "+c.Name+".")
}

// done answers a command whose operation answers nothing.
func done(s *session, asJSON bool, sentence string) error {
	if asJSON {
		return printJSON(s.Out, struct{}{})
	}
	_, err := fmt.Fprintln(s.Out, sentence)
	return err
}
