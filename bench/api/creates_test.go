package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/iam"
)

const (
	writers   = 64
	perWriter = 50
	rounds    = 15
	perRound  = writers * perWriter
)

// createBody is the smallest create that means anything.
const createBody = `{"Name":"bench","RequireEncryption":true}`

// figure is what one way of writing was measured at, in every round.
type figure struct {
	rate []float64 // writes a second, of all writers together
	cpu  []float64 // processor time of the whole process for one write, in microseconds
	heap []float64 // memory allocated by the whole process for one write, in bytes
}

// cost is what one round took of the process.
type cost struct {
	elapsed, cpu time.Duration
	heap         uint64
}

// add adds what one round of n requests cost.
func (f *figure) add(c cost, n float64) {
	f.rate = append(f.rate, n/c.elapsed.Seconds())
	f.cpu = append(f.cpu, float64(c.cpu.Microseconds())/n)
	f.heap = append(f.heap, float64(c.heap)/n)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// ratio is the median of the rounds' ratios: what else the machine does disturbs both sides of one round alike.
func ratio(of, to figure) float64 {
	all := make([]float64, len(of.rate))
	for i := range all {
		all[i] = of.rate[i] / to.rate[i]
	}
	return median(all)
}

// BenchmarkCreates measures in turns, on one store, bare puts of what a create stores, CreateVoiceConnector at the
// handler, and the same through HTTP over loopback. Both creates verify a signature; the clients of the handler signed
// before, those of HTTP sign as they go, on the same cores. Every create is in the node's snapshot before its answer.
func BenchmarkCreates(b *testing.B) {
	w := newWays(b)
	for b.Loop() {
		var bare, atHandler, overHTTP figure
		for range rounds {
			bare.add(round(b, nil, w.put), perRound)
			atHandler.add(round(b, w.stand.signed(b, w.stand.key), w.handler), perRound)
			overHTTP.add(round(b, nil, w.http), perRound)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(bare.rate), "puts/s")
		b.ReportMetric(median(atHandler.rate), "handler/s")
		b.ReportMetric(median(overHTTP.rate), "http/s")
		b.ReportMetric(ratio(atHandler, bare), "handler-ratio")
		b.ReportMetric(ratio(overHTTP, bare), "http-ratio")
		b.ReportMetric(median(bare.cpu), "cpu-us/put")
		b.ReportMetric(median(atHandler.cpu), "cpu-us/handler")
		b.ReportMetric(median(overHTTP.cpu), "cpu-us/http")
		b.ReportMetric(float64(len(w.value)), "B/value")
	}
}

// BenchmarkOneWay is each of them alone, for profiles.
func BenchmarkOneWay(b *testing.B) {
	for _, way := range []string{"put", "handler", "quota", "http"} {
		b.Run(way, func(b *testing.B) {
			w := newWays(b)
			var f figure
			for b.Loop() {
				for range rounds {
					switch way {
					case "put":
						f.add(round(b, nil, w.put), perRound)
					case "handler":
						f.add(round(b, w.stand.signed(b, w.stand.key), w.handler), perRound)
					case "quota":
						f.add(round(b, w.stand.signed(b, w.stand.capped), w.handler), perRound)
					case "http":
						f.add(round(b, nil, w.http), perRound)
					}
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(f.rate), "writes/s")
			b.ReportMetric(median(f.cpu), "cpu-us/write")
			b.ReportMetric(median(f.heap), "heap-B/write")
		})
	}
}

// ways are the three ways of writing.
type ways struct {
	stand   *stand
	clients []*client
	senders [writers]*sender
	answers [writers]answer
	value   string
	serial  atomic.Int64
}

func newWays(b *testing.B) *ways {
	b.Helper()
	w := &ways{stand: newStand(b)}
	address := w.stand.serve(b, w.stand.handler)
	w.clients = dialAll(b, address, writers)
	for i := range w.senders {
		w.senders[i] = newSender(b, w.stand, address)
	}
	for i := range w.answers {
		w.answers[i].header = http.Header{}
	}
	w.value = w.stand.stored(b)
	return w
}

func (w *ways) put(int, *http.Request) error {
	_, err := w.stand.store.Client().Put(context.Background(), fmt.Sprintf("bare/%022d", w.serial.Add(1)), w.value)
	return err
}

func (w *ways) handler(writer int, r *http.Request) error {
	answer := &w.answers[writer]
	clear(answer.header)
	answer.body.Reset()
	w.stand.handler.ServeHTTP(answer, r)
	return want(http.StatusCreated, answer.status, &answer.body)
}

// answer is an http.ResponseWriter that costs next to nothing, unlike httptest's.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (w *ways) http(writer int, _ *http.Request) error {
	status, body, err := w.clients[writer].send(w.senders[writer].sign(time.Now()))
	if err != nil {
		return err
	}
	return want(http.StatusCreated, status, bytes.NewReader(body))
}

// signed returns requests for one round, signed now.
func (s *stand) signed(b *testing.B, key *iam.AccessKey) []*http.Request {
	all := make([]*http.Request, writers*perWriter)
	for i := range all {
		all[i] = s.request(b, key)
	}
	return all
}

// request is a signed create as a server gives it to a handler.
func (s *stand) request(b *testing.B, key *iam.AccessKey) *http.Request {
	r := s.sign(b, key, http.MethodPost, "http://127.0.0.1/voice-connectors", createBody)
	r.RequestURI = "/voice-connectors"
	return r
}

// round lets every writer write its share and returns what it cost.
func round(b *testing.B, requests []*http.Request, write func(writer int, r *http.Request) error) cost {
	b.Helper()
	var all sync.WaitGroup
	used, heap, begin := processorTime(b), allocated(), time.Now()
	for writer := range writers {
		all.Go(func() {
			for i := range perWriter {
				var r *http.Request
				if requests != nil {
					r = requests[writer*perWriter+i]
				}
				if err := write(writer, r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return cost{time.Since(begin), processorTime(b) - used, allocated() - heap}
}

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func want(status, got int, body io.Reader) error {
	if got == status {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(body, 500))
	return fmt.Errorf("status %d: %s", got, text)
}
