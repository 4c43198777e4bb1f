package target

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what the target saw since it started.
type Stats struct {
	Accepted   int64 `json:"accepted"`    // TCP connections, all ports
	Open       int64 `json:"open"`        // of those, still open
	Requests   int64 `json:"requests"`    // HTTP requests
	BytesIn    int64 `json:"bytes_in"`    // bodies of /upload, and the raw ports
	BytesOut   int64 `json:"bytes_out"`   // bodies of /bytes, and the raw ports
	DNSQueries int64 `json:"dns_queries"` // well formed or not
}

// Server is a running target. Its goroutines end with Close.
type Server struct {
	sockets *Sockets
	http    *http.Server
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{} // open connections of the raw ports

	accepted, open, requests, in, out, dns atomic.Int64
}

// Serve starts a server on the sockets, which it owns from now on.
func Serve(s *Sockets) *Server {
	srv := &Server{sockets: s, conns: map[net.Conn]struct{}{}}
	srv.http = &http.Server{
		Handler:           srv.handler(),
		ConnState:         srv.countHTTP,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // broken uploads are a test's business
	}
	srv.wg.Go(func() { _ = srv.http.Serve(s.HTTP) }) // ends with ErrServerClosed
	srv.raw(s.Echo, srv.echo)
	srv.raw(s.Discard, srv.discard)
	srv.raw(s.Chargen, srv.chargen)
	ip := s.DNS.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	srv.wg.Go(func() { srv.serveDNS(s.DNS, ip) })
	return srv
}

// Close ends every connection and returns when all goroutines have ended.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	err := s.http.Close()
	if cerr := s.sockets.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	s.wg.Wait()
	return err
}

// Stats is a snapshot of the counters.
func (s *Server) Stats() Stats {
	return Stats{
		Accepted: s.accepted.Load(), Open: s.open.Load(), Requests: s.requests.Load(),
		BytesIn: s.in.Load(), BytesOut: s.out.Load(), DNSQueries: s.dns.Load(),
	}
}

func (s *Server) countHTTP(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.accepted.Add(1)
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/bytes/{n}", s.bytes)
	mux.HandleFunc("/delay/{ms}", delay)
	mux.HandleFunc("/echo", s.echoBody)
	mux.HandleFunc("/upload", s.upload)
	mux.HandleFunc("/ip", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.RemoteAddr) })
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Stats())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) bytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "want a number of bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = s.sendSequence(w, n) // an error is the client's going away
}

// sendSequence writes the first n bytes of the fixed sequence, without end when
// n is negative.
func (s *Server) sendSequence(w io.Writer, n int64) (int64, error) {
	buf := make([]byte, chunk)
	off := int64(0)
	for n < 0 || off < n {
		b := buf
		if n >= 0 {
			b = buf[:min(n-off, chunk)]
		}
		Fill(b, off)
		m, err := w.Write(b)
		s.out.Add(int64(m))
		off += int64(m)
		if err != nil {
			return off, err
		}
	}
	return off, nil
}

func delay(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.PathValue("ms"))
	if err != nil || ms < 0 {
		http.Error(w, "want a number of milliseconds", http.StatusBadRequest)
		return
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		fmt.Fprintln(w, "ok")
	case <-r.Context().Done():
	}
}

func (s *Server) echoBody(w http.ResponseWriter, r *http.Request) {
	// Without full duplex, net/http would read the body up before the answer.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	n, _ := io.Copy(w, r.Body)
	s.in.Add(n)
	s.out.Add(n)
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	s.in.Add(n)
	if err != nil {
		http.Error(w, "body ended early", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%x %d\n", h.Sum(nil), n)
}

// raw serves each connection of l with f, in a goroutine of its own.
func (s *Server) raw(l *net.TCPListener, f func(*net.TCPConn)) {
	s.wg.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return // closed
			}
			if !s.track(c) {
				return
			}
			s.wg.Go(func() {
				defer s.untrack(c)
				f(c)
			})
		}
	})
}

func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.conns[c] = struct{}{}
	s.accepted.Add(1)
	s.open.Add(1)
	return true
}

func (s *Server) untrack(c net.Conn) {
	c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.open.Add(-1)
}

// echo keeps sending what is left after the other side's half-close.
func (s *Server) echo(c *net.TCPConn) {
	n, _ := io.Copy(c, c)
	s.in.Add(n)
	s.out.Add(n)
	_ = c.CloseWrite() // it may be gone already
}

func (s *Server) discard(c *net.TCPConn) {
	n, _ := io.Copy(io.Discard, c)
	s.in.Add(n)
}

func (s *Server) chargen(c *net.TCPConn) {
	_, _ = s.sendSequence(c, -1)
}

// Run serves the sockets until ctx ends.
func Run(ctx context.Context, s *Sockets) error {
	srv := Serve(s)
	<-ctx.Done()
	return srv.Close()
}

// IP is the address the sockets are bound to.
func (s *Sockets) IP() netip.Addr {
	return s.HTTP.Addr().(*net.TCPAddr).AddrPort().Addr()
}
