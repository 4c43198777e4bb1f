package e2e

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"chive/messages"
	"chive/messages/chivev1"
)

// scrape asks a MetricsPort, as Prometheus does.
func scrape(t *testing.T, at string) map[string]*dto.MetricFamily {
	t.Helper()
	r, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// metric is the value of the one series of a family with labels, given as name=value; a
// histogram's is its count.
func metric(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		all := len(has) == len(labels)
		for _, l := range labels {
			all = all && has[l]
		}
		switch {
		case !all:
		case m.Counter != nil:
			return m.GetCounter().GetValue()
		case m.Histogram != nil:
			return float64(m.GetHistogram().GetSampleCount())
		default:
			return m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no %s%v", name, labels)
	return 0
}

// TestMetrics: what a MetricsPort tells while a client of C tor visits a hosted service.
func TestMetrics(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir, at := filepath.Join(t.TempDir(), "open"), freePort(t)
	lines := append(l.ClientTorrc(), "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http, "HiddenServicePort 7 unix:"+unixEcho(t),
		"MetricsPort "+at, "MetricsPortPolicy accept 127.0.0.1")
	c := hosts(t, t.TempDir(), 2, lines...)
	address := addressOf(t, dir)
	onion := "onion=" + strings.TrimSuffix(address, ".onion")

	before := scrape(t, at)
	for name, want := range map[string]float64{
		"tor_hs_intro_num_total": 0, "tor_hs_rdv_num_total": 0, "tor_hs_rdv_established_count": 0, "tor_hs_intro_established_count": 3,
		"tor_hs_rend_circ_build_time": 0, "tor_hs_pow_suggested_effort": 0, "tor_hs_rdv_pow_pqueue_count": 0,
	} {
		if got := metric(t, before, name, onion); got != want {
			t.Errorf("before anybody came %s is %v, want %v", name, got, want)
		}
	}
	if n := metric(t, before, "tor_hs_intro_circ_build_time", onion); n < 3 {
		t.Errorf("%v circuits to introduction points were measured", n)
	}

	const size = 1 << 20
	tor := ctor(t, l.Network, "visitor")
	tor.fetchOnion(t, "", address, size)
	tor.uploadOnion(t, address, size)
	unixEchoes(t, tor, address)
	c.eventually(t, "the client is met", patience, func() bool {
		return c.count(func(e *chivev1.Envelope) bool { return e.GetHostingMet() != nil }) > 0
	})
	met := float64(c.count(func(e *chivev1.Envelope) bool { return e.GetHostingMet() != nil }))
	after := scrape(t, at)
	for name, least := range map[string]float64{
		"tor_hs_intro_num_total": met, "tor_hs_rdv_num_total": met, "tor_hs_rdv_established_count": 1, "tor_hs_rend_circ_build_time": met,
		"tor_hs_intro_established_count": 3,
	} {
		if got := metric(t, after, name, onion); got < least {
			t.Errorf("%s is %v, want %v and more", name, got, least)
		}
	}
	for port, least := range map[string][2]float64{"80": {size, size}, "7": {23 * 40_000, 23 * 40_000}} {
		to, from := metric(t, after, "tor_hs_app_write_bytes_total", onion, "port="+port), metric(t, after, "tor_hs_app_read_bytes_total", onion, "port="+port)
		if to < least[0] || from < least[1] || to > 3*size || from > 3*size {
			t.Errorf("port %s: %v bytes to the application, %v from it", port, to, from)
		}
	}
	for _, reason := range []string{"bad_auth_key", "invalid_introduce2", "subcredential", "replay", "pow", "crowded"} {
		if n := metric(t, after, "tor_hs_intro_rejected_intro_req_count", onion, "reason="+reason); n != 0 {
			t.Errorf("%v introductions were rejected: %s", n, reason)
		}
	}
	c.eventually(t, "the service is verified", patience, func() bool {
		for _, m := range scrape(t, at)["chive_onion_services"].GetMetric() {
			if m.GetGauge().GetValue() == 1 && m.GetLabel()[0].GetValue() == "up" {
				return true
			}
		}
		return false
	})
	if n := metric(t, after, "chive_bootstrap_ratio"); n != 1 {
		t.Errorf("the start is at %v", n)
	}
	if down, up := metric(t, after, "chive_bandwidth_bytes_total", "direction=down"), metric(t, after, "chive_bandwidth_bytes_total", "direction=up"); down < 2*size || up < 2*size {
		t.Errorf("%v bytes down, %v up", down, up)
	}
	ended := float64(c.count(func(e *chivev1.Envelope) bool { return e.GetStreamEnded() != nil }))
	told := 0.0
	for _, m := range scrape(t, at)["chive_streams_ended_total"].GetMetric() {
		told += m.GetCounter().GetValue()
	}
	if told < ended {
		t.Errorf("%v of %v streams are told", told, ended)
	}
	c.labelsNameNobody(t, l, after)
	c.policyHolds(t, at)
}

// labelsNameNobody: beside tor_hs_*, no label has the service's address; none has a relay or
// an address of a machine.
func (c *client) labelsNameNobody(t *testing.T, l *hostingLab, families map[string]*dto.MetricFamily) {
	t.Helper()
	for name, f := range families {
		for _, m := range f.GetMetric() {
			for _, label := range m.GetLabel() {
				v := label.GetValue()
				if label.GetName() == "onion" && strings.HasPrefix(name, "tor_hs_") {
					continue
				}
				if len(v) > 32 || strings.Contains(v, ":") || strings.Contains(v, l.Target().IP.String()) {
					t.Errorf("%s{%s=%q}", name, label.GetName(), v)
				}
			}
		}
	}
}

// policyHolds: who may read is changed in the running node.
func (c *client) policyHolds(t *testing.T, at string) {
	t.Helper()
	result, err := c.Control().ProposeConfig(t.Context(), messages.ConfigProposal{Source: messages.ConfigFromControl, Lines: []messages.ConfigLine{
		{Name: "MetricsPortPolicy", Value: "reject 127.0.0.1"}, {Name: "MetricsPortPolicy", Value: "accept *"},
	}})
	if err != nil || !result.Applied {
		t.Fatal(result, err)
	}
	r, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusForbidden || strings.Contains(string(body), "chive_") {
		t.Errorf("%s %s %v", r.Status, body, err)
	}
}
