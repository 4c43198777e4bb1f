package netdoc

import (
	"bytes"
	"encoding/base64"
)

// Caps. A text past one of them is refused with ErrTooLarge before anything is built from it.
const (
	// MaxConsensusSize: the live consensus is 3 MB.
	MaxConsensusSize = 16 << 20
	// MaxCertsSize bounds one text of concatenated authority certificates (2 kB each, nine authorities).
	MaxCertsSize = 1 << 20
	// MaxMicrodescsSize bounds one text of concatenated microdescriptors: an answer to a request or a cache file.
	MaxMicrodescsSize = 16 << 20

	maxLineLength   = 128 << 10 // C tor's cap too
	maxObjectLength = 128 << 10
	maxCertObjects  = 2048
	maxMDObjects    = 65536
	maxSignatures   = 256
	maxConsensusObj = 2 * maxSignatures // signatures, and objects of items we do not know
	maxRelays       = 65536
	maxSources      = 256
)

// item is one keyword line with its object, if any (dir-spec 1.2). Its slices alias the text.
type item struct {
	keyword []byte
	args    fields // rest of the line after the keyword
	start   int    // offset of the keyword
	lineEnd int    // offset just after the line's newline
	object  []byte // base64 text between the BEGIN and END lines
	objType []byte // nil when the item has no object
}

// scanner cuts a text into items. It does not copy; it stops at the first line that is no item.
type scanner struct {
	doc        string // for errors
	text       []byte
	pos        int
	objects    int
	maxObjects int
	// annotations permits lines that start with "@", which caches put before documents; they are skipped.
	annotations bool
}

// newScanner refuses a text over its cap or with a NUL byte in it.
func newScanner(doc string, text []byte, maxSize, maxObjects int) (*scanner, error) {
	if len(text) > maxSize {
		return nil, &ParseError{Document: doc, Err: ErrTooLarge}
	}
	s := &scanner{doc: doc, text: text, maxObjects: maxObjects}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return nil, s.fail(i, malformed("NUL byte"))
	}
	return s, nil
}

// fail places err at an offset of the text.
func (s *scanner) fail(offset int, err error) error {
	return &ParseError{Document: s.doc, Line: 1 + bytes.Count(s.text[:offset], newline), Err: err}
}

var (
	newline     = []byte("\n")
	beginPrefix = []byte("-----BEGIN ")
	endPrefix   = []byte("-----END ")
	dashes      = []byte("-----")
)

// next fills it with the following item; false with a nil error at the end of the text. A final line without a
// newline is taken as a line, as C tor does.
func (s *scanner) next(it *item) (bool, error) {
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if c == '\n' { // a Document is (Item | NL)+
			s.pos++
			continue
		}
		if c == '@' && s.annotations {
			s.pos = s.lineAfter(s.pos)
			continue
		}
		break
	}
	if s.pos >= len(s.text) {
		return false, nil
	}
	it.start = s.pos
	line, end, err := s.line(s.pos)
	if err != nil {
		return false, err
	}
	n := 0
	for n < len(line) && keywordChar[line[n]] {
		n++
	}
	if n == 0 || line[0] == '-' || (n < len(line) && line[n] != ' ' && line[n] != '\t') {
		return false, s.fail(s.pos, malformed("line does not start with a keyword: %q", clip(line)))
	}
	it.keyword, it.args, it.lineEnd = line[:n], fields(line[n:]), end
	it.object, it.objType = nil, nil
	s.pos = end
	if len(s.text)-end > len(beginPrefix) && s.text[end] == '-' {
		return true, s.readObject(it)
	}
	return true, nil
}

// line is the line that starts at an offset, without its newline, and the offset after it.
func (s *scanner) line(start int) (line []byte, end int, err error) {
	rest := s.text[start:]
	n := bytes.IndexByte(rest, '\n')
	end = start + n + 1
	if n < 0 {
		n, end = len(rest), len(s.text)
	}
	if n > maxLineLength {
		return nil, 0, s.fail(start, ErrTooLarge)
	}
	return rest[:n], end, nil
}

