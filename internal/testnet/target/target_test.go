package target

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"chive/internal/leak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { leak.Main(m) }

// start runs a target on an address of 127.0.0.0/12, which no network claims.
func start(t *testing.T, ip string) *Server {
	t.Helper()
	s, err := Listen(netip.MustParseAddr(ip))
	if err != nil {
		t.Fatal(err)
	}
	srv := Serve(s)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func do(t *testing.T, method, url string, body io.Reader) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

func TestHTTP(t *testing.T) {
	srv := start(t, "127.14.0.1")
	base := "http://" + srv.sockets.HTTP.Addr().String()
	const size = 3*chunk + 5
	code, got := do(t, http.MethodGet, fmt.Sprintf("%s/bytes/%d", base, size), nil)
	if code != 200 || len(got) != size || sha256.Sum256(got) != Sum(size) {
		t.Errorf("/bytes: status %d, %d bytes, hash equal %t", code, len(got), sha256.Sum256(got) == Sum(size))
	}
	code, body := do(t, http.MethodPost, base+"/upload", bytes.NewReader(got))
	if want := fmt.Sprintf("%x %d\n", Sum(size), size); code != 200 || string(body) != want {
		t.Errorf("/upload: status %d, %q, want %q", code, body, want)
	}
	if _, body = do(t, http.MethodPost, base+"/echo", bytes.NewReader(got)); !bytes.Equal(body, got) {
		t.Errorf("/echo gave %d bytes, not what it was sent", len(body))
	}
	if _, body = do(t, http.MethodGet, base+"/delay/1", nil); string(body) != "ok\n" {
		t.Errorf("/delay: %q", body)
	}
	if _, body = do(t, http.MethodGet, base+"/ip", nil); !strings.HasPrefix(string(body), "127.") {
		t.Errorf("/ip: %q", body)
	}
	for _, bad := range []string{"/bytes/-1", "/bytes/x", "/delay/x", "/delay/-1"} {
		if code, _ := do(t, http.MethodGet, base+bad, nil); code != 400 {
			t.Errorf("%s: status %d", bad, code)
		}
	}
	if s := srv.Stats(); s.Requests != 9 || s.BytesOut != 2*size || s.BytesIn != 2*size {
		t.Errorf("stats: %+v", s)
	}
}

func dial(t *testing.T, a net.Addr) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp4", nil, a.(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEchoSendsTheRestAfterHalfClose(t *testing.T) {
	srv := start(t, "127.14.0.2")
	c := dial(t, srv.sockets.Echo.Addr())
	sent := make([]byte, 100_000)
	Fill(sent, 0)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes back of %d, error %v", len(got), len(sent), err)
	}
}

func TestChargenSendsTheSequenceAndDiscardNothing(t *testing.T) {
	srv := start(t, "127.14.0.3")
	got := make([]byte, chunk+9)
	if _, err := io.ReadFull(dial(t, srv.sockets.Chargen.Addr()), got); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got) != Sum(int64(len(got))) {
		t.Error("chargen sent something else than the sequence")
	}
	c := dial(t, srv.sockets.Discard.Addr())
	if _, err := c.Write(got); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
		t.Errorf("discard answered %d bytes, error %v", len(b), err)
	}
}

func TestSocketsSurviveHandingOver(t *testing.T) {
	s, err := Listen(netip.MustParseAddr("127.14.0.4"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = FromFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	srv := Serve(s)
	defer srv.Close()
	if code, body := do(t, http.MethodGet, "http://"+s.HTTP.Addr().String()+"/bytes/3", nil); code != 200 || len(body) != 3 {
		t.Errorf("status %d, %q", code, body)
	}
	if _, err := FromFiles(nil); err == nil {
		t.Error("no files made sockets")
	}
}

func TestFillIsOneSequence(t *testing.T) {
	whole := make([]byte, 4096)
	Fill(whole, 0)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(whole)).Draw(t, "from")
		to := rapid.IntRange(from, len(whole)).Draw(t, "to")
		part := make([]byte, to-from)
		Fill(part, int64(from))
		if !bytes.Equal(part, whole[from:to]) {
			t.Fatalf("bytes %d to %d differ", from, to)
		}
	})
}

func query(name string, typ uint16) []byte {
	q := []byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = binary.BigEndian.AppendUint16(append(q, 0), typ)
	return append(q, 0, 1)
}

func TestDNS(t *testing.T) {
	ip := netip.MustParseAddr("127.14.0.5")
	for _, c := range []struct {
		name  string
		typ   uint16
		rcode byte
		data  string // of the answer, "" for none
	}{
		{"target.test", typeA, rcodeNoError, "\x7f\x0e\x00\x05"},
		{"AnY.ThInG.TeSt", typeA, rcodeNoError, "\x7f\x0e\x00\x05"},
		{"target.test", 28, rcodeNoError, ""}, // AAAA
		{"nx.test", typeA, rcodeNXDomain, ""},
		{"NX.test", typeA, rcodeNXDomain, ""},
		{"example.com", typeA, rcodeNXDomain, ""},
		{"test", typeA, rcodeNXDomain, ""},
		{"1.0.14.127.in-addr.arpa", typePTR, rcodeNoError, "\x06target\x04test\x00"},
	} {
		q := query(c.name, c.typ)
		a := answer(q, ip)
		if len(a) < len(q) || a[3]&0xf != c.rcode || a[2]&0x80 == 0 || !bytes.Equal(a[:2], q[:2]) {
			t.Errorf("%s %d: answer %x", c.name, c.typ, a)
			continue
		}
		if !bytes.Equal(a[headerLength:len(q)], q[headerLength:]) {
			t.Errorf("%s: the question came back changed", c.name)
		}
		rest := a[len(q):]
		if (a[7] == 1) != (c.data != "") || !strings.HasSuffix(string(rest), c.data) || (c.data == "" && len(rest) > 0) {
			t.Errorf("%s %d: answer section %x", c.name, c.typ, rest)
		}
	}
	for name, q := range map[string][]byte{
		"empty":         {},
		"a response":    func() []byte { q := query("a.test", 1); q[2] |= 0x80; return q }(),
		"two questions": func() []byte { q := query("a.test", 1); q[5] = 2; return q }(),
		"no type":       query("a.test", 1)[:18],
		"compressed":    append(query("", 1)[:12], 0xc0, 12, 0, 1, 0, 1),
	} {
		if a := answer(q, ip); a != nil {
			t.Errorf("%s: answered %x", name, a)
		}
	}
}

func TestDNSOverUDP(t *testing.T) {
	srv := start(t, "127.14.0.5")
	c, err := net.DialUDP("udp4", nil, srv.sockets.DNS.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(query("x.test", typeA)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxDNSMessage)
	n, err := c.Read(buf)
	if err != nil || !bytes.HasSuffix(buf[:n], []byte{127, 14, 0, 5}) {
		t.Errorf("answer %x, error %v", buf[:n], err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(query("target.test", typeA))
	f.Add(query("1.0.14.127.in-addr.arpa", typePTR))
	f.Add(append(query("", 1)[:12], 0xc0, 12))
	ip := netip.MustParseAddr("127.14.0.1")
	f.Fuzz(func(t *testing.T, q []byte) {
		a := answer(q, ip)
		if a != nil && (len(a) > len(q)+32 || a[2]&0x80 == 0 || !bytes.Equal(a[:2], q[:2])) {
			t.Errorf("answer %x", a)
		}
	})
}
