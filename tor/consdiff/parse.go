package consdiff

import (
	"bytes"
	"encoding/hex"
	"fmt"
)

// Parse reads a diff. It checks all that can be checked without the base. Errors wrap ErrMalformed or ErrTooLarge.
func Parse(text []byte) (*Diff, error) {
	if len(text) > MaxDiffSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(text))
	}
	s := &script{rest: text}
	if line, ok := s.next(); !ok || string(line) != firstLine {
		return nil, fmt.Errorf("%w: not of version 1", ErrMalformed)
	}
	line, _ := s.next()
	d := &Diff{}
	if !d.readHashes(line) {
		return nil, fmt.Errorf("%w: no two hashes in the second line", ErrMalformed)
	}
	below := int32(endOfFile) // lines up to here were not yet referred to
	for len(s.rest) > 0 {
		c, err := s.command()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", s.line, err)
		}
		if c.last > below {
			return nil, fmt.Errorf("line %d: %w: commands do not go from back to front", s.line, ErrMalformed)
		}
		if len(d.commands) == MaxCommands {
			return nil, fmt.Errorf("%w: more than %d commands", ErrTooLarge, MaxCommands)
		}
		below = c.first - 1
		d.commands = append(d.commands, c)
		d.inserted += len(c.block)
	}
	d.lines = s.inserted
	return d, nil
}

// readHashes reads "hash" SP FromDigest SP ToDigest.
func (d *Diff) readHashes(line []byte) bool {
	const keyword, digits = "hash ", 2 * len(d.From)
	rest, ok := bytes.CutPrefix(line, []byte(keyword))
	if !ok || len(rest) != digits+1+digits || rest[digits] != ' ' {
		return false
	}
	_, err := hex.Decode(d.From[:], rest[:digits])
	_, err2 := hex.Decode(d.To[:], rest[digits+1:])
	return err == nil && err2 == nil
}

// script is the unread part of a diff.
type script struct {
	rest     []byte
	line     int // lines that were read
	inserted int // those of them in blocks
}

// next is the following line without its newline; false at the end, and for a last line without a newline.
func (s *script) next() ([]byte, bool) {
	n := bytes.IndexByte(s.rest, '\n')
	if n < 0 || s.line == MaxLines {
		return nil, false
	}
	line := s.rest[:n]
	s.rest = s.rest[n+1:]
	s.line++
	return line, true
}

// end says why there is no further line.
func (s *script) end() error {
	if s.line == MaxLines {
		return fmt.Errorf("%w: more than %d lines", ErrTooLarge, MaxLines)
	}
	return fmt.Errorf("%w: it ends too early", ErrMalformed)
}

// command reads one command with its block (dir-spec appendix E).
func (s *script) command() (command, error) {
	line, ok := s.next()
	if !ok {
		return command{}, s.end()
	}
	c, verb, err := parseCommand(line)
	if err != nil || verb == 'd' {
		return c, err
	}
	block, start := s.rest, s.line
	for {
		line, ok := s.next()
		if !ok {
			return c, s.end()
		}
		if len(line) == 1 && line[0] == '.' {
			break
		}
	}
	n := s.line - start - 1
	if n == 0 { // C tor refuses it too
		return c, fmt.Errorf("%w: a block without lines", ErrMalformed)
	}
	s.inserted += n
	c.block = block[:len(block)-len(s.rest)-len(".\n")]
	return c, nil
}

// parseCommand reads "n", "n,n" or "n,$" and one of the letters a, c and d.
func parseCommand(line []byte) (c command, verb byte, err error) {
	if len(line) < 2 || len(line) > maxCommandLine {
		return c, 0, fmt.Errorf("%w: no command", ErrMalformed)
	}
	verb = line[len(line)-1]
	low, high, ranged := bytes.Cut(line[:len(line)-1], []byte(","))
	first, ok := parseLineNumber(low)
	last, okLast := first, true
	switch {
	case ranged && string(high) == "$":
		last, okLast = endOfFile, verb == 'd'
	case ranged:
		last, okLast = parseLineNumber(high)
		okLast = okLast && last >= first
	}
	switch verb {
	case 'a':
		okLast = okLast && !ranged
		first++ // what is added after line n is before line n+1, and no line goes
	case 'c', 'd':
		ok = ok && first > 0 // lines are counted from 1
	default:
		ok = false
	}
	if !ok || !okLast {
		return c, 0, fmt.Errorf("%w: no command of a diff", ErrMalformed)
	}
	return command{first: first, last: last}, verb, nil
}

// parseLineNumber reads decimal digits, to below endOfFile.
func parseLineNumber(digits []byte) (int32, bool) {
	if len(digits) == 0 || len(digits) > 10 {
		return 0, false
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return int32(min(n, endOfFile-1)), n < endOfFile-1
}
