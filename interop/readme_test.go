package interop

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the commands printed into README.md")

// block is a console block of a page; lines that begin with "$ " are commands, the others what they print.
var block = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// step is one command of a page and what the page says it prints.
type step struct{ command, prints string }

// terminal runs the commands of a page in one shell.
type terminal struct {
	t       *testing.T
	dir     string
	in      io.Writer
	out     *bufio.Reader
	said    transcript // what the page shows
	did     transcript // what really came
	api     string     // the address in place of the page's 127.0.0.1:8080
	moved   bool       // whether listeners take free ports
	pending int
}

// TestREADME runs every console block of README.md, in order and in one shell, in an empty folder beside the built
// program, and compares what is printed with what the page says. Every line has to be there. What may differ:
//
//   - ids of connectors, accounts, access keys and calls, but the same one on the page is the same one here, also in
//     later commands;
//   - times, durations, counts of packets, the estimated MOS, and widths of columns;
//   - the page's folder, which is /home/you/carillon, temporary folders, and ports on 127.0.0.1: nodes get free ones,
//     and commands that name port 8080 get the one the node took.
//
// A line "..." stands for any lines. A node (carillon serve) runs on, as in a terminal of its own, and its log is not
// compared; nor is the progress of the demonstration, which a terminal overwrites. make runs in the repository.
//
// With -update the page gets what was printed where it differs, with the page's ids; the ports are then the page's.
func TestREADME(t *testing.T) {
	if _, err := os.Stat(awsCLI); err != nil {
		t.Fatalf("the README's sessions need Debian's AWS CLI: run make packages (%v)", err)
	}
	const name = "../README.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := startTerminal(t)
	count := 0
	page := block.ReplaceAllFunc(text, func(b []byte) []byte {
		var out strings.Builder
		out.WriteString("```console\n")
		for _, one := range steps(t, string(block.FindSubmatch(b)[1])) {
			count++
			got := s.run(one.command)
			if s.compare(one, got) {
				got = one.prints
			} else {
				got = s.said.insteadOf(s.did, got)
			}
			out.WriteString("$ " + one.command + "\n" + got)
		}
		out.WriteString("```")
		return []byte(out.String())
	})
	if count < 8 {
		t.Errorf("found %d commands: has the page changed its form?", count)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(name, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// steps reads the commands of a block. A backslash at the end of a command's line continues it.
func steps(t *testing.T, text string) []step {
	t.Helper()
	var all []step
	inCommand := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case begins:
			all = append(all, step{command: command})
		case len(all) == 0:
			t.Fatalf("%q comes before any command", line)
		case inCommand:
			all[len(all)-1].command += "\n" + line
		default:
			all[len(all)-1].prints += line + "\n"
		}
		inCommand = (begins || inCommand) && strings.HasSuffix(line, `\`)
	}
	return all
}

// startTerminal starts the shell that runs the page's commands.
func startTerminal(t *testing.T) *terminal {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	binary := or(os.Getenv("CARILLON_BINARY"), filepath.Join(root, "bin", "carillon"))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "bin", "carillon")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, v := range os.Environ() {
		if !regexp.MustCompile(`^(AWS_|CARILLON_|MAKE|MFLAGS)`).MatchString(v) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	// Debian's AWS CLI before any other, without settings of whoever runs the test.
	cmd.Env = append(cmd.Env, "PATH=/usr/bin:"+os.Getenv("PATH"), "PWD="+dir, "TMPDIR=/tmp", "AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A command that never ends must not hold the run up.
	late := time.AfterFunc(3*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	t.Cleanup(func() {
		late.Stop()
		_, _ = io.WriteString(in, "kill $(jobs -p); wait; exit\n")
		_ = in.Close()
		_ = cmd.Wait()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	s := &terminal{t: t, dir: dir, in: in, out: bufio.NewReader(out), api: "127.0.0.1:8080", moved: !*update}
	fmt.Fprintf(in, "make() { command make --no-print-directory -C '%s' \"$@\"; }\n", root)
	return s
}

// readyFile is the argument that names a node's ready file.
var readyFile = regexp.MustCompile(`--ready-file[ =](\S+)`)

// run runs one command and returns what it printed.
func (s *terminal) run(command string) string {
	s.t.Helper()
	here := s.did.insteadOf(s.said, command)
	here = strings.ReplaceAll(here, "127.0.0.1:8080", s.api)
	if strings.Contains(here, "carillon serve ") {
		return s.clean(s.serve(here))
	}
	s.pending++
	mark := fmt.Sprintf("--- end of command %d ---", s.pending)
	fmt.Fprintf(s.in, "{ %s\n} </dev/null\necho '%s'\n", here, mark)
	var b strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if before, ended := strings.CutSuffix(line, mark+"\n"); ended {
			return s.clean(b.String() + before)
		}
		b.WriteString(line)
		if err != nil {
			s.t.Fatalf("$ %s\n%s\nthe shell ended: %v", here, b.String(), err)
		}
	}
}

// serve starts a node in the background and returns what it printed until it was ready.
func (s *terminal) serve(command string) string {
	s.t.Helper()
	m := readyFile.FindStringSubmatch(command)
	if m == nil {
		s.t.Fatalf("$ %s\nnothing tells when the node is ready: give it --ready-file", command)
	}
	if s.moved {
		for _, listener := range []string{"API", "SIP_UDP", "SIP_TCP", "SIP_TLS", "DNS", "METRICS"} {
			command = "CARILLON_" + listener + "=127.0.0.1:0 " + command
		}
	}
	fmt.Fprintf(s.in, "%s </dev/null >node.out 2>node.log &\n", command)
	var r ready
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(s.dir, m[1]))
		if err == nil && json.Unmarshal(text, &r) == nil {
			break
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "node.log"))
			s.t.Fatalf("$ %s\nthe node was not ready in %v (%v):\n%s", command, startTimeout, err, log)
		}
	}
	s.api = strings.TrimPrefix(r.API, "http://")
	// The welcome is printed after the ready file and ends with an empty line.
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(s.dir, "node.out"))
		if strings.HasSuffix(string(text), "\n\n") && strings.Count(string(text), "\n\n") > 2 {
			return strings.TrimSuffix(string(text), "\n")
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("$ %s\nthe node did not finish its welcome (%v):\n%s", command, err, text)
		}
	}
}

// progress is a line of the demonstration that a terminal overwrites.
var progress = regexp.MustCompile(`(?m)^\[\d+/\d+\] .*…\n`)

// clean takes out of an output what the page cannot have.
func (s *terminal) clean(out string) string {
	return strings.ReplaceAll(progress.ReplaceAllString(out, ""), s.dir, "/home/you/carillon")
}

// compare holds what came against what the page shows, line by line, and reports whether they agree.
func (s *terminal) compare(page step, got string) bool {
	s.t.Helper()
	want, have := s.said.lines(page.prints), s.did.lines(got)
	at := firstDifference(want, have)
	if at >= 0 && !*update {
		line := func(all []string) string {
			if at < len(all) {
				return all[at]
			}
			return "(the end)"
		}
		s.t.Errorf("$ %s\nline %d is\n\t%s\nand README.md says\n\t%s\nAll of it:\n%s\nIf the page is wrong: go test -run TestREADME -update .",
			page.command, at+1, line(have), line(want), got)
	}
	return at < 0
}

// firstDifference returns the index of the first line that differs, -1 for none. "..." in want is any lines.
func firstDifference(want, got []string) int {
	for i, w := range want {
		if w == "..." {
			rest := want[i+1:]
			if len(got)-len(rest) >= i && firstDifference(rest, got[len(got)-len(rest):]) < 0 {
				return -1
			}
			return i
		}
		if i >= len(got) || got[i] != w {
			return i
		}
	}
	if len(got) > len(want) {
		return len(want)
	}
	return -1
}
