package api

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"carillon/iam"
	"carillon/sigv4"
)

// metrics are the API's counters:
//
//	carillon_api_requests_total{operation,exception}  requests answered; exception "none" for success, operation
//	                                                  "unknown" where no row fits
//	carillon_api_request_seconds{operation}           time from the request's header to its answer
//	carillon_api_overload_total                       requests beyond MaxConcurrent, MaxLargeBodies or
//	                                                  MaxAuditReads
//	carillon_api_bodies_too_large_total               requests with a body beyond MaxBody
//	carillon_api_short_pages_total                    pages of numbers that ended at MaxNumberScan, and of the
//	                                                  audit log that ended at audit.MaxPageBytes or
//	                                                  store.MaxAuditScan
//	carillon_api_retries_answered_total               creates sent again that were answered with the first result
//	carillon_api_rate_buckets_forgotten_total         request rates that were forgotten for want of room
//	carillon_api_policies_evicted_total               parsed policies that were dropped for want of room
//	carillon_api_signature_faults_total{fault}        requests whose signature was refused
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	overload prometheus.Counter
	tooLarge prometheus.Counter
	retries  prometheus.Counter
	// forgottenRates counts buckets of rates.
	forgottenRates prometheus.Counter
	// shortPages counts pages of numbers and of the audit log that a bound of their own ended.
	shortPages prometheus.Counter
}

func newMetrics(r prometheus.Registerer, v *sigv4.Verifier, policies *iam.Cache) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_api_requests_total", Help: "Requests answered, by operation and exception.",
		}, []string{"operation", "exception"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "carillon_api_request_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 20},
		}, []string{"operation"}),
		overload: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_api_overload_total", Help: "Requests refused because too many were being worked on.",
		}),
		tooLarge: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_api_bodies_too_large_total", Help: "Requests refused because of the size of their body.",
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_api_retries_answered_total", Help: "Creates sent again that got the first result.",
		}),
		forgottenRates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_api_rate_buckets_forgotten_total", Help: "Request rates of an account and operation that were forgotten for want of room.",
		}),
		shortPages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_api_short_pages_total", Help: "Pages of phone numbers, or of the audit log, cut short because few passed the filter or the entries are long.",
		}),
	}
	if r == nil {
		return m, nil
	}
	all := []prometheus.Collector{m.requests, m.seconds, m.overload, m.tooLarge, m.retries, m.forgottenRates, m.shortPages}
	all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "carillon_api_policies_evicted_total", Help: "Parsed policies that were dropped for want of room, to be parsed again.",
	}, func() float64 { return float64(policies.Evicted()) }))
	for _, f := range sigv4.Faults() {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "carillon_api_signature_faults_total", Help: "Requests whose signature was refused.",
			ConstLabels: prometheus.Labels{"fault": f.String()},
		}, func() float64 { return float64(v.Refused(f)) }))
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
