// Package geoip reads the files of Debian's package tor-geoipdb, which say what
// country an address is in, and answers for single addresses. It owns no file.
//
// A line of the IPv4 file is "LOW,HIGH,CC" with addresses as numbers, one of the IPv6
// file the same with addresses as such; lines ascend, and # begins a comment. "??"
// says that the country is not known.
package geoip

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Caps on what is read: four times the size of today's files.
const (
	MaxBytes = 64 << 20 // of one file
	maxLines = 4 << 20
)

// ErrMalformed: not a file of this kind.
var ErrMalformed = errors.New("malformed GeoIP file")

// Country is a code of two letters, lower case; the zero Country is not known.
type Country [2]byte

// Unknown is the country of addresses that no line has.
var Unknown Country

// ParseCountry reads a code of two letters or digits, in any case; "??" is Unknown.
func ParseCountry(s string) (Country, bool) {
	if s == "??" {
		return Unknown, true
	}
	if len(s) != 2 {
		return Unknown, false
	}
	var c Country
	for i := range c {
		b := s[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if !('a' <= b && b <= 'z' || '0' <= b && b <= '9') {
			return Unknown, false
		}
		c[i] = b
	}
	return c, true
}

// String is the code, or "??".
func (c Country) String() string {
	if c == Unknown {
		return "??"
	}
	return string(c[:])
}

// span is a range of addresses of one family. Of IPv6 it has the upper 64 bits only:
// no allocation to a country is smaller.
type span[K uint32 | uint64] struct {
	low, high K
	in        Country
}

func sorted[K uint32 | uint64](spans []span[K]) bool {
	return slices.IsSortedFunc(spans, func(a, b span[K]) int { return cmp.Compare(a.low, b.low) })
}

// find gives the country of an address among ascending ranges.
func find[K uint32 | uint64](spans []span[K], v K) Country {
	i, found := slices.BinarySearchFunc(spans, v, func(s span[K], v K) int { return cmp.Compare(s.low, v) })
	if !found {
		i--
	}
	if i >= 0 && v <= spans[i].high {
		return spans[i].in
	}
	return Unknown
}

// DB answers; nil and the zero DB know nothing. It is immutable.
type DB struct {
	v4 []span[uint32]
	v6 []span[uint64]
}

// Parse reads an IPv4 and an IPv6 file; either may be empty.
func Parse(v4, v6 []byte) (*DB, error) {
	db := &DB{}
	err := lines(v4, func(low, high []byte, in Country) error {
		a, err := strconv.ParseUint(string(low), 10, 32)
		b, err2 := strconv.ParseUint(string(high), 10, 32)
		if err != nil || err2 != nil || a > b {
			return ErrMalformed
		}
		db.v4 = append(db.v4, span[uint32]{uint32(a), uint32(b), in})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lines(v6, func(low, high []byte, in Country) error {
		a, err := netip.ParseAddr(string(low))
		b, err2 := netip.ParseAddr(string(high))
		if err != nil || err2 != nil || !a.Is6() || !b.Is6() || b.Less(a) {
			return ErrMalformed
		}
		db.v6 = append(db.v6, span[uint64]{upper(a), upper(b), in})
		return nil
	})
	if err != nil {
		return nil, err
	}
	db.v4, db.v6 = slices.Clip(db.v4), slices.Clip(db.v6)
	if !sorted(db.v4) || !sorted(db.v6) {
		return nil, fmt.Errorf("%w: the lines do not ascend", ErrMalformed)
	}
	return db, nil
}

func upper(a netip.Addr) uint64 {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

func lines(text []byte, each func(low, high []byte, in Country) error) error {
	if len(text) > MaxBytes {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, len(text), MaxBytes)
	}
	n := 0
	for line := range bytes.Lines(text) {
		if n++; n > maxLines {
			return fmt.Errorf("%w: more than %d lines", ErrMalformed, maxLines)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		fields := bytes.Split(line, []byte(","))
		if len(fields) != 3 {
			return fmt.Errorf("%w: line %d", ErrMalformed, n)
		}
		in, ok := ParseCountry(string(fields[2]))
		if !ok {
			return fmt.Errorf("%w: line %d: no country", ErrMalformed, n)
		}
		if err := each(fields[0], fields[1], in); err != nil {
			return fmt.Errorf("%w: line %d", err, n)
		}
	}
	return nil
}

// Country is where an address is; Unknown if no line has it.
func (db *DB) Country(a netip.Addr) Country {
	a = a.Unmap()
	switch {
	case db == nil || !a.IsValid():
		return Unknown
	case a.Is4():
		b := a.As4()
		return find(db.v4, binary.BigEndian.Uint32(b[:]))
	default:
		return find(db.v6, upper(a))
	}
}
