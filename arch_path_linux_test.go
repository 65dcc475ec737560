package carillon_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// packetPath is where packets of a call come. What they pass is all that is reached from these functions in the module; what is
// called through an interface, as what is attached to a call, is not followed.
var packetPath = []string{
	"(*carillon/media.loop).read", "(*carillon/media.leg).receive", "(*carillon/media.worker).stray", "(*carillon/media.worker).tick",
	"carillon/media.sendTo", "carillon/media.recvFrom", "(*carillon/media.socketTable).get",
	// Past the kernel. taken and parsed are called as values.
	"(*carillon/media.loop).readAll", "(*carillon/media.fast).receive", "(*carillon/media.fast).taken", "(*carillon/media.fast).send",
	"(*carillon/media.fast).flush", "(*carillon/xdp.Link).parsed",
}

// notOnPath are packages that wait, format, log or carry values along for whoever may ask.
var notOnPath = []string{"context", "fmt", "log", "log/slog", "os", "sync", "carillon/clock"}

// allowedOnPath are exceptions, each with its reason. One that nobody needs is refused.
var allowedOnPath = map[string]string{
	"(*carillon/xdp.hops).find waits for a channel": "it does not: where the queue of those who ask for a destination that is not known is full, its select goes on at once",
	"carillon/srtp.newPRF calls fmt.Errorf":         "RTCP's key is derived with the first report, and no key of a known suite is of a length that AES refuses",
}

// signalling are the types and fields that signalling writes under its own lock; what it has decided lies in the path.
var signalling = map[string][]string{
	"carillon/media.Config": nil, // nil for every field
	"carillon/media.Plane":  nil,
	"carillon/media.leg":    {"policy", "confirmed", "sdpID", "version", "told", "sections", "now", "since", "formats", "former", "elsewhere", "lastRemote"},
	"carillon/media.Session": {
		"plane", "id", "onSilence", "attachment", "mu", "closed", "past", "samples", "pending", "current", "settled", "timer", "silent", "guard",
	},
	"carillon/media.loop":        {"mu", "commands", "closed", "clock", "log"},
	"carillon/media.socketTable": {"mu", "stopped"},
	"carillon/xdp.Link":          {"mu", "closed", "tables"},
	"carillon/xdp.hops":          {"kernel", "clock"},
	"carillon/xdp.place":         {"idle"},
}

// walk follows calls from the packet path's functions.
type walk struct {
	fset          *token.FileSet
	compiled      types.Importer
	context       build.Context // what files are for
	sizes         types.Sizes
	packages      map[string]*types.Package
	bodies        map[string]*ast.FuncDecl
	infos         map[string]*types.Info // by function
	seen, allowed map[string]bool
	faults        []string
}

// Import is part of types.Importer: the module's packages from their files, all others as the compiler left them.
func (w *walk) Import(path string) (*types.Package, error) {
	if p := w.packages[path]; p != nil {
		return p, nil
	}
	dir, ours := strings.CutPrefix(path, modulePath+"/")
	if !ours {
		return w.compiled.Import(path)
	}
	names, err := w.context.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names.GoFiles {
		f, err := parser.ParseFile(w.fset, filepath.Join(dir, name), nil, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return w.add(path, files)
}

// add adds a package's functions.
func (w *walk) add(path string, files []*ast.File) (*types.Package, error) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	p, err := (&types.Config{Importer: w, Sizes: w.sizes}).Check(path, w.fset, files, info)
	if err != nil {
		return nil, err
	}
	w.packages[path] = p
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				name := info.Defs[fn.Name].(*types.Func).FullName()
				w.bodies[name], w.infos[name] = fn, info
			}
		}
	}
	return p, nil
}

// follow judges a function and all that it calls.
func (w *walk) follow(name string) {
	fn := w.bodies[name]
	if w.seen[name] || fn == nil {
		return
	}
	w.seen[name] = true
	info := w.infos[name]
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			w.fault(n, name, "starts a goroutine")
		case *ast.SelectStmt, *ast.SendStmt:
			w.fault(n, name, "waits for a channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				w.fault(n, name, "waits for a channel")
			}
		case *ast.SelectorExpr:
			if s := info.Selections[n]; s != nil && s.Kind() == types.FieldVal {
				w.field(n, name, s)
			}
		case *ast.Ident:
			w.use(n, name, info.Uses[n])
		}
		return true
	})
}

func (w *walk) use(id *ast.Ident, in string, o types.Object) {
	f, ok := o.(*types.Func)
	if !ok || f.Pkg() == nil {
		return
	}
	if slices.Contains(notOnPath, f.Pkg().Path()) {
		w.fault(id, in, "calls "+f.FullName())
	}
	w.follow(f.Origin().FullName())
}

func (w *walk) field(at ast.Node, in string, s *types.Selection) {
	t := s.Recv()
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || named.Obj().Pkg() == nil {
		return
	}
	owner := named.Obj().Pkg().Path() + "." + named.Obj().Name()
	if fields, listed := signalling[owner]; listed && (fields == nil || slices.Contains(fields, s.Obj().Name())) {
		w.fault(at, in, "reads "+owner+"."+s.Obj().Name())
	}
}

