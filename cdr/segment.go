package cdr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A segment begins with a head: magic and the serial of the first record it may hold. Records follow, each in a
// frame, all numbers little-endian:
//
//	length of the payload   4 octets
//	CRC32C                  4 octets, over the length and everything after the CRC
//	serial                  8 octets, larger than every earlier one
//	call id                16 octets
//	payload                the record as JSON
const (
	magic     = "CRLNCDR1"
	headSize  = len(magic) + 8
	frameSize = 4 + 4 + 8 + 16
	extension = ".cdr"
)

// castagnoli is the table of CRC32C, which processors compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errHead is a segment whose head cannot be read.
var errHead = errors.New("the segment has no valid head")

// segmentFile is what a log needs of a file.
type segmentFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

func openFile(path string, flag int) (segmentFile, error) { return os.OpenFile(path, flag, 0o600) }

// segment is one file of a log. size and records are guarded by the log's mutex.
type segment struct {
	path    string
	file    segmentFile
	size    int64
	records int
}

// cut drops everything after size, durably.
func (s *segment) cut(size int64) error {
	if err := s.file.Truncate(size); err != nil {
		return err
	}
	s.size = size
	return s.file.Sync()
}

func segmentName(number uint64) string { return fmt.Sprintf("%016d%s", number, extension) }

func segmentNumber(name string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, extension), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// segmentNames returns the segment files of dir, oldest first.
func segmentNames(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if n := segmentNumber(f.Name()); n > 0 && f.Name() == segmentName(n) && f.Type().IsRegular() {
			names = append(names, f.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func appendHead(b []byte, first uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, magic...), first)
}

func appendFrame(b []byte, serial uint64, id recordID, payload []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, serial)
	b = append(b, id[:]...)
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[start+4:], checksum(b[start:]))
	return b
}

// checksum covers a whole frame but its checksum field.
func checksum(frame []byte) uint32 {
	sum := crc32.Update(0, castagnoli, frame[:4])
	return crc32.Update(sum, castagnoli, frame[8:])
}

// frame is a record found in a segment.
type frame struct {
	serial uint64
	id     recordID
	offset int64
	length int
}

// scanned is what a segment holds.
type scanned struct {
	frames []frame
	next   uint64 // one more than the last serial
	end    int64  // behind the last valid frame
	holes  int    // unreadable places with valid frames behind them
}

// scan finds every valid frame of a segment. A place that cannot be read does not hide what lies behind it: a
// disk that lost one sector must not cost the records after it.
func scan(content []byte) (scanned, error) {
	if len(content) < headSize || string(content[:len(magic)]) != magic {
		return scanned{}, errHead
	}
	first := binary.LittleEndian.Uint64(content[len(magic):headSize])
	found := scanned{next: first, end: int64(headSize)}
	inHole := false
	for at := headSize; at+frameSize <= len(content); {
		f, ok := parseFrame(content[at:], found.next)
		if !ok {
			inHole = true
			at++
			continue
		}
		if inHole {
			found.holes++
			inHole = false
		}
		f.offset = int64(at)
		found.frames = append(found.frames, f)
		found.next = f.serial + 1
		at += frameSize + f.length
		found.end = int64(at)
	}
	return found, nil
}

// serialSpan bounds how far the serial of a frame may lie ahead of the one expected. It keeps the search behind
// a damaged place from computing a checksum at every octet.
const serialSpan = 1 << 24

// parseFrame reads the frame at the start of b, whose serial must be at least least.
func parseFrame(b []byte, least uint64) (frame, bool) {
	length := int(binary.LittleEndian.Uint32(b))
	serial := binary.LittleEndian.Uint64(b[8:])
	if length == 0 || length > MaxRecordBytes || frameSize+length > len(b) {
		return frame{}, false
	}
	if serial < least || serial-least > serialSpan {
		return frame{}, false
	}
	if binary.LittleEndian.Uint32(b[4:]) != checksum(b[:frameSize+length]) {
		return frame{}, false
	}
	return frame{serial: serial, id: recordID(b[16:frameSize]), length: length}, true
}

// lockDir makes this process the only one with dir open. The kernel gives the lock up when the process ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s, which another node may have open: %w", dir, err)
	}
	return f, nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
