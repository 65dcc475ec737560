package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// rtpenginePort is where the peer is driven.
const rtpenginePort = 12224

// rtpengine is Debian's, relaying in user space with one thread for each of its processors.
type rtpengine struct {
	place   place
	dir     string
	cmd     *exec.Cmd
	control *ng
	run     int
}

func hasRTPEngine() bool {
	_, err := exec.LookPath("rtpengine")
	return err == nil
}

func (r *rtpengine) name() string { return "rtpengine" }

func (r *rtpengine) start(variant) (err error) {
	if r.dir, err = os.MkdirTemp("", "rtpengine-media-"); err != nil {
		return err
	}
	at := fmt.Sprintf("%s:%d", r.place.rtpengine, rtpenginePort)
	if r.cmd, err = r.place.launch(filepath.Join(r.dir, "log"), "rtpengine", "--config-file=none", "--table=-1", "--interface="+r.place.rtpengine,
		"--listen-ng="+at, "--port-min=20000", "--port-max=59999", "--foreground", "--log-stderr", "--log-level=3", "--num-threads="+strconv.Itoa(r.place.processors()),
		"--timeout=3600", "--silent-timeout=3600", "--delete-delay=0"); err != nil {
		return err
	}
	if r.control, err = newNG(at); err != nil {
		return err
	}
	if _, err = r.control.ask(map[string]any{"command": "ping"}); err != nil {
		text, _ := os.ReadFile(filepath.Join(r.dir, "log"))
		return fmt.Errorf("%w; its log: %s", err, text)
	}
	return nil
}

func (r *rtpengine) processes() []int { return []int{r.cmd.Process.Pid} }

func (r *rtpengine) stop() {
	end(r.cmd)
	if r.control != nil {
		r.control.conn.Close()
	}
	_ = os.RemoveAll(r.dir)
	*r = rtpengine{place: r.place, run: r.run + 1}
}

func (r *rtpengine) id(n int) string { return fmt.Sprintf("%s-%d-%d", r.control.run, r.run, n) }

func (r *rtpengine) call(l *load, n int) (fars [2]far, err error) {
	at, key := l.end(n, 0)
	far, tag, err := r.exchange(map[string]any{"command": "offer", "call-id": r.id(n)}, key.describe(at, 1), l.keys[1].suite)
	if err != nil {
		return fars, fmt.Errorf("offer: %w", err)
	}
	fars[1] = far
	at, answered := l.end(n, 1)
	fars[0], _, err = r.exchange(map[string]any{"command": "answer", "call-id": r.id(n), "to-tag": "b"}, answered.describe(at, tag), key.suite)
	if err != nil {
		return fars, fmt.Errorf("answer: %w", err)
	}
	return fars, nil
}

// exchange has rtpengine rewrite a description for an end that speaks a suite, and reads what came of it.
func (r *rtpengine) exchange(command map[string]any, description, suite string) (far, int, error) {
	command["from-tag"], command["ICE"], command["sdp"] = "a", "remove", description
	command["replace"] = []string{"origin", "session-connection"}
	if command["command"] == "offer" {
		command["transport-protocol"] = "RTP/AVP"
		if suite != "" {
			command["transport-protocol"], command["DTLS"] = "RTP/SAVP", "off"
		}
	}
	answer, err := r.control.ask(command)
	if err != nil {
		return far{}, 0, err
	}
	text, _ := answer["sdp"].(string)
	return read(text, suite)
}

func (r *rtpengine) hangUp(n int) error {
	_, err := r.control.ask(map[string]any{"command": "delete", "call-id": r.id(n), "from-tag": "a"})
	return err
}
