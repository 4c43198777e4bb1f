package dirproto_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"chive/tor/consdiff"
	"chive/tor/dirproto"
	"chive/tor/netdoc"
)

func deflate(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func answer(encoding string, body []byte) []byte {
	head := "HTTP/1.0 200 OK\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n"
	if encoding != "" {
		head += "Content-Encoding: " + encoding + "\r\n"
	}
	return append([]byte(head+"\r\n"), body...)
}

// text is 200 kB that compress to about a tenth, as directory documents do.
func text() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 200_000; i++ {
		fmt.Fprintf(&b, "r relay%d %x\ns Fast Running Valid\n", i, i*2654435761)
	}
	return b.Bytes()
}

// dir-spec §6.1: identity, deflate (zlib), gzip and x-zstd; members may follow
// each other.
func TestEncodings(t *testing.T) {
	plain := text()
	half := len(plain) / 2
	for name, raw := range map[string][]byte{
		"identity":           answer("identity", plain),
		"none named":         answer("", plain),
		"deflate":            answer("deflate", deflate(t, plain)),
		"two zlib members":   answer("deflate", append(deflate(t, plain[:half]), deflate(t, plain[half:])...)),
		"gzip":               answer("gzip", gzipped(t, plain)),
		"two gzip members":   answer("gzip", append(gzipped(t, plain[:half]), gzipped(t, plain[half:])...)),
		"x-zstd":             answer("x-zstd", zstandard(t, plain)),
		"two zstd frames":    answer("x-zstd", append(zstandard(t, plain[:half]), zstandard(t, plain[half:])...)),
		"with its length":    []byte(fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(plain), plain)),
		"bytes behind it":    []byte(fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%sjunk", len(plain), plain)),
		"line feeds alone":   append([]byte("HTTP/1.0 200 OK\nX: y\n\n"), plain...),
		"upper-case headers": append([]byte("HTTP/1.1 200 OK\r\nCONTENT-ENCODING: IDENTITY\r\n\r\n"), plain...),
	} {
		res, err := dirproto.ReadResponse(bytes.NewReader(raw), dirproto.DefaultLimits)
		if err != nil || res.Status != 200 || !bytes.Equal(res.Body, plain) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		res, err = dirproto.ReadResponse(iotest.OneByteReader(bytes.NewReader(raw)), dirproto.DefaultLimits)
		if err != nil || !bytes.Equal(res.Body, plain) {
			t.Errorf("%s, byte by byte: %v", name, err)
		}
	}
}

func TestTruncatedIsAnError(t *testing.T) {
	plain := text()[:3000]
	for name, raw := range map[string][]byte{
		"deflate": answer("deflate", deflate(t, plain)),
		"gzip":    answer("gzip", gzipped(t, plain)),
		"x-zstd":  answer("x-zstd", zstandard(t, plain)),
		"length":  []byte(fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(plain), plain)),
	} {
		// An empty body is a whole zstd stream of no frames, so the cut at the
		// end of the header is left out there.
		head := bytes.Index(raw, []byte("\r\n\r\n")) + 4
		for n := range raw {
			if n == head && name == "x-zstd" {
				continue
			}
			if _, err := dirproto.ReadResponse(bytes.NewReader(raw[:n]), dirproto.DefaultLimits); err == nil {
				t.Errorf("%s cut after %d of %d bytes: no error", name, n, len(raw))
			}
		}
	}
}

