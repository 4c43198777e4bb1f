package consdiff

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Caps, checked before anything is built (TROVE-2026-028, -029, -042: diffs without bounds on bytes and lines).
// The consensus of ten thousand relays has 4 MB and 70,000 lines.
const (
	// MaxDiffSize is how many bytes a diff may have: more than any consensus is worth downloading for.
	MaxDiffSize = 8 << 20
	// MaxDocumentSize is how many bytes the base and the result may have.
	MaxDocumentSize = 16 << 20
	// MaxLines is how many lines the diff, the base and the result may have.
	MaxLines = 1 << 20
	// MaxCommands is how many commands a diff may have.
	MaxCommands = 1 << 17

	maxCommandLine = 32 // bytes; the longest is "2147483647,2147483647c"
)

// What is wrong with a diff; all are wrapped with details.
var (
	// ErrMalformed: not a diff of version 1, or a command that appendix E does not have.
	ErrMalformed = errors.New("malformed consensus diff")
	// ErrTooLarge: past one of the caps.
	ErrTooLarge = errors.New("consensus diff too large")
	// ErrBase: made for another consensus than the one at hand.
	ErrBase = errors.New("consensus diff from another consensus")
	// ErrResult: it does not lead where it says.
	ErrResult = errors.New("consensus diff does not give what it promises")
)

const (
	firstLine    = "network-status-diff-version 1"
	firstKeyword = "network-status-diff-version"
)

// Digest is a SHA3-256 digest of a consensus or its signed part.
type Digest [32]byte

// String is the digest in hex, as X-Or-Diff-From-Consensus wants it.
func (d Digest) String() string { return strings.ToUpper(hex.EncodeToString(d[:])) }

// IsZero tells a digest that was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// Sum is the digest of a whole text.
func Sum(text []byte) Digest { return sha3.Sum256(text) }

var signature = []byte("\ndirectory-signature ")

// SignedDigest is the digest of a consensus' signed part: from its first byte through the space after the first
// "directory-signature" (dir-spec §3.4.1). False: the text has no signature.
func SignedDigest(consensus []byte) (Digest, bool) {
	i := bytes.Index(consensus, signature)
	if i < 0 {
		return Digest{}, false
	}
	return sha3.Sum256(consensus[:i+len(signature)]), true
}

// Looks reports whether a text is meant as a consensus diff of any version.
func Looks(text []byte) bool {
	return bytes.HasPrefix(text, []byte(firstKeyword+" "))
}

// Diff is a parsed diff. It aliases the text that it was parsed from.
type Diff struct {
	From Digest // of the signed part of the base
	To   Digest // of the whole result

	commands []command // from the end of the base to its beginning
	inserted int       // bytes of all blocks
	lines    int       // lines of all blocks
}

// command replaces lines first to last of the base by a block; first is last+1 when only something is added.
type command struct {
	first, last int32 // 1-indexed and inclusive
	block       []byte
}

// endOfFile is the last line of "n,$d".
const endOfFile = math.MaxInt32

// Apply makes the consensus that a diff text leads to from base, a whole consensus. Errors wrap those of this
// package.
func Apply(base, diff []byte) ([]byte, error) {
	d, err := Parse(diff)
	if err != nil {
		return nil, err
	}
	return d.Apply(base)
}

// Apply makes the result from base, whose signed part must be the one that the diff is from. Errors wrap ErrBase,
// ErrTooLarge or ErrResult.
func (d *Diff) Apply(base []byte) ([]byte, error) {
	if len(base) > MaxDocumentSize {
		return nil, fmt.Errorf("%w: base of %d bytes", ErrTooLarge, len(base))
	}
	if from, ok := SignedDigest(base); !ok || from != d.From {
		return nil, ErrBase
	}
	out, err := d.apply(base)
	if err != nil {
		return nil, err
	}
	if Sum(out) != d.To {
		return nil, fmt.Errorf("%w: another digest", ErrResult)
	}
	return out, nil
}

// apply does the commands from the beginning of the base to its end, which gives the same: their ranges ascend
// that way and do not overlap. Each byte is copied once.
func (d *Diff) apply(base []byte) ([]byte, error) {
	if len(base) > 0 && base[len(base)-1] != '\n' {
		return nil, fmt.Errorf("%w: no newline at the end", ErrBase)
	}
	lines := bytes.Count(base, newline)
	if lines > MaxLines || lines+d.lines > MaxLines {
		return nil, fmt.Errorf("%w: %d lines and %d more", ErrTooLarge, lines, d.lines)
	}
	if len(base)+d.inserted > MaxDocumentSize {
		return nil, fmt.Errorf("%w: %d bytes and %d more", ErrTooLarge, len(base), d.inserted)
	}
	if len(d.commands) > 0 {
		if err := d.commands[0].within(lines); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(base)+d.inserted)
	r := reader{text: base}
	for i := len(d.commands) - 1; i >= 0; i-- {
		c := d.commands[i]
		out = append(out, r.upTo(int(c.first)-1)...)
		out = append(out, c.block...)
		r.upTo(min(int(c.last), lines))
	}
	return append(out, r.text[r.pos:]...), nil
}

// within checks the line numbers of the first command, which has the highest, against the base.
func (c command) within(lines int) error {
	last := int(c.last)
	if last == endOfFile {
		last = int(c.first)
	}
	if last > lines {
		return fmt.Errorf("%w: line %d of %d", ErrResult, last, lines)
	}
	return nil
}

var newline = []byte("\n")

// reader goes over a text line by line.
type reader struct {
	text []byte
	pos  int // offset of the next byte
	line int // lines that were read
}

// upTo reads on to the end of a line and gives what it read.
func (r *reader) upTo(line int) []byte {
	start := r.pos
	for ; r.line < line; r.line++ {
		r.pos += bytes.IndexByte(r.text[r.pos:], '\n') + 1
	}
	return r.text[start:r.pos]
}
