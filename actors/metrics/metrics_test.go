package metrics

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"chive/actors/hosting"
)

var sample = Node{
	Version: "1.2", Started: time.Unix(1_700_000_000, 500e6), Bootstrap: 100, Reachable: true, Connections: 2, Circuits: 3, Building: 1, Streams: 4, Waiting: 5,
	BuildTimeout: 1500 * time.Millisecond, ConnectionEnds: map[string]uint64{"ok": 1}, CircuitEnds: map[string]uint64{"ok": 2, "timeout": 1},
	StreamEnds: map[string]uint64{"target-refused": 7}, Down: 100, Up: 10, Queued: 8, Pressed: true, Events: 99, Dropped: 1, Revision: 6,
}

// services are two that are hosted, one that has no address yet, and one whose key another
// has already.
func services() ([]hosting.Status, error) {
	a := strings.Repeat("a", 56)
	return []hosting.Status{
		{State: "published", Address: a + ".onion", Clients: 2, Waiting: 3, Effort: 4, Health: &hosting.Health{Verified: time.Unix(1_700_000_000, 0)}, Points: []hosting.Point{{State: "up"}, {State: "building"}, {State: "up"}}},
		{State: "published", Address: strings.Repeat("b", 56) + ".onion"},
		{State: "published", Address: a + ".onion"},
		{State: "starting"},
	}, nil
}

// What is chive's own keeps to Prometheus' conventions, and says what the node says.
func TestNode(t *testing.T) {
	c := &nodeCollector{func() Node { return sample }}
	problems, err := testutil.CollectAndLint(c)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	for name, want := range map[string]string{
		"chive_start_time_seconds":                              "1.7000000005e+09",
		"chive_network_reachable":                               "1",
		"chive_draining":                                        "0",
		"chive_bootstrap_ratio":                                 "1",
		"chive_circuit_build_timeout_seconds":                   "1.5",
		"chive_queue_pressed":                                   "1",
		"chive_circuits{state=\"building\"}":                    "1",
		"chive_circuits_ended_total{outcome=\"timeout\"}":       "1",
		"chive_streams_ended_total{outcome=\"target-refused\"}": "7",
		"chive_bandwidth_bytes_total{direction=\"up\"}":         "10",
		"chive_consensus_valid_until_timestamp_seconds":         "0",
		"chive_config_revision":                                 "6",
	} {
		if text := told(t, c); !strings.Contains(text, "\n"+name+" "+want+"\n") {
			t.Errorf("no %s %s in\n%s", name, want, text)
		}
	}
}

