package ingress

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// asks has a listener without actors read what an application says, and gives the answer and
// the events.
func asks(t *testing.T, say string) (answer string, events []*chivev1.Envelope, log string) {
	t.Helper()
	var text bytes.Buffer
	l := &listener{o: Options{
		Rules: new(atomic.Pointer[Rules]), Recorder: messages.NewRecorder("n", time.Now, 100),
		Log: slog.New(slog.NewTextHandler(&text, nil)), Now: time.Now,
	}, open: map[net.Conn]struct{}{}}
	l.name()
	l.o.Rules.Store(&Rules{Port: config.SocksPort{ExtendedErrors: true}})
	l.o.Recorder.Observe(func(e *chivev1.Envelope) { events = append(events, e) })
	server, client := pair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if a, _ := l.negotiate(l.o.Rules.Load(), server); a != nil {
			t.Errorf("%q is taken", say)
		}
		_ = server.Close()
	}()
	if _, err := io.WriteString(client, say); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	return string(got), events, text.String()
}

func pair(t *testing.T) (server *net.TCPConn, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); client.Close() })
	server, _ = c.(*net.TCPConn)
	return server, client
}

// A request to what no stream can be to ends as a stream does in events, which say why and
// nothing of the target; what is no request is no stream.
func TestTurnedAway(t *testing.T) {
	const onionAddress, refused = chivev1.Outcome_OUTCOME_ONION_ADDRESS, chivev1.Outcome_OUTCOME_REFUSED
	to := func(host string) string {
		return "\x05\x01\x00" + "\x05\x01\x00\x03" + string(rune(len(host))) + host + "\x00\x50"
	}
	connect := func(host string) string { return "CONNECT " + host + " HTTP/1.1\r\n\r\n" }
	long := strings.Repeat("a", 56) + ".onion"
	for _, tt := range []struct {
		say, target, answer string
		out                 chivev1.Outcome
	}{
		{to(long), "aaaa", "\x05\x00\x05\xf6", onionAddress},
		{to("expyuzz4wqqyqhjn.onion"), "expyuzz4", "\x05\x00\x05\xf6", onionAddress},
		{to("a.b.onion"), "a.b", "\x05\x00\x05\xf6", onionAddress},
		{"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + long + "\x00", "aaaa", "\x00\x5b", onionAddress},
		{connect(long + ":80"), "aaaa", "HTTP/1.0 400", onionAddress},
		{to("relay.exit"), "relay", "\x05\x00\x05\x02", refused},
		{to("no host"), "no host", "\x05\x00\x05\x01", refused},
		{connect("relay.exit:80"), "relay", "HTTP/1.0 403", refused},
		{connect("nowhere"), "nowhere", "HTTP/1.0 400", refused},
	} {
		answer, events, log := asks(t, tt.say)
		if !strings.HasPrefix(answer, tt.answer) {
			t.Errorf("%q: answered %q", tt.say, answer)
		}
		if len(events) != 2 || events[0].GetStreamRequested() == nil || events[0].GetStreamRequested().GetListenerId() == "" || events[1].GetStreamEnded().GetOutcome() != tt.out ||
			events[0].GetActorId() != events[1].GetActorId() || events[1].GetCauseId() != events[0].GetId() {
			t.Errorf("%q: %v", tt.say, events)
		}
		for _, e := range events {
			if strings.Contains(e.String(), tt.target) {
				t.Errorf("%q: an event tells the target: %v", tt.say, e)
			}
		}
		if strings.Contains(log, tt.target) || !strings.Contains(log, "request refused") {
			t.Errorf("%q: logged %q", tt.say, log)
		}
	}
	for _, say := range []string{"\x05\x01\x00" + "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x16\x03\x01", "\x05\x01\x01", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		if _, events, _ := asks(t, say); len(events) > 0 {
			t.Errorf("%q: %v", say, events)
		}
	}
}

// So does one of the program that the node runs in.
func TestProgramTurnedAway(t *testing.T) {
	for host, out := range map[string]chivev1.Outcome{
		"aaaa.onion": chivev1.Outcome_OUTCOME_ONION_ADDRESS, "relay.exit": chivev1.Outcome_OUTCOME_REFUSED,
	} {
		var events []*chivev1.Envelope
		o := Options{Rules: new(atomic.Pointer[Rules]), Recorder: messages.NewRecorder("n", time.Now, 100), Now: time.Now}
		o.Rules.Store(&Rules{})
		o.Recorder.Observe(func(e *chivev1.Envelope) { events = append(events, e) })
		var told chivev1.Outcome
		NewProgram(o).Serve(nil, &Ask{ID: "x", Host: host, Port: 80, Tell: func(a Answer) { told = a.Outcome }})
		if told != out || len(events) != 2 || events[0].GetActorId() != "x" || events[0].GetStreamRequested() == nil || events[1].GetStreamEnded().GetOutcome() != out {
			t.Errorf("%s: told %v, %v", host, told, events)
		}
	}
}
