package node

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/config/logging"
	"chive/messages/chivev1"
)

// notices passes on the notices of a log.
type notices struct{ got chan string }

func (h notices) Enabled(_ context.Context, l slog.Level) bool { return l == logging.LevelNotice }
func (h notices) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h notices) WithGroup(string) slog.Handler                { return h }
func (h notices) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	h.got <- text
	return nil
}

// noted waits for a notice that begins so.
func (h notices) noted(t *testing.T, begins string) string {
	t.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for {
		select {
		case text := <-h.got:
			if strings.HasPrefix(text, begins) {
				return text
			}
		case <-late.C:
			t.Fatalf("no notice %q", begins)
		}
	}
}

// A drained node closes what streams come in by, can be watched all the same, says that it is
// drained, and takes streams again. It follows the configuration meanwhile.
func TestDrainedNodeIsSeen(t *testing.T) {
	events := make(chan *chivev1.Envelope, 64)
	log := notices{make(chan string, 256)}
	socks, dns, watched, moved := free(t), free(t), free(t), free(t)
	n := runsWithLog(t, log, socks, func(e *chivev1.Envelope) {
		if e.GetListenerOpened() != nil || e.GetListenerClosed() != nil {
			events <- e
		}
	})
	opens := func(want ...string) {
		t.Helper()
		var got []string
		for range want {
			got = append(got, (<-events).GetListenerOpened().GetProtocol())
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("%q were opened, want %q", got, want)
		}
	}
	closes := func(n int) {
		t.Helper()
		for range n {
			if e := <-events; e.GetListenerClosed() == nil {
				t.Fatalf("%v, and not closed", e)
			}
		}
	}
	moves := func(protocol string) { // in either order
		t.Helper()
		one, other := <-events, <-events
		if one.GetListenerClosed() != nil {
			one, other = other, one
		}
		if one.GetListenerOpened().GetProtocol() != protocol || other.GetListenerClosed() == nil {
			t.Fatalf("%v and %v, want one of %s that moves", one, other, protocol)
		}
	}
	draining := func(at, want string) {
		t.Helper()
		r, err := http.Get("http://" + at + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), "\nchive_draining "+want+"\n") {
			t.Errorf("%v, not draining %s:\n%s", err, want, body)
		}
	}
	drain := func(request string) {
		t.Helper()
		if answer, err := n.answerDrain([]byte(request)); err != nil || !strings.HasPrefix(string(answer), `{"draining":`) {
			t.Fatalf("%s, %v", answer, err)
		}
	}
	lines := func(metrics string) []string {
		return []string{"SocksPort " + socks, "DNSPort " + dns, "MetricsPort " + metrics, "MetricsPortPolicy accept 127.0.0.1"}
	}
	opens("socks")
	must(t, n, lines(watched)...)
	opens("dns", "metrics")
	draining(watched, "0")
	if n.Status().Draining {
		t.Error("it drains from the start")
	}

	drain("")
	drain("{}") // as who waits asks again
	closes(2)
	log.noted(t, "asked to take no new streams")
	if !n.Status().Draining || reachable("tcp", socks) || reachable("tcp", dns) {
		t.Error("the status or a listener is of a node that takes streams")
	}
	draining(watched, "1")
	must(t, n, lines(moved)...)
	moves("metrics")
	draining(moved, "1")
	if reachable("tcp", watched) || reachable("tcp", socks) {
		t.Error("a reload opened, or left, what is not to be there")
	}

	drain(`{"resume":true}`)
	opens("dns", "socks")
	log.noted(t, "asked to take streams again")
	draining(moved, "0")
	if n.Status().Draining || !reachable("tcp", socks) {
		t.Error("it takes no streams again")
	}
	if left := len(log.got); left > 0 {
		for range left {
			if text := <-log.got; strings.HasPrefix(text, "asked") {
				t.Errorf("told more than once: %s", text)
			}
		}
	}
}

// A node that ends takes nothing again: its introduction points are gone, and those that other
// nodes would list for it would lead nowhere.
func TestNoResumeAtTheEnd(t *testing.T) {
	n := runsWithLog(t, notices{make(chan string, 256)}, free(t), func(*chivev1.Envelope) {})
	if err := n.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if answer, err := n.answerDrain([]byte(`{"resume":true}`)); err == nil || !n.Status().Draining {
		t.Errorf("it takes streams again: %s", answer)
	}
	if _, err := n.answerDrain(nil); err != nil {
		t.Errorf("drained again: %v", err)
	}
}
