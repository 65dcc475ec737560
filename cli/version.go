package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (v *versionCommand) run(_ context.Context, s *session) error {
	if v.JSON {
		return printJSON(s.Out, map[string]string{"version": version(), "go": runtime.Version()})
	}
	_, err := fmt.Fprintf(s.Out, "carillon %s, %s\n", version(), runtime.Version())
	return err
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "devel"
}
