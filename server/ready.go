package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"carillon/trunk"
)

// Ready is what the ready file says: where a node answers and how to sign requests to it.
type Ready struct {
	API             string   `json:"api"`
	SIP             ReadySIP `json:"sip"`
	DNS             string   `json:"dns,omitempty"`
	Metrics         string   `json:"metrics,omitempty"`
	Domain          string   `json:"domain"`
	CAFile          string   `json:"ca_file"`
	AccessKeyID     string   `json:"access_key_id"`
	SecretAccessKey string   `json:"secret_access_key"`
	AccountID       string   `json:"account_id"`
	PID             int      `json:"pid"`
}

// ReadySIP has the addresses of SIP as HOST:PORT; empty where there is no listener.
type ReadySIP struct {
	UDP string `json:"udp,omitempty"`
	TCP string `json:"tcp,omitempty"`
	TLS string `json:"tls,omitempty"`
}

// Ready returns where the node answers.
func (n *Node) Ready() Ready { return n.ready }

// announce writes the ready file: whole or not at all, and readable by its owner only, for it holds a secret.
func (n *Node) announce(context.Context) error {
	n.ready.PID = os.Getpid()
	n.ready.CAFile = n.identity.caFile
	if n.config.ReadyFile == "" {
		return nil
	}
	text, err := json.Marshal(n.ready)
	if err != nil {
		return err
	}
	if err := writeFile(n.config.ReadyFile, append(text, '\n')); err != nil {
		return err
	}
	n.announced = true
	return nil
}

// ReadyFileTakenError refuses to start a node whose ready file is that of another one, which runs.
type ReadyFileTakenError struct {
	// File is the ready file, PID the process of the node that has written it.
	File string
	PID  int
}

// Error names the file, the process and what to do.
func (e *ReadyFileTakenError) Error() string {
	return fmt.Sprintf("the ready file %s belongs to a node that runs, process %d: stop that node, or give this one another --ready-file", e.File, e.PID)
}

// claimReadyFile removes the ready file of a node that is gone: a tool that waits for the file must not see the one of the
// last run. While that node runs the file is its own, and this node must not start: it would hide the first from its
// operator, and take the file with it at its end.
func (n *Node) claimReadyFile(context.Context) error {
	if n.config.ReadyFile == "" {
		return nil
	}
	text, err := os.ReadFile(n.config.ReadyFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read old ready file: %w", err)
	}
	var r Ready
	if json.Unmarshal(text, &r) == nil && r.PID > 0 && r.PID != os.Getpid() && sameProgram(r.PID) {
		return &ReadyFileTakenError{File: n.config.ReadyFile, PID: r.PID}
	}
	if err := os.Remove(n.config.ReadyFile); err != nil {
		return fmt.Errorf("remove old ready file: %w", err)
	}
	return nil
}

// sameProgram reports whether a process of that id runs and has this program's name. An id alone would not do: ids are
// given again, and the one of a node that is gone may be somebody else's.
func sameProgram(pid int) bool {
	name, state := process(pid)
	own, _ := process(os.Getpid())
	return name != "" && name == own && state != "Z" && state != "X"
}

// process returns the name and the state of a process, both empty where there is none (proc(5), /proc/PID/stat).
func process(pid int) (name, state string) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", ""
	}
	// A name may hold blanks and parentheses; what follows the last one is fields.
	first, last := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if first < 0 || last < first || last+2 >= len(text) {
		return "", ""
	}
	return string(text[first+1 : last]), string(text[last+2 : last+3])
}

// writeFile replaces a file atomically.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// credentials puts the operator's key into the ready file.
func (r *Ready) credentials(account, id string, secret trunk.Secret) {
	r.AccountID, r.AccessKeyID, r.SecretAccessKey = account, id, secret.Reveal()
}
