package ingress

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// lone is a listener without actors; it writes its log and tells its events there.
func lone(p config.SocksPort, log io.Writer, events *[]*chivev1.Envelope) *listener {
	l := &listener{o: Options{
		Rules: new(atomic.Pointer[Rules]), Recorder: messages.NewRecorder("n", time.Now, 100),
		Log: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now,
	}, open: map[net.Conn]struct{}{}}
	l.name()
	l.o.Rules.Store(&Rules{Port: p})
	l.o.Recorder.Observe(func(e *chivev1.Envelope) { *events = append(*events, e) })
	return l
}

// asks has a listener without actors read what an application says, and gives the answer and
// the events.
func asks(t *testing.T, say string) (answer string, events []*chivev1.Envelope, log string) {
	t.Helper()
	var text bytes.Buffer
	l := lone(config.SocksPort{ExtendedErrors: true}, &text, &events)
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
		leaves(t, tt.say, tt.target, tt.out, events, log)
	}
	for _, say := range []string{"\x05\x01\x00" + "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x16\x03\x01", "\x05\x01\x01", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		if _, events, _ := asks(t, say); len(events) > 0 {
			t.Errorf("%q: %v", say, events)
		}
	}
}

// leaves wants the trace of one request that was turned away, without its target.
func leaves(t *testing.T, say, target string, out chivev1.Outcome, events []*chivev1.Envelope, log string) {
	t.Helper()
	if len(events) != 2 || events[0].GetStreamRequested() == nil || events[0].GetStreamRequested().GetListenerId() == "" || events[1].GetStreamEnded().GetOutcome() != out ||
		events[0].GetActorId() != events[1].GetActorId() || events[1].GetCauseId() != events[0].GetId() {
		t.Errorf("%q: %v", say, events)
	}
	for _, e := range events {
		if strings.Contains(e.String(), target) {
			t.Errorf("%q: an event tells the target: %v", say, e)
		}
	}
	if strings.Contains(log, target) || !strings.Contains(log, "request refused") {
		t.Errorf("%q: logged %q", say, log)
	}
}

// So does a question at a DNSPort for the address of such a name, over UDP and TCP. One for what
// Tor does not resolve is none.
func TestQuestionTurnedAway(t *testing.T) {
	dns := config.SocksPort{Protocol: config.DNS}
	overTCP := func(t *testing.T, question []byte) (answer []byte, events []*chivev1.Envelope, log string) {
		var text bytes.Buffer
		l := lone(dns, &text, &events)
		server, client := pair(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.questions(nil, server)
		}()
		if _, err := client.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)); err != nil {
			t.Fatal(err)
		}
		if err := client.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(client)
		if err != nil || len(answer) < 2 {
			t.Fatalf("%x, %v", answer, err)
		}
		<-done
		return answer[2:], events, text.String()
	}
	overUDP := func(t *testing.T, question []byte) (answer []byte, events []*chivev1.Envelope, log string) {
		var text bytes.Buffer
		l := lone(dns, &text, &events)
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = l.answer(nil, udp) // ends when it is closed
		}()
		client, err := net.Dial("udp", udp.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Write(question); err != nil {
			t.Fatal(err)
		}
		answer = make([]byte, 512)
		n, err := client.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		_ = udp.Close()
		<-done
		return answer[:n], events, text.String()
	}
	for way, ask := range map[string]func(*testing.T, []byte) ([]byte, []*chivev1.Envelope, string){"TCP": overTCP, "UDP": overUDP} {
		for name, out := range map[string]chivev1.Outcome{
			strings.Repeat("a", 56) + ".onion.": chivev1.Outcome_OUTCOME_ONION_ADDRESS, "expyuzz4wqqyqhjn.onion.": chivev1.Outcome_OUTCOME_ONION_ADDRESS,
			"relay.exit.": chivev1.Outcome_OUTCOME_REFUSED, "192.0.2.1.": chivev1.Outcome_OUTCOME_REFUSED,
		} {
			answer, events, log := ask(t, dnsQuestion(t, name, dnsmessage.TypeA))
			if len(answer) < 12 || dnsmessage.RCode(answer[3]&0xf) != dnsmessage.RCodeNameError {
				t.Errorf("%s: %s is answered %x", way, name, answer)
			}
			leaves(t, way+" "+name, strings.TrimSuffix(name, "."), out, events, log)
		}
		if _, events, log := ask(t, dnsQuestion(t, "a.example.", dnsmessage.TypeMX)); len(events) > 0 || log != "" {
			t.Errorf("%s: %v, %q", way, events, log)
		}
	}
}

func dnsQuestion(t *testing.T, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	out, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return out
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