func (s *scanner) lineAfter(start int) int {
	if n := bytes.IndexByte(s.text[start:], '\n'); n >= 0 {
		return start + n + 1
	}
	return len(s.text)
}

// readObject reads the BEGIN line, the data and the END line that follow a keyword line.
func (s *scanner) readObject(it *item) error {
	begin, data, err := s.line(s.pos)
	if err != nil {
		return err
	}
	tag, ok := objectTag(begin, beginPrefix)
	if !ok {
		return s.fail(s.pos, malformed("bad object begin line %q", clip(begin)))
	}
	if s.objects++; s.objects > s.maxObjects {
		return s.fail(s.pos, ErrTooLarge)
	}
	n := bytes.Index(s.text[data:], endPrefix)
	if n < 0 {
		return s.fail(s.pos, malformed("object %q has no end", clip(tag)))
	}
	if n > maxObjectLength {
		return s.fail(s.pos, ErrTooLarge)
	}
	last, end, err := s.line(data + n)
	if err != nil {
		return err
	}
	endTag, ok := objectTag(last, endPrefix)
	if !ok || !bytes.Equal(tag, endTag) || (n > 0 && s.text[data+n-1] != '\n') {
		return s.fail(data+n, malformed("object %q ends with %q", clip(tag), clip(last)))
	}
	it.objType, it.object = tag, s.text[data:data+n]
	s.pos = end
	return nil
}

// objectTag is what stands between the prefix and the closing dashes; never empty.
func objectTag(line, prefix []byte) ([]byte, bool) {
	tag, ok := bytes.CutPrefix(line, prefix)
	if !ok {
		return nil, false
	}
	tag, ok = bytes.CutSuffix(tag, dashes)
	return tag, ok && len(tag) > 0
}

// decodeObject decodes an object's data. Line ends are discarded, as dir-spec 1.2 asks.
func (it *item) decodeObject() ([]byte, error) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(it.object)))
	n, err := base64.StdEncoding.Decode(out, it.object)
	if err != nil {
		return nil, malformed("object %q is not base64", clip(it.objType))
	}
	return out[:n], nil
}

var keywordChar = func() (t [256]bool) {
	for c := range t {
		t[c] = c == '-' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
	}
	return t
}()

// fields is the unread rest of a line's arguments.
type fields []byte

// next is the following argument, nil at the end of the line.
func (f *fields) next() []byte {
	b := *f
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if i == len(b) {
		*f = nil
		return nil
	}
	b = b[i:]
	n := 0
	for n < len(b) && b[n] != ' ' && b[n] != '\t' {
		n++
	}
	*f = b[n:]
	return b[:n:n]
}

// rest is everything up to the end of the line, without the blanks around it.
func (f fields) rest() []byte { return bytes.Trim(f, " \t") }

// strings copies what is left, one string an argument; at most limit of them.
func (f fields) strings(limit int) ([]string, error) {
	var out []string
	for arg := f.next(); arg != nil; arg = f.next() {
		if len(out) == limit {
			return nil, ErrTooLarge
		}
		out = append(out, string(arg))
	}
	return out, nil
}

// cutByte splits at the first sep.
func cutByte(b []byte, sep byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}

// parseUint reads decimal digits only, up to limit.
func parseUint(b []byte, limit uint64) (uint64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= limit
}

// parseInt32 reads an optional minus sign and decimal digits.
func parseInt32(b []byte) (int32, bool) {
	if digits, negative := bytes.CutPrefix(b, []byte("-")); negative {
		n, ok := parseUint(digits, 1<<31)
		return int32(-int64(n)), ok
	}
	n, ok := parseUint(b, 1<<31-1)
	return int32(n), ok
}

// clip keeps a hostile text from filling an error message.
func clip(b []byte) []byte {
	const limit = 64
	if len(b) > limit {
		return b[:limit]
	}
	return b
}
