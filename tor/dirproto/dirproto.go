// Package dirproto is the client's side of the directory protocol (dir-spec
// §4 to §6): the requests, and the reading of HTTP/1.0 answers with caps on
// everything that a hostile directory could make large. It does no I/O of its
// own; answers are read from what the caller passes in.
package dirproto

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"chive/tor/consdiff"
	"chive/tor/netdoc"
)

// MaxMicrodescs is how many digests one request may name (dir-spec §4.5).
const MaxMicrodescs = 92

// What a response can fail of; all are wrapped with details.
var (
	ErrMalformed = errors.New("malformed directory response")
	ErrTooLarge  = errors.New("directory response too large")
	ErrBomb      = errors.New("directory response expands beyond its allowance")
)

// Request is one GET.
type Request struct {
	Path            string
	IfModifiedSince time.Time
	DiffFrom        consdiff.Digest // zero: no diff
	// Host is the directory's address. A request with it is one that is not to tell who
	// asks: it says no more than that, and takes no compression, as C tor's.
	Host netip.AddrPort
}

// ConsensusRequest asks for the newest microdesc consensus that a majority of
// the authorities signed, and says that a diff will do from the consensus whose
// signed part has the digest from, unless that is zero (dir-spec §4.5.2).
func ConsensusRequest(v3idents []netdoc.Digest, since time.Time, from consdiff.Digest) Request {
	prefixes := make([]string, len(v3idents))
	for i, id := range v3idents {
		prefixes[i] = id.String()[:6]
	}
	return Request{Path: "/tor/status-vote/current/consensus-microdesc/" + strings.Join(prefixes, "+"), IfModifiedSince: since, DiffFrom: from}
}

// OnionDescriptorRequest asks a directory for the descriptor of an onion service in one
// time period (rend-spec-v3 §2.2.6).
func OnionDescriptorRequest(blinded [32]byte, directory netip.AddrPort) Request {
	return Request{Path: "/tor/hs/3/" + base64.RawStdEncoding.EncodeToString(blinded[:]), Host: directory}
}

// CertsRequest asks for authority certificates.
func CertsRequest(keys []netdoc.KeyID) Request {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	return Request{Path: "/tor/keys/fp-sk/" + strings.Join(names, "+")}
}

// MicrodescsRequest asks for up to MaxMicrodescs microdescriptors.
func MicrodescsRequest(digests []netdoc.MDDigest) Request {
	names := make([]string, len(digests))
	for i, d := range digests {
		names[i] = d.String()
	}
	return Request{Path: "/tor/micro/d/" + strings.Join(names, "-")}
}

