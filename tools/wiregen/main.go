// Command wiregen writes the Go shapes, constraint tables and the operations table of package api/wire from the two
// service models in tools/models. It is run by "go generate ./api/wire".
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	models := flag.String("models", "tools/models", "folder with the service models")
	out := flag.String("out", "api/wire", "folder the Go files are written to")
	flag.Parse()
	if err := run(*models, *out); err != nil {
		fmt.Fprintln(os.Stderr, "wiregen:", err)
		os.Exit(1)
	}
}

func run(models, out string) error {
	files, err := generate(models)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(out, name), text, 0o644); err != nil {
			return fmt.Errorf("write generated file: %w", err)
		}
	}
	return nil
}