func (w *walk) fault(at ast.Node, in, what string) {
	if allowedOnPath[in+" "+what] != "" {
		w.allowed[in+" "+what] = true
		return
	}
	p := w.fset.Position(at.Pos())
	w.faults = append(w.faults, fmt.Sprintf("%s:%d: %s %s", p.Filename, p.Line, in, what))
}

// newWalk begins with nothing. What is to be imported is of the packages named or what they import.
func newWalk(t *testing.T, packages ...string) *walk {
	t.Helper()
	// Asked for all at once: importer.Default asks the go command again for each package, which takes longer than all the rest.
	list, err := exec.Command("go", append([]string{"list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}} {{.Export}}{{end}}"}, packages...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(list)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	w := &walk{fset: token.NewFileSet(), packages: map[string]*types.Package{}, context: build.Default}
	w.compiled = importer.ForCompiler(w.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	w.bodies, w.infos, w.seen, w.allowed = map[string]*ast.FuncDecl{}, map[string]*types.Info{}, map[string]bool{}, map[string]bool{}
	return w
}

// What every packet passes takes no lock, waits for nothing, carries no context, logs nothing and asks for no configuration:
// signalling has decided.
func TestPacketPath(t *testing.T) {
	w := newWalk(t, "./media")
	if _, err := w.Import("carillon/media"); err != nil {
		t.Fatal(err)
	}
	for _, root := range packetPath {
		if w.bodies[root] == nil {
			t.Errorf("%s is where packets come and is not there", root)
		}
		w.follow(root)
	}
	report(t, w.faults)
	for what := range allowedOnPath {
		if !w.allowed[what] {
			t.Errorf("%s: nobody does any more, or it is not on the path", what)
		}
	}
	// What it must have seen: each way a packet can go.
	for _, name := range []string{
		"(*carillon/media.leg).turn", "(*carillon/media.leg).reportTo", "(*carillon/media.leg).receiveFax", "(*carillon/media.leg).check",
		"(*carillon/media.conversion).apply", "(*carillon/media.leg).unprotectAnyhow", "(*carillon/media.leg).forwardRTCP",
		"(*carillon/xdp.queue).receive", "(*carillon/xdp.queue).put", "(*carillon/xdp.queue).flush", "(*carillon/xdp.hops).find", "carillon/xdp.Parse",
		"(*carillon/rtp.Receiver).Add", "(*carillon/srtp.Receiver).Unprotect", "(*carillon/srtp.Sender).Protect", "carillon/stun.Parse",
	} {
		if !w.seen[name] {
			t.Errorf("%s was not reached", name)
		}
	}
}

func TestPacketPathSeesPlantedFaults(t *testing.T) {
	const src = `package media
import (
	"context"
	"fmt"
	"sync"
)
type Config struct{ Rate int }
type Plane struct{ cfg Config }
type lock struct{ sync.Mutex }
type leg struct { mu lock; now, fine int; plane *Plane; c chan int }
type tap interface{ packet() }
func (l *leg) receive(t tap) {
	l.step(context.Background())
	f := l.elsewhere
	f()
	t.packet()
	l.fine++
}
func (l *leg) step(ctx context.Context) {
	l.mu.Lock()
	if l.plane.cfg.Rate > 0 {
		l.c <- l.now
	}
	go l.receive(nil)
	_ = ctx.Err()
}
func (l *leg) elsewhere() {
	<-l.c
	select {}
	each(func() { fmt.Println() })
	of[int](nil)
}
func each(f func()) { f() }
func of[T any](c chan T) { <-c }
func (l *leg) signals() { l.mu.Lock(); fmt.Println() }
func (l *leg) packet() { l.mu.Lock() }
`
	w := newWalk(t, "./media")
	f, err := parser.ParseFile(w.fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.add("carillon/media", []*ast.File{f}); err != nil {
		t.Fatal(err)
	}
	w.follow("(*carillon/media.leg).receive")
	slices.Sort(w.faults)
	want := []string{
		"p.go:13: (*carillon/media.leg).receive calls context.Background",
		"p.go:20: (*carillon/media.leg).step calls (*sync.Mutex).Lock",
		"p.go:21: (*carillon/media.leg).step reads carillon/media.Config.Rate",
		"p.go:21: (*carillon/media.leg).step reads carillon/media.Plane.cfg",
		"p.go:22: (*carillon/media.leg).step reads carillon/media.leg.now",
		"p.go:22: (*carillon/media.leg).step waits for a channel",
		"p.go:24: (*carillon/media.leg).step starts a goroutine",
		"p.go:25: (*carillon/media.leg).step calls (context.Context).Err",
		"p.go:28: (*carillon/media.leg).elsewhere waits for a channel",
		"p.go:29: (*carillon/media.leg).elsewhere waits for a channel",
		"p.go:30: (*carillon/media.leg).elsewhere calls fmt.Println",
		"p.go:34: carillon/media.of waits for a channel",
	}
	wantFaults(t, w.faults, want)
}