// Append writes the request.
func (r Request) Append(dst []byte) []byte {
	dst = append(dst, "GET "...)
	dst = append(dst, r.Path...)
	if r.Host.IsValid() {
		dst = append(dst, " HTTP/1.0\r\nHost: "...)
		return append(r.Host.AppendTo(dst), "\r\n\r\n"...)
	}
	dst = append(dst, " HTTP/1.0\r\nAccept-Encoding: x-zstd, deflate, identity\r\n"...)
	if !r.IfModifiedSince.IsZero() {
		dst = append(dst, "If-Modified-Since: "...)
		dst = r.IfModifiedSince.UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
		dst = append(dst, "\r\n"...)
	}
	if !r.DiffFrom.IsZero() {
		dst = append(dst, "X-Or-Diff-From-Consensus: "...)
		dst = append(dst, r.DiffFrom.String()...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// Limits bound one response, in bytes.
type Limits struct {
	Header int64 // status line and headers
	Body   int64 // decompressed
	Ratio  int64 // decompressed bytes a compressed one, beyond the first 64 KiB
}

// DefaultLimits fit every document of the public network, which compress to
// about a tenth at best.
var DefaultLimits = Limits{Header: 16 << 10, Body: 16 << 20, Ratio: 50}

const ratioFree = 64 << 10

// Response is a whole answer.
type Response struct {
	Status int
	Reason string
	Body   []byte
}

// ReadResponse reads one answer to its end. A truncated, oversized or
// malformed one is an error, whatever part of it came.
func ReadResponse(r io.Reader, limits Limits) (*Response, error) {
	in := bufio.NewReader(r)
	head, err := readHead(in, limits.Header)
	if err != nil {
		return nil, err
	}
	body := io.Reader(in)
	if head.length >= 0 {
		body = &exactly{r: in, left: head.length}
	}
	counted := &counter{r: body}
	out, err := decompress(counted, head.encoding, limits)
	if err != nil {
		return nil, err
	}
	return &Response{Status: head.status, Reason: head.reason, Body: out}, nil
}

type header struct {
	status   int
	reason   string
	encoding string
	length   int64 // -1: until the end
}

func readHead(in *bufio.Reader, limit int64) (header, error) {
	h := header{length: -1}
	line, err := readLine(in, &limit)
	if err != nil {
		return h, err
	}
	proto, rest, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ")
	h.status, err = strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(proto, "HTTP/1.") || h.status < 100 || h.status > 599 {
		return h, fmt.Errorf("%w: status line", ErrMalformed)
	}
	h.reason = reason
	for {
		line, err := readLine(in, &limit)
		if err != nil {
			return h, err
		}
		if line == "" {
			return h, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return h, fmt.Errorf("%w: header without colon", ErrMalformed)
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-encoding":
			h.encoding = strings.ToLower(value)
		case "content-length":
			if h.length, err = strconv.ParseInt(value, 10, 64); err != nil || h.length < 0 {
				return h, fmt.Errorf("%w: content length", ErrMalformed)
			}
		}
	}
}

func readLine(in *bufio.Reader, limit *int64) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if *limit -= int64(len(part)); *limit < 0 {
			return "", fmt.Errorf("%w: header", ErrTooLarge)
		}
		line = append(line, part...)
		if err == nil {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", fmt.Errorf("read header: %w", err)
		}
	}
}

// exactly reads so many bytes and calls an earlier end what it is.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// counter counts what the decompressor took; as a ByteReader it keeps zlib and
// gzip from reading past their members.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func decompress(in *counter, encoding string, limits Limits) ([]byte, error) {
	switch encoding {
	case "", "identity":
		return collect(in, in, limits)
	case "deflate":
		return members(in, limits, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) })
	case "gzip", "x-gzip":
		return members(in, limits, func(r io.Reader) (io.Reader, error) {
			z, err := gzip.NewReader(r)
			if err == nil {
				z.Multistream(false)
			}
			return z, err
		})
	case "x-zstd", "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		defer z.Close()
		return collect(z, in, limits)
	default:
		return nil, fmt.Errorf("%w: content encoding not asked for", ErrMalformed)
	}
}

// members reads concatenated compressed members; the limits count all of them
// together.
func members(in *counter, limits Limits, open func(io.Reader) (io.Reader, error)) ([]byte, error) {
	source := bufio.NewReader(in)
	var out []byte
	for first := true; ; first = false {
		if _, err := source.Peek(1); errors.Is(err, io.EOF) && !first {
			return out, nil
		}
		z, err := open(source)
		if err != nil {
			return nil, malformed(err)
		}
		if out, err = collectInto(out, z, in, limits); err != nil {
			return nil, err
		}
	}
}

func collect(r io.Reader, in *counter, limits Limits) ([]byte, error) {
	return collectInto(nil, r, in, limits)
}

func collectInto(out []byte, r io.Reader, in *counter, limits Limits) ([]byte, error) {
	buf := bytes.NewBuffer(out)
	chunk := make([]byte, 32<<10)
	for {
		n, err := r.Read(chunk)
		buf.Write(chunk[:n])
		size := int64(buf.Len())
		switch {
		case size > limits.Body, in.n > limits.Body: // members may be empty, and without end
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limits.Body)
		case size > ratioFree+limits.Ratio*in.n:
			return nil, fmt.Errorf("%w: %d bytes out of %d", ErrBomb, size, in.n)
		case errors.Is(err, io.EOF):
			return buf.Bytes(), nil
		case err != nil:
			return nil, malformed(err)
		}
	}
}

func malformed(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}
