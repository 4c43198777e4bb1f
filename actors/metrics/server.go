package metrics

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits on who asks. A connection is for one request.
const (
	maxHeader  = 8 << 10 // bytes
	headerTime = 10 * time.Second
	answerTime = 30 * time.Second // from the end of the header
	refuseTime = 5 * time.Second
	maxAtOnce  = 4 // answers; more are told 503
)

// Server answers requests.
type Server struct{ http *http.Server }

// New makes a server that tells of what sources has.
func New(sources Sources, log *slog.Logger) (*Server, error) {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		&nodeCollector{sources.Node}, &hostingCollector{sources.Services},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	metrics := promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog{log}, MaxRequestsInFlight: maxAtOnce,
	})
	s := &Server{&http.Server{
		Handler:           only(metrics),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime,
		WriteTimeout:      answerTime,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	s.http.SetKeepAlivesEnabled(false)
	return s, nil
}

// errorLog has the library say what it could not gather.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Println(v ...any) {
	for _, x := range v {
		if err, ok := x.(error); ok {
			e.log.Warn("some metrics cannot be told", "err", err)
		}
	}
}

// only lets GET /metrics through.
func only(metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !meant(r):
			http.Error(w, "on loopback, ask for an address or for localhost", http.StatusForbidden)
		case r.URL.Path != "/metrics":
			http.Error(w, "here is only /metrics", http.StatusNotFound)
		case r.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
		default:
			metrics.ServeHTTP(w, r)
		}
	})
}

// meant reports whether a request to a loopback address was sent there by its address, or
// as localhost. A browser on this machine sends requests of any web page whose name
// resolves to loopback, and would give that page the answer.
func meant(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if ok && !at.IP.IsLoopback() {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// Serve answers the one request of a connection and closes it. What a client
// says who is not accepted is not looked at.
func (s *Server) Serve(c net.Conn, accepted bool) {
	defer c.Close()
	if !accepted {
		refuse(c)
		return
	}
	_ = s.http.Serve(&one{conn: c, closed: make(chan struct{})}) // always fails when the connection is closed
}

func refuse(c net.Conn) {
	const text = "MetricsPortPolicy does not accept your address\n"
	if c.SetDeadline(time.Now().Add(refuseTime)) != nil {
		return
	}
	// He may be gone, at any of these. That he asks is waited for: clients of HTTP take an
	// answer that comes before for nobody's.
	_, _ = c.Read(make([]byte, 1))
	_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"+text)
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, maxHeader) // what is left unread when c is closed would take the answer away
	}
}

// one is a listener at which one connection comes.
type one struct {
	conn   net.Conn // nil: it came
	closed chan struct{}
}

// Accept implements net.Listener: the second call waits until the connection is closed.
func (o *one) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return &watched{Conn: c, closed: o.closed}, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (*one) Close() error { return nil }

// Addr implements net.Listener.
func (o *one) Addr() net.Addr { return o.conn.LocalAddr() }

// watched tells when it is closed.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

// CloseWrite tells the client that the answer is whole.
func (w *watched) CloseWrite() error {
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (w *watched) Close() error {
	err := w.Conn.Close()
	w.once.Do(func() { close(w.closed) })
	return err
}