// told is what a collector tells.
func told(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestHosting(t *testing.T) {
	text := told(t, &hostingCollector{services})
	label := `{onion="` + strings.Repeat("a", 56) + `"} `
	for _, line := range []string{
		"tor_hs_intro_established_count" + label + "2", "tor_hs_rdv_established_count" + label + "2",
		"tor_hs_rdv_pow_pqueue_count" + label + "3", "tor_hs_pow_suggested_effort" + label + "4",
		`tor_hs_verified_timestamp_seconds{onion="` + strings.Repeat("a", 56) + `"} 1.7e+09`,
		`chive_onion_services{state="published"} 3`, `chive_onion_services{state="starting"} 1`,
	} {
		if strings.Count(text, line+"\n") != 1 {
			t.Errorf("not once %s in\n%s", line, text)
		}
	}
	bad := &hostingCollector{func() ([]hosting.Status, error) { return nil, errors.New("away") }}
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(bad); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Gather(); err == nil {
		t.Error("a failure was told as none")
	}
}

// Every bucket of a histogram holds those before it.
func TestBuildTimes(t *testing.T) {
	h := hosting.Histogram{Counts: [...]uint64{1, 2, 0, 0, 3, 4}, Sum: 90 * time.Second}
	d := desc("tor_hs_x", "Some.", "onion")
	text := told(t, single{buildTimes(d, &h, "o")})
	for _, line := range []string{
		`tor_hs_x_bucket{onion="o",le="1000"} 1`, `tor_hs_x_bucket{onion="o",le="5000"} 3`, `tor_hs_x_bucket{onion="o",le="30000"} 3`,
		`tor_hs_x_bucket{onion="o",le="60000"} 6`, `tor_hs_x_bucket{onion="o",le="+Inf"} 10`, `tor_hs_x_sum{onion="o"} 90000`, `tor_hs_x_count{onion="o"} 10`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
}

// single collects one metric.
type single struct{ m prometheus.Metric }

func (o single) Describe(out chan<- *prometheus.Desc) { out <- o.m.Desc() }
func (o single) Collect(out chan<- prometheus.Metric) { out <- o.m }

// served accepts connections on loopback, and answers as Serve does.
func served(t *testing.T, sources Sources, accepted bool) string {
	t.Helper()
	s, err := New(sources, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.Serve(c, accepted)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// ask sends a request and gives the whole answer.
func ask(t *testing.T, at, request string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, request) // it may be refused before it was read
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	return r
}

func TestServe(t *testing.T) {
	sources := Sources{func() Node { return sample }, services}
	at := served(t, sources, true)
	port := at[strings.LastIndexByte(at, ':'):]
	get := func(target, host string) string {
		return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, host)
	}
	// As much as is read, with net/http's 4096 of its own: what is left unread when the
	// connection is closed may take the answer away from who is late to read it.
	long := "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: "
	long += strings.Repeat("x", maxHeader+4096-len(long))
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"asked":                     {get("/metrics", at), 200},
		"asked with a query":        {get("/metrics?x=1", "localhost"), 200},
		"asked of localhost":        {get("/metrics", "localhost"+port), 200},
		"asked over IPv6":           {get("/metrics", "[::1]"+port), 200},
		"asked in HTTP/1.0":         {"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", 200},
		"another path":              {get("/", at), 404},
		"a path beneath":            {get("/metrics/x", at), 404},
		"profiles are not there":    {get("/debug/pprof/", at), 404},
		"a name of the web":         {get("/metrics", "rebound.example"+port), 403},
		"a name that looks local":   {get("/metrics", "localhost.example"), 403},
		"no host":                   {"GET /metrics HTTP/1.0\r\n\r\n", 403},
		"another method":            {"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
		"HEAD":                      {"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
		"a header that is too long": {long, 431},
		"no HTTP":                   {"\x05\x01\x00 nothing\r\n\r\n", 400},
	} {
		r := ask(t, at, tt.request)
		if r.StatusCode != tt.status || !r.Close {
			t.Errorf("%s: %s, the connection stays: %v", name, r.Status, !r.Close)
		}
		if tt.status != 200 {
			continue
		}
		p := expfmt.NewTextParser(model.LegacyValidation)
		families, err := p.TextToMetricFamilies(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"chive_build_info", "tor_hs_rdv_established_count", "go_goroutines", "process_start_time_seconds"} {
			if families[name] == nil {
				t.Errorf("no %s", name)
			}
		}
	}
	// One whom the policy does not accept is told so.
	r := ask(t, served(t, sources, false), get("/metrics", "localhost"))
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != 403 || !strings.Contains(string(body), "MetricsPortPolicy") || strings.Contains(string(body), "chive_") {
		t.Errorf("%s: %s", r.Status, body)
	}
	// What cannot be gathered is left out, the rest is told.
	sources.Services = func() ([]hosting.Status, error) { return nil, errors.New("away") }
	r = ask(t, served(t, sources, true), get("/metrics", "localhost"))
	body, _ = io.ReadAll(r.Body)
	if r.StatusCode != 200 || strings.Contains(string(body), "tor_hs_") || !strings.Contains(string(body), "chive_circuits") {
		t.Errorf("%s: %s", r.Status, body)
	}
}

// Who is refused is answered when he has asked: net/http's client, which Prometheus uses, takes
// an answer that comes before for one to nobody, and gives its user no status.
func TestRefusedWhenAsked(t *testing.T) {
	s, err := New(Sources{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe() // each end waits for the other
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(server, false) }()
	defer func() { _ = client.Close(); <-done }()
	if _, err := io.WriteString(client, "G"); err != nil {
		t.Fatalf("he cannot ask: %v", err)
	}
	line, err := bufio.NewReader(client).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 403 ") {
		t.Errorf("%q, %v", line, err)
	}
}
