package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"
)

// sampleRate is that of G.711.
const sampleRate = 8000

// samplesSize is what a time takes in a WAV file of 16 bits, in octets.
func samplesSize(d time.Duration) int64 { return int64(2 * sampleRate * d / time.Second) }

// headerSize is what a WAV file of 16 bits has before its samples, in octets.
const headerSize = 44

// writeTone writes a WAV file of a sine at half of full scale.
func writeTone(file string, hertz float64, seconds int) error {
	samples := make([]int16, seconds*sampleRate)
	for i := range samples {
		samples[i] = int16(math.MaxInt16 / 2 * math.Sin(2*math.Pi*hertz*float64(i)/sampleRate))
	}
	var b bytes.Buffer
	size := uint32(2 * len(samples))
	b.WriteString("RIFF")
	binary.Write(&b, binary.LittleEndian, 36+size)
	b.WriteString("WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(sampleRate), uint32(2 * sampleRate), uint16(2), uint16(16)} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	binary.Write(&b, binary.LittleEndian, size)
	binary.Write(&b, binary.LittleEndian, samples)
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// readWAV returns the samples of a WAV file with 16 bits, one channel and the rate of G.711.
func readWAV(file string) ([]float64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, fmt.Errorf("%s is no WAV file", file)
	}
	for b = b[12:]; len(b) >= 8; {
		id, size := string(b[:4]), int(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		size = min(size, len(b))
		switch {
		case id == "fmt " && (binary.LittleEndian.Uint16(b[2:]) != 1 || binary.LittleEndian.Uint32(b[4:]) != sampleRate || binary.LittleEndian.Uint16(b[14:]) != 16):
			return nil, fmt.Errorf("%s: format % x", file, b[:size])
		case id == "data":
			samples := make([]float64, size/2)
			for i := range samples {
				samples[i] = float64(int16(binary.LittleEndian.Uint16(b[2*i:]))) / math.MaxInt16
			}
			return samples, nil
		}
		b = b[min(size+size&1, len(b)):]
	}
	return nil, fmt.Errorf("%s has no samples", file)
}

// share returns how much of the signal's energy lies at the frequency, 0 to 1. It looks at blocks of 100 ms, each for
// itself, so that a jump of phase between two packets costs a block and not the rest.
func share(samples []float64, hertz float64) float64 {
	const block = sampleRate / 10
	var at, all float64
	for ; len(samples) >= block; samples = samples[block:] {
		var re, im float64
		for i, x := range samples[:block] {
			sin, cos := math.Sincos(2 * math.Pi * hertz * float64(i) / sampleRate)
			re += x * cos
			im += x * sin
			all += x * x
		}
		at += (re*re + im*im) * 2 / block
	}
	if all == 0 {
		return 0
	}
	return at / all
}
