package dirproto

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"
)

// endless gives one text again and again.
type endless struct {
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// What expands to nothing, without end, is too large.
func TestEmptyMembersWithoutEnd(t *testing.T) {
	var empty bytes.Buffer
	if err := zlib.NewWriter(&empty).Close(); err != nil {
		t.Fatal(err)
	}
	in := io.MultiReader(strings.NewReader("HTTP/1.0 200 OK\r\nContent-Encoding: deflate\r\n\r\n"), &endless{text: empty.Bytes()})
	if _, err := ReadResponse(in, Limits{Header: 1 << 10, Body: 64 << 10, Ratio: 50}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}
