package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"carillon/api/wire"
)

// connectors is how many there are to get.
const connectors = 1000

// BenchmarkGets measures GetVoiceConnector from the snapshot over keep-alive connections, one request at a time on each,
// with requests that were signed before. Beside it, in turns, stands the same server with a handler that only writes an
// answer of that size: what net/http and the clients cost.
func BenchmarkGets(b *testing.B) {
	const clients, perClient = 64, 400
	s := newStand(b)
	var length int
	requests := make([][]byte, connectors)
	address := s.serve(b, s.handler)
	for i := range requests {
		id := s.create(b)
		r := s.sign(b, s.key, http.MethodGet, "http://"+address+"/voice-connectors/"+id, "")
		requests[i] = wireForm(nil, r, 0)
		status, answer, err := dial(b, address).send(requests[i])
		if err == nil {
			err = want(http.StatusOK, status, bytes.NewReader(answer))
		}
		if err != nil || !bytes.Contains(answer, []byte(id)) {
			b.Fatalf("%v: %s", err, answer)
		}
		length = len(answer)
	}
	answer := bytes.Repeat([]byte("x"), length)
	bare := s.serve(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(length))
		_, _ = w.Write(answer)
	}))
	load := func(clients []*client) cost {
		var all sync.WaitGroup
		used, heap, begin := processorTime(b), allocated(), time.Now()
		for n, c := range clients {
			all.Go(func() {
				for i := range perClient {
					status, _, err := c.send(requests[(n*perClient+i)%len(requests)])
					if err != nil || status != http.StatusOK {
						b.Errorf("status %d, %v", status, err)
						return
					}
				}
			})
		}
		all.Wait()
		return cost{time.Since(begin), processorTime(b) - used, allocated() - heap}
	}
	ours, theirs := dialAll(b, address, clients), dialAll(b, bare, clients)
	for b.Loop() {
		var gets, floor figure
		for range rounds {
			gets.add(load(ours), clients*perClient)
			floor.add(load(theirs), clients*perClient)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(gets.rate), "gets/s")
		b.ReportMetric(median(floor.rate), "bare-http/s")
		b.ReportMetric(ratio(gets, floor), "ratio")
		b.ReportMetric(median(gets.cpu), "cpu-us/get")
		b.ReportMetric(median(floor.cpu), "cpu-us/bare")
		b.ReportMetric(median(gets.heap), "heap-B/get")
	}
}

func dialAll(b *testing.B, address string, n int) []*client {
	all := make([]*client, n)
	for i := range all {
		all[i] = dial(b, address)
	}
	return all
}

// create makes a connector through the handler and returns its id.
func (s *stand) create(b *testing.B) string {
	b.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, s.request(b, s.key))
	var answer wire.CreateVoiceConnectorResponse
	if err := want(http.StatusCreated, w.Code, w.Body); err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		b.Fatal(err)
	}
	return *answer.VoiceConnector.VoiceConnectorID
}
