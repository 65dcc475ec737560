package server

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"

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

// removeStale removes the ready file of a node that is gone. That of one that runs stays until this node is up: whoever
// starts a second one by mistake would else hide the first.
func (n *Node) removeStale() error {
	if n.config.ReadyFile == "" {
		return nil
	}
	text, err := os.ReadFile(n.config.ReadyFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var r Ready
	if json.Unmarshal(text, &r) == nil && r.PID > 0 && r.PID != os.Getpid() && runs(r.PID) {
		return nil
	}
	return os.Remove(n.config.ReadyFile)
}

// runs reports whether there is a process of that id, also one that is somebody else's.
func runs(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
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