func TestBombsAndCaps(t *testing.T) {
	zeros := make([]byte, 20<<20)
	small := dirproto.Limits{Header: 200, Body: 1 << 20, Ratio: 1 << 30}
	var members []byte
	for range 64 {
		members = append(members, deflate(t, zeros[:1<<20])...)
	}
	for name, tt := range map[string]struct {
		raw    []byte
		limits dirproto.Limits
		want   error
	}{
		"zlib bomb":        {answer("deflate", deflate(t, zeros)), dirproto.DefaultLimits, dirproto.ErrBomb},
		"gzip bomb":        {answer("gzip", gzipped(t, zeros)), dirproto.DefaultLimits, dirproto.ErrBomb},
		"zstd bomb":        {answer("x-zstd", zstandard(t, zeros)), dirproto.DefaultLimits, dirproto.ErrBomb},
		"many members":     {answer("deflate", members), dirproto.DefaultLimits, dirproto.ErrBomb},
		"too large":        {answer("", zeros[:2<<20]), small, dirproto.ErrTooLarge},
		"members, too big": {answer("deflate", members), small, dirproto.ErrTooLarge},
		"long header":      {answer(strings.Repeat("x", 300), nil), small, dirproto.ErrTooLarge},
		"many headers":     {[]byte("HTTP/1.0 200 OK\r\n" + strings.Repeat("A: b\r\n", 100)), small, dirproto.ErrTooLarge},
		"endless line":     {[]byte("HTTP/1.0 " + strings.Repeat("2", 10_000)), small, dirproto.ErrTooLarge},
		"other encoding":   {answer("br", []byte("x")), dirproto.DefaultLimits, dirproto.ErrMalformed},
		"not HTTP":         {[]byte("SSH-2.0-x\r\n\r\n"), dirproto.DefaultLimits, dirproto.ErrMalformed},
		"no status":        {[]byte("HTTP/1.0\r\n\r\n"), dirproto.DefaultLimits, dirproto.ErrMalformed},
		"negative length":  {[]byte("HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"), dirproto.DefaultLimits, dirproto.ErrMalformed},
		"no colon":         {[]byte("HTTP/1.0 200 OK\r\nhello\r\n\r\n"), dirproto.DefaultLimits, dirproto.ErrMalformed},
	} {
		if _, err := dirproto.ReadResponse(bytes.NewReader(tt.raw), tt.limits); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestRequests(t *testing.T) {
	id, err := netdoc.ParseDigest("0123456789ABCDEF0123456789ABCDEF01234567")
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	const tail = " HTTP/1.0\r\nAccept-Encoding: x-zstd, deflate, identity\r\n"
	for want, r := range map[string]dirproto.Request{
		"GET /tor/status-vote/current/consensus-microdesc/012345+012345" + tail + "If-Modified-Since: Mon, 23 Nov 2026 01:02:03 GMT\r\n\r\n":    dirproto.ConsensusRequest([]netdoc.Digest{id, id}, since, consdiff.Digest{}),
		"GET /tor/status-vote/current/consensus-microdesc/012345" + tail + "X-Or-Diff-From-Consensus: " + strings.Repeat("AB", 32) + "\r\n\r\n": dirproto.ConsensusRequest([]netdoc.Digest{id}, time.Time{}, consdiff.Digest(bytes.Repeat([]byte{0xab}, 32))),
		"GET /tor/keys/fp-sk/0123456789ABCDEF0123456789ABCDEF01234567-0123456789ABCDEF0123456789ABCDEF01234567" + tail + "\r\n":                 dirproto.CertsRequest([]netdoc.KeyID{{Identity: id, SigningKey: id}}),
		"GET /tor/micro/d/" + strings.Repeat("A", 43) + "-" + strings.Repeat("A", 43) + tail + "\r\n":                                           dirproto.MicrodescsRequest(make([]netdoc.MDDigest, 2)),
	} {
		if got := string(r.Append(nil)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzReadResponse(f *testing.F) {
	f.Add(answer("deflate", deflate(f, []byte("x"))))
	f.Add(answer("x-zstd", zstandard(f, []byte("x"))))
	f.Add(answer("gzip", gzipped(f, []byte("x"))))
	f.Add([]byte("HTTP/1.0 404 Not found\r\n\r\n"))
	limits := dirproto.Limits{Header: 1 << 10, Body: 1 << 16, Ratio: 10}
	f.Fuzz(func(t *testing.T, raw []byte) {
		res, err := dirproto.ReadResponse(bytes.NewReader(raw), limits)
		if err == nil && int64(len(res.Body)) > limits.Body {
			t.Fatalf("%d bytes of body", len(res.Body))
		}
	})
}
