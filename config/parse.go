package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Absolute caps of the parser. C tor's own lists stay far below them.
const (
	MaxFileBytes  = 4 << 20 // one file
	MaxLines      = 100_000 // options in one file
	MaxValueBytes = 64 << 10
	maxErrors     = 100 // of one load; then the rest is summed up
)

// Line is one option as written.
type Line struct {
	File   string
	Number int    // of the physical line it starts on, from 1; 0 from the command line
	Key    string // as written, never empty
	Value  string // unquoted, continuations joined, outer white space gone
	Append bool   // "+Name" on the command line

	Of []Line // of a HiddenServiceDir: the options of its service that follow it
}

func (l Line) errorf(kind error, format string, args ...any) *Error {
	return &Error{File: l.File, Line: l.Number, Option: named(l.Key), Problem: fmt.Sprintf(format, args...), Kind: kind}
}

// Parse splits a torrc into its lines; name is the file's name in messages. It
// knows the syntax only: no option, no include (a "%include" comes back as a
// line of that key). The error is an Errors; the lines that could be read are
// returned with it.
func Parse(name string, r io.Reader) ([]Line, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > MaxFileBytes {
		return nil, Errors{{File: name, Problem: fmt.Sprintf("larger than %d bytes", MaxFileBytes), Kind: ErrLimit}}
	}
	l := lexer{name: name, rest: bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))}
	l.run()
	if len(l.errs) > 0 {
		return l.lines, l.errs
	}
	return l.lines, nil
}

type lexer struct {
	name   string
	rest   []byte
	number int // of the physical line last taken
	lines  []Line
	errs   Errors
}

func (l *lexer) run() {
	for len(l.rest) > 0 {
		if len(l.lines) >= MaxLines {
			l.fail(l.number, "", ErrLimit, "more than %d options", MaxLines)
			return
		}
		if len(l.errs) >= maxErrors {
			return
		}
		l.entry()
	}
}

func (l *lexer) fail(number int, key string, kind error, format string, args ...any) {
	l.errs = append(l.errs, &Error{File: l.name, Line: number, Option: named(key), Problem: fmt.Sprintf(format, args...), Kind: kind})
}

// physical takes the next line without its end.
func (l *lexer) physical() string {
	l.number++
	line, rest, _ := bytes.Cut(l.rest, []byte{'\n'})
	l.rest = rest
	return strings.TrimSuffix(string(line), "\r")
}

const blank = " \t\r"

func (l *lexer) entry() {
	text := strings.TrimLeft(l.physical(), blank)
	start := l.number
	if text == "" || text[0] == '#' {
		return
	}
	if i := strings.IndexFunc(text, unprintable); i >= 0 {
		l.fail(start, "", ErrSyntax, "control character 0x%02x in the line", text[i])
		l.skipContinuation(text)
		return
	}
	end := strings.IndexAny(text, blank+"#")
	if end < 0 {
		end = len(text)
	}
	key := text[:end]
	if cut, ok := strings.CutSuffix(key, `\`); ok && end == len(text) {
		key, end = cut, end-1
	}
	rest := strings.TrimLeft(text[end:], blank)
	var value string
	var ok bool
	if strings.HasPrefix(rest, `"`) {
		value, ok = l.quoted(start, key, rest)
	} else {
		value, ok = l.plain(start, key, rest)
	}
	switch {
	case !ok:
	case key == "":
		l.fail(start, "", ErrSyntax, "the line has no option name")
	case len(value) > MaxValueBytes:
		l.fail(start, key, ErrLimit, "value longer than %d bytes", MaxValueBytes)
	default:
		l.lines = append(l.lines, Line{File: l.name, Number: start, Key: key, Value: value})
	}
}

func unprintable(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f }

func (l *lexer) skipContinuation(text string) {
	for strings.HasSuffix(text, `\`) && len(l.rest) > 0 {
		text = l.physical()
	}
}

// plain joins an unquoted value over its continuation lines. A "#" starts a
// comment; inside a continued entry only at the start of a line, as tor(1) says.
func (l *lexer) plain(start int, key, text string) (string, bool) {
	var b strings.Builder
	for first := true; ; first = false {
		if i := strings.IndexByte(text, '#'); i >= 0 {
			if first {
				b.WriteString(text[:i])
				break
			}
			l.fail(l.number, key, ErrSyntax, "a comment inside a continued entry must start at the beginning of its line")
			l.skipContinuation(text)
			return "", false
		}
		cut, more := strings.CutSuffix(text, `\`)
		b.WriteString(cut)
		if !more || len(l.rest) == 0 {
			break
		}
		if b.Len() > MaxValueBytes {
			break
		}
		text = l.physical()
		for strings.HasPrefix(strings.TrimLeft(text, blank), "#") && len(l.rest) > 0 {
			text = l.physical()
		}
		if strings.HasPrefix(strings.TrimLeft(text, blank), "#") {
			break
		}
		if i := strings.IndexFunc(text, unprintable); i >= 0 {
			l.fail(l.number, key, ErrSyntax, "control character 0x%02x in the line", text[i])
			l.skipContinuation(text)
			return "", false
		}
	}
	return strings.Trim(b.String(), blank), true
}

// quoted reads a C string; after it only a comment may follow.
func (l *lexer) quoted(start int, key, text string) (string, bool) {
	value, rest, err := unquote(text)
	if err != nil {
		l.fail(start, key, ErrSyntax, "%s", err)
		return "", false
	}
	rest = strings.TrimLeft(rest, blank)
	if rest != "" && rest[0] != '#' {
		l.fail(start, key, ErrSyntax, "text after the closing quote")
		return "", false
	}
	return value, true
}

// quote makes the C string that unquote reads.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unquote reads the C string that s starts with and returns what follows it.
func unquote(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			out, n := escape(s[i+1:])
			if n == 0 {
				return "", "", fmt.Errorf("bad escape at byte %d of the quoted text", i)
			}
			b.WriteByte(out)
			i += 1 + n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", "", fmt.Errorf("the closing quote is missing")
}

// escape reads one escape after its backslash: the byte and how long it was,
// 0 if it is none. NUL is none: it would end a C string.
func escape(s string) (out byte, n int) {
	if s == "" {
		return 0, 0
	}
	switch s[0] {
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case '"', '\\', '\'':
		return s[0], 1
	case 'x', 'X':
		if v, ok := digits(s[1:], 2, 16); ok == 2 && v != 0 {
			return byte(v), 3
		}
		return 0, 0
	}
	v, length := digits(s, 3, 8)
	if length == 0 || v == 0 || v > 0xff {
		return 0, 0
	}
	return byte(v), length
}

// digits reads up to limit digits of the base: their value and number.
func digits(s string, limit, base int) (value, n int) {
	for n < limit && n < len(s) {
		d := strings.IndexByte("0123456789abcdef", s[n]|0x20)
		if s[n] < 'A' {
			d = strings.IndexByte("0123456789", s[n])
		}
		if d < 0 || d >= base {
			break
		}
		value = value*base + d
		n++
	}
	return value, n
}

// clip shortens text for a message.
func clip(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
