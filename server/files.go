package server

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"syscall"

	"carillon/cdr"
	"carillon/dns"
	"carillon/phone"
	"carillon/sip/resolve"
	"carillon/sip/transport"
)

// otherFiles is how many a node has open beside those that a bound of their own counts: listeners, relay loops, the files
// of the store, records on their way to disk.
const otherFiles = 256

// files is how many files the parts of a node may have open whose number others decide. Without a share for each, many calls
// would take the last one from the API, the metrics and the call records.
type files struct {
	accepted, dialed int // SIP connections
	api              int // connections to the API
	media            int // media ports
}

func (f files) connections() int { return f.accepted + f.dialed + f.api }

// share fits want into so many files. A quarter of them is for connections, and what media does not want of the rest: a
// connection may carry many calls.
func share(most int, want files) files {
	connections := want.connections()
	if connections+want.media <= most {
		return want
	}
	have := max(0, min(connections, max(most/4, most-want.media)))
	part := func(n int) int { return max(1, int(int64(n)*int64(have)/int64(connections))) }
	return files{
		accepted: part(want.accepted), dialed: part(want.dialed), api: part(want.api),
		media: max(1, min(want.media, most-have)),
	}
}

// shareFiles divides the files that the process may have open, and says so where that is less than is configured.
func (n *Node) shareFiles(context.Context) error {
	limit := n.openFiles
	if limit == 0 {
		var r syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			return fmt.Errorf("ask for the limit of open files: %w", err)
		}
		limit = int(min(uint64(r.Cur), math.MaxInt32))
	}
	reserved := otherFiles + resolve.DefaultMaxFlights + dns.DefaultMaxConns + maxMetricsConnections + n.recordsConfig().MaxFiles()
	if n.config.Dev {
		reserved += phone.DefaultMaxCalls * phone.FilesPerCall // of the lab carrier
	}
	want := files{
		accepted: n.config.MaxConnections, dialed: transport.DefaultDialed, api: n.config.MaxAPIConnections,
		media: n.config.MediaPorts.Count() * len(n.config.MediaIP),
	}
	n.files = share(limit-min(reserved, limit/2), want)
	if n.files != want {
		n.log.Warn("the process may have fewer files open than its configuration allows for; raise the limit (ulimit -n, LimitNOFILE of systemd)",
			"limit", limit, "needed", reserved+want.connections()+want.media, "media_ports", n.files.media,
			"sip_connections", n.files.accepted, "api_connections", n.files.api)
	}
	return nil
}

// recordsConfig is what the log of call records is opened with.
func (n *Node) recordsConfig() cdr.Config {
	return cdr.Config{
		Dir: filepath.Join(n.dir, "records"), Clock: n.clock, Logger: n.log.With("plane", "records"),
		MaxBytes: int64(n.config.MaxRecordBytes),
	}
}
