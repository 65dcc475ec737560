package cli

import (
	"context"
	"fmt"
	"strings"

	"carillon/config"
	"carillon/trunk"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Judge the settings of a node, given as to serve, without starting it."`
}

type configCheckCommand struct {
	config.Config
}

func (c *configCheckCommand) run(_ context.Context, s *session) error {
	conf, err := loadConfig(c.Config, s)
	if err != nil {
		return err
	}
	given, err := config.LoadCertificates(conf.TLSCert, conf.TLSKey)
	if err != nil {
		return err
	}
	for _, doubt := range conf.Doubts(given, s.clock.Now()) {
		fmt.Fprintf(s.Err, "carillon: warning: %s\n", doubt)
	}
	_, err = fmt.Fprintln(s.Out, "The settings are fine. Whether this machine has the addresses, and the ports are free, shows when it starts.")
	return err
}

// loadConfig merges flags, environment and file, and judges what comes of it.
func loadConfig(flags config.Config, s *session) (config.Config, error) {
	c, err := config.Load(config.Sources{Flags: flags, Given: s.given, Getenv: s.getenv})
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		return c, trunk.Errorf(trunk.Invalid, "%s", strings.ReplaceAll(err.Error(), "\n", "\ncarillon: "))
	}
	return c, nil
}
