package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"carillon/config"
	"carillon/lab"
	"carillon/server"
	"carillon/trunk"
)

type serveCommand struct {
	config.Config
}

func (c *serveCommand) run(ctx context.Context, s *session) error {
	conf, err := loadConfig(c.Config, s)
	if err != nil {
		return err
	}
	log, err := newLogger(conf, s)
	if err != nil {
		return err
	}
	// Signals count from here on: one that comes while the node starts must not leave half of it behind.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	node, ended, err := start(ctx, conf, log, signals)
	if err != nil {
		return trunk.Errorf(trunk.Unavailable, "The node did not start: %v.%s%s", err, advice(err), s.strayReadyFile(err))
	}
	if ended {
		return nil
	}
	if conf.MediaXDP != "" {
		// The loop past the kernel keeps one of Go's processors while it is busy; the rest has as many as without it. Not earlier: what
		// is started once for each processor goes by what the machine has. From now on Go does not follow changes of the machine's.
		before := runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(before + 1)
		defer runtime.GOMAXPROCS(before)
	}
	log.LogAttrs(ctx, slog.LevelInfo, "node is up",
		append(node.Listening(), slog.String("domain", node.Ready().Domain), slog.String("version", version()))...)
	if conf.Dev {
		welcome(s, conf, node.Ready())
	}
	if err := wait(ctx, node, log, signals); err != nil {
		return err
	}
	log.Info("node stopped")
	return nil
}

// strayReadyFile says of a ready file that is another node's where its name comes from, if that is the variable by which the
// other commands find that node: whoever has set it for them did not mean this one.
func (s *session) strayReadyFile(err error) string {
	var taken *server.ReadyFileTakenError
	if name, _ := s.getenv(readyFileVariable); !errors.As(err, &taken) || s.given("ready-file") || name != taken.File {
		return ""
	}
	return " The name is from $" + readyFileVariable + ", by which the other commands find that node: unset it here."
}

func newLogger(conf config.Config, s *session) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(conf.LogLevel)); err != nil {
		return nil, usage("--log-level: %v", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if conf.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(s.Err, options)), nil
	}
	return slog.New(slog.NewTextHandler(s.Err, options)), nil
}

// start starts the node, or gives the start up at the first signal to end.
func start(ctx context.Context, conf config.Config, log *slog.Logger, signals chan os.Signal) (node *server.Node, ended bool, err error) {
	starting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	up := make(chan struct{})
	go func() {
		defer close(up)
		node, err = server.Start(starting, conf, server.Options{Logger: log})
	}()
	for {
		select {
		case <-up:
			if ended && node != nil {
				return nil, true, node.Close()
			}
			if ended {
				return nil, true, nil
			}
			return node, false, err
		case got := <-signals:
			if got != syscall.SIGHUP {
				ended = true
				giveUp()
			}
		}
	}
}

// wait runs until the node has to end: the first signal, or the end of ctx, drains it, the next one ends it at once.
func wait(ctx context.Context, node *server.Node, log *slog.Logger, signals <-chan os.Signal) error {
	drain, atOnce := context.WithCancel(context.WithoutCancel(ctx))
	defer atOnce()
	var drained chan struct{}
	done := ctx.Done()
	begin := func(why string) {
		log.Info("draining: new calls are refused, running ones may finish; another signal ends them", "why", why)
		drained = make(chan struct{})
		go func() { defer close(drained); node.Drain(drain) }()
	}
	for {
		select {
		case <-done:
			done = nil
			if drained == nil {
				begin("context")
			}
		case <-drained:
			return node.Close()
		case got := <-signals:
			switch {
			case got == syscall.SIGHUP:
				if err := node.Reload(); err != nil {
					log.Error("reload certificates; the old ones stay", "error", err)
				} else {
					log.Info("certificates reloaded")
				}
			case drained == nil:
				begin(got.String())
			default:
				log.Info("ending at once", "why", got.String())
				atOnce()
				return node.Close()
			}
		}
	}
}

// welcome tells whoever tries a node what to do with it. The secret is shown only where there is no ready file to
// hold it.
func welcome(s *session, conf config.Config, r server.Ready) {
	w := s.Out
	fmt.Fprintf(w, "Carillon is up, as a trial.\n\n")
	for _, row := range [][2]string{
		{"API", r.API}, {"SIP over TLS", r.SIP.TLS}, {"SIP over TCP", r.SIP.TCP}, {"SIP over UDP", r.SIP.UDP},
		{"DNS", r.DNS}, {"metrics", r.Metrics}, {"CA certificate", r.CAFile},
		{"account", r.AccountID}, {"access key", r.AccessKeyID},
	} {
		if row[1] != "" {
			fmt.Fprintf(w, "  %-16s %s\n", row[0], row[1])
		}
	}
	fmt.Fprint(w, "\nIn another terminal:\n\n")
	find := ""
	if strings.HasPrefix(r.API, "https:") && len(conf.TLSCert) == 0 { // the AWS CLI knows the system's certificates only
		fmt.Fprintf(w, "  export AWS_CA_BUNDLE=%s\n", r.CAFile)
	}
	if conf.ReadyFile != "" {
		file, err := filepath.Abs(conf.ReadyFile)
		if err != nil {
			file = conf.ReadyFile
		}
		fmt.Fprintf(w, "  export CARILLON_READY_FILE=%s\n  eval \"$(carillon key create --name trial)\"\n", file)
	} else {
		fmt.Fprintf(w, "  export CARILLON_API=%s\n  export AWS_ACCESS_KEY_ID=%s\n  export AWS_SECRET_ACCESS_KEY=%s\n",
			r.API, r.AccessKeyID, r.SecretAccessKey)
		find = " --sip " + r.SIP.TLS + " --ca " + r.CAFile
	}
	fmt.Fprintf(w, `  aws chime-sdk-voice create-voice-connector --name front-desk --require-encryption \
      --region us-east-1 --endpoint-url %s
  carillon call --to echo --prepare%s

Numbers of the lab carrier:
`, r.API, find)
	for _, n := range lab.Numbers() {
		fmt.Fprintf(w, "  %-12s %s  %s\n", n.Name, n.E164, n.Does)
	}
	fmt.Fprintln(w)
}
