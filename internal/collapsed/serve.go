package collapsed

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"chive/internal/relaydouble"
	"chive/tor/cell"
	"chive/tor/netdoc/netdoctest"
)

// The names that an application may connect to, at any port.
const (
	sourceDomain = ".source.test"
	sinkDomain   = ".sink.test"
	pacedDomain  = ".paced.test"
	HoldName     = "hold.test"
)

// SourceName is a target that sends n bytes and ends the stream.
func SourceName(n int64) string { return strconv.FormatInt(n, 10) + sourceDomain }

// SinkName is a target that sends one byte when n bytes have come, and ends the stream.
func SinkName(n int64) string { return strconv.FormatInt(n, 10) + sinkDomain }

// PacedRate is what a paced target sends a second, in bytes: what a circuit of the public
// network brings on a good day. It comes in bursts, as relays' schedulers make them.
const (
	PacedRate  = 8 << 20
	pacedEvery = 10 * time.Millisecond
)

// PacedName is a target that sends n bytes at PacedRate and ends the stream.
func PacedName(n int64) string { return strconv.FormatInt(n, 10) + pacedDomain }

// serve is every exit's far end.
func serve(s *relaydouble.Stream) {
	host, _, _ := net.SplitHostPort(s.Target())
	if host == HoldName {
		hold(s)
		return
	}
	if n, ok := size(host, sourceDomain); ok {
		relaydouble.Source(n)(s)
		return
	}
	if n, ok := size(host, pacedDomain); ok {
		paced(s, n)
		return
	}
	if n, ok := size(host, sinkDomain); ok {
		sink(s, n)
		return
	}
	s.EndWith(cell.EndResolveFailed)
}

func size(host, domain string) (int64, bool) {
	number, ok := strings.CutSuffix(host, domain)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(number, 10, 64)
	return n, err == nil && n >= 0
}

// hold is little to keep for each of many streams.
func hold(s *relaydouble.Stream) {
	var scrap [1]byte
	for {
		if _, err := s.Read(scrap[:]); err != nil {
			return
		}
	}
}

func paced(s *relaydouble.Stream, n int64) {
	burst := make([]byte, int64(PacedRate)*int64(pacedEvery)/int64(time.Second))
	tick := time.NewTicker(pacedEvery)
	defer tick.Stop()
	for n > 0 {
		sent, err := s.Write(burst[:min(n, int64(len(burst)))])
		if err != nil {
			return
		}
		n -= int64(sent)
		<-tick.C
	}
}

func sink(s *relaydouble.Stream, n int64) {
	buf := make([]byte, 256<<10)
	for n > 0 {
		got, err := s.Read(buf)
		if err != nil {
			return
		}
		n -= int64(got)
	}
	_, _ = s.Write([]byte{0}) // the client may have gone: then nobody waits for it
}

// documents are what a directory of the network serves.
type documents struct {
	consensus, certs []byte
	microdescs       map[string][]byte // by digest, as it stands in requests
}

func documentsOf(made *netdoctest.Network) *documents {
	d := &documents{consensus: made.Consensus, certs: made.Certs, microdescs: map[string][]byte{}}
	for _, r := range made.Relays {
		d.microdescs[r.MD.String()] = r.Microdesc
	}
	return d
}

// directory answers one request (dir-spec §6).
func (n *Network) directory(s *relaydouble.Stream) {
	asked, err := http.ReadRequest(bufio.NewReader(s))
	if err != nil {
		return
	}
	body, ok := n.docs.find(strings.TrimSuffix(asked.URL.Path, ".z"))
	if !ok {
		_, _ = s.Write([]byte("HTTP/1.0 404 Not found\r\n\r\n"))
		return
	}
	head := fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body))
	_, _ = s.Write(append([]byte(head), body...)) // a client that has gone asks again
}

func (d *documents) find(path string) ([]byte, bool) {
	switch {
	case strings.HasPrefix(path, "/tor/status-vote/current/consensus-microdesc"):
		return d.consensus, true
	case strings.HasPrefix(path, "/tor/keys/"):
		return d.certs, true
	}
	digests, ok := strings.CutPrefix(path, "/tor/micro/d/")
	if !ok {
		return nil, false
	}
	var all []byte
	for digest := range strings.SplitSeq(digests, "-") {
		all = append(all, d.microdescs[digest]...)
	}
	return all, len(all) > 0
}
