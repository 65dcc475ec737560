// Package cli is the command line: it starts a node, and is a client of the API of one that runs.
//
// Every subcommand is a struct whose fields are its arguments. Those of a node's settings are package config's own, so
// that flags, environment and file cannot part. Client subcommands find a node by its ready file or by the
// environment, sign their requests like any AWS client, and print a table or, with --json, what the API answered.
//
// The exit status is 0 when what was asked for was done, 1 when it failed or did not hold, and 2 when it makes no
// sense as it was asked.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"carillon/clock"
	"carillon/trunk"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// grammar is every subcommand.
type grammar struct {
	Serve     serveCommand     `cmd:"" help:"Run a node."`
	Demo      demoCommand      `cmd:"" help:"Tell the whole story in one process: an encrypted call, refused plain calls, an inbound call, and the proof."`
	Call      callCommand      `cmd:"" help:"Place a test call through a connector, listen, and assert on it."`
	Rehearse  rehearseCommand  `cmd:"" help:"Ask what would happen to a call, rule by rule, without placing it."`
	Carrier   carrierCommand   `cmd:"" help:"SIP peers that lead to the public network."`
	Number    numberCommand    `cmd:"" help:"Phone numbers of the installation."`
	Connector connectorCommand `cmd:"" help:"Settings of connectors that AWS has no field for."`
	Quota     quotaCommand     `cmd:"" help:"Limits on what accounts may have."`
	Key       keyCommand       `cmd:"" help:"Access keys."`
	Calls     callsCommand     `cmd:"" help:"Records of calls."`
	Audit     auditCommand     `cmd:"" help:"What was written through the API, and by whom."`
	Config    configCommand    `cmd:"" help:"Settings of a node."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// command is what every subcommand does once its arguments are read.
type command interface {
	run(ctx context.Context, s *session) error
}

// session is what a command runs with.
type session struct {
	Streams
	getenv func(string) (string, bool)
	clock  clock.Clock
	// given reports whether a flag was on the command line.
	given func(flag string) bool
}

// Main runs the command that args name, without the program's own name, and returns the exit status. getenv looks a
// variable up in the environment.
func Main(ctx context.Context, args []string, getenv func(string) (string, bool), streams Streams) int {
	var g grammar
	helped := false
	parser, err := kong.New(&g,
		kong.Name("carillon"),
		kong.Description("A self-hosted Amazon Chime Voice Connector: the AWS API, and the encrypted SIP trunk it creates."),
		kong.Writers(streams.Out, streams.Err),
		kong.Exit(func(int) { helped = true }), // --help has printed; Parse goes on and may find fault with what is missing
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(helpText),
	)
	if err != nil {
		panic("cli: the grammar cannot be read: " + err.Error()) // held by every test
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(commonWords(args))
	if helped {
		return exitDone
	}
	if err != nil {
		return report(streams.Err, trunk.Errorf(trunk.Invalid, "%s (see carillon %s)", plainly(err), helpFor(err)))
	}
	s := &session{Streams: streams, getenv: getenv, clock: clock.System(), given: givenFlags(parsed)}
	// Every leaf of the grammar is a command; a test walks all of them.
	chosen := parsed.Selected().Target.Addr().Interface().(command)
	return report(streams.Err, chosen.run(ctx, s))
}

// commonWords turns what people try first into the words of the grammar.
func commonWords(args []string) []string {
	switch args[0] {
	case "--version", "-v":
		return append([]string{"version"}, args[1:]...)
	case "help":
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// plainly puts an error of the parser, which is Go's about a Go type, into the words of the command line.
func plainly(err error) string {
	text := err.Error()
	for _, w := range []struct{ from, to string }{
		{`expected a valid \d+ bit u?int but got ("[^"]*"|\S+)`, "$1 is not a whole number"},
		{`(?:netip\.)?ParseAddr\(("[^"]*")\): .*`, "$1 is not an IP address"},
		{`netip\.ParsePrefix\(("[^"]*")\): .*`, "$1 is not a network such as 192.0.2.0/24"},
		{`not an ip:port$`, "that is not an address and a port such as 192.0.2.53:53"},
		{`expected duration but got ("[^"]*"): .*`, "$1 is no length of time such as 90s or 1h30m"},
	} {
		text = regexp.MustCompile(w.from).ReplaceAllString(text, w.to)
	}
	return text
}

// helpFor names the help page of the subcommand in which parsing stopped.
func helpFor(err error) string {
	var fault *kong.ParseError
	if errors.As(err, &fault) && fault.Context != nil && fault.Context.Command() != "" {
		words := strings.Fields(fault.Context.Command())
		for i, w := range words {
			if strings.HasPrefix(w, "<") {
				words = words[:i]
				break
			}
		}
		return strings.Join(append(words, "--help"), " ")
	}
	return "--help"
}

// givenFlags returns the test for flags that were on the command line.
func givenFlags(parsed *kong.Context) func(string) bool {
	names := map[string]bool{}
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved {
			names[p.Flag.Name] = true
		}
	}
	return func(name string) bool { return names[name] }
}

// errNotHeld ends a command that has already said what did not hold.
var errNotHeld = errors.New("not all of it held")

// report writes an error as one plain sentence and returns the exit status that goes with it.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errNotHeld) {
		return exitFailed
	}
	fmt.Fprintf(w, "carillon: %s\n", sentence(err))
	return exitStatus(kindOf(err))
}
