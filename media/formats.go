package media

import (
	"strings"

	"carillon/call"
	"carillon/sdp"
)

// format is what a payload type means on a leg.
type format struct {
	payload uint8
	codec   string
	rate    uint32 // of its clock, in Hz; 0 for unknown
	speech  bool
	// noise is true for comfort noise (RFC 3389), behind which a sender may say nothing for long.
	noise bool
}

// formatsOf reads the payload types of both sides' descriptions, the own ones first: the numbers of one need not be the
// other's (RFC 3264 section 6.1), and what neither has named does not count as speech.
func formatsOf(own, other []sdp.Format) []format {
	all := make([]format, 0, len(own)+len(other))
	for _, side := range [][]sdp.Format{own, other} {
		for _, f := range side {
			n, ok := payloadType(f.Name)
			name := codecName(f)
			if _, known := find(all, n); !ok || known || name == "" {
				continue
			}
			f.Encoding = name
			noise := len(name) > 2 && strings.EqualFold(name[:3], "CN/")
			all = append(all, format{payload: n, codec: name, rate: clockRate(name), speech: f.Speech() && !noise, noise: noise})
		}
	}
	return all
}

func find(all []format, payload uint8) (format, bool) {
	for _, f := range all {
		if f.payload == payload {
			return f, true
		}
	}
	return format{}, false
}

// comfortNoise is the payload type of comfort noise at 8000 Hz (RFC 3551 section 6), which gateways send also where it was not
// agreed.
const comfortNoise = 13

// meaning returns what a payload type means; of one that nobody named, that its clock is the codec's.
func (p *path) meaning(payload uint8) format {
	f, ok := find(p.formats, payload)
	if !ok {
		f.noise = payload == comfortNoise
	}
	if f.rate == 0 {
		f.rate = p.clockRate
	}
	return f
}

// learn adds formats to those that were agreed on a leg before. One whose number means something else by now is replaced.
func learn(all []call.MediaFormat, formats []format) []call.MediaFormat {
	if all == nil {
		all = make([]call.MediaFormat, 0, len(formats))
	}
	for _, f := range formats {
		known := false
		for i := range all {
			if all[i].PayloadType == f.payload {
				all[i].Codec, known = f.codec, true
			}
		}
		if !known {
			all = append(all, call.MediaFormat{PayloadType: f.payload, Codec: f.codec})
		}
	}
	return all
}
