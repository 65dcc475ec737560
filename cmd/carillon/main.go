// Command carillon is a self-hosted Amazon Chime Voice Connector: the node and the tools that talk to one.
package main

import (
	"context"
	"os"

	"carillon/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.LookupEnv, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
