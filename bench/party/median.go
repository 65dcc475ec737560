package party

import (
	"math"
	"slices"
	"time"
)

// Median returns the middle of what of says of each of all, or the mean of the two in the middle; NaN of none.
func Median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, 0, len(all))
	for _, a := range all {
		values = append(values, of(a))
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// Micros is a time in microseconds.
func Micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
