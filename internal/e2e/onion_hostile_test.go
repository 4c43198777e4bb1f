package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"chive/internal/relaydouble"
	"chive/internal/testnet"
	"chive/internal/testnet/target"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/onion/relaymsg"
)

// onionDouble is one relay among C tor's that is directory, introduction point and rendezvous
// point as mode says.
type onionDouble struct {
	mode string

	mu         sync.Mutex
	points     map[string]*relaydouble.Circuit // by authentication key
	rendezvous map[string]*relaydouble.Circuit // by cookie
	earlier    []byte                          // the first descriptor that was published
	meeting    []byte                          // what a service once said at a rendezvous
}

// Its modes.
const (
	impersonates = "stands in for services and clients"
	replays      = "says again what was said"
	stalls       = "takes all and answers nothing"
	breaks       = "breaks the rules"
)

// answer plays the introduction and rendezvous point.
func (d *onionDouble) answer(m *relaydouble.Moment) bool {
	say := func(cmd cell.RelayCommand, data []byte) {
		relaydouble.SendRelay(relaydouble.RelayCell{Cmd: cmd, Data: data})(m)
	}
	garbage := make([]byte, 200)
	_, _ = rand.Read(garbage)
	switch d.mode {
	case stalls:
	case impersonates:
		switch m.Cmd {
		case cell.RelayEstablishRend:
			say(cell.RelayRendEstablished, nil)
			say(cell.RelayRendezvous2, garbage[:64])
		case cell.RelayEstablishIntro:
			say(cell.RelayIntroEstablished, relaymsg.AppendIntroEstablished(nil))
			// An introduction by nobody, for the key that the service just named.
			say(cell.RelayIntroduce2, slices.Concat(make([]byte, 20), m.Data[:35], []byte{0}, garbage))
		case cell.RelayIntroduce1:
			say(cell.RelayIntroduceAck, relaymsg.AppendIntroduceAck(nil, relaymsg.AckSuccess))
		}
	case replays:
		d.replay(m, say)
	case breaks:
		switch m.Cmd {
		case cell.RelayEstablishRend:
			say(cell.RelayRendEstablished, nil)
			say(cell.RelayRendEstablished, nil)
			say(cell.RelayRendezvous2, nil)
		case cell.RelayEstablishIntro:
			say(cell.RelayIntroduce2, garbage[:1])
			say(cell.RelayIntroEstablished, garbage)
		case cell.RelayIntroduce1:
			say(cell.RelayIntroduceAck, garbage[:1])
		case cell.RelayRendezvous1:
			say(cell.RelayRendezvous2, garbage)
		}
	}
	return false
}

// replay passes on what it should, thrice.
func (d *onionDouble) replay(m *relaydouble.Moment, say func(cell.RelayCommand, []byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	again := func(c *relaydouble.Circuit, cmd cell.RelayCommand, data []byte) {
		if c != nil {
			data = bytes.Clone(data)
			m.Relay.Later(func() { c.Send(0, relaydouble.RelayCell{Cmd: cmd, Data: data, Times: 3}) })
		}
	}
	switch m.Cmd {
	case cell.RelayEstablishRend:
		d.rendezvous[string(m.Data[:20])] = m.Circuit
		say(cell.RelayRendEstablished, nil)
		if d.meeting != nil {
			say(cell.RelayRendezvous2, d.meeting)
		}
	case cell.RelayEstablishIntro:
		d.points[string(m.Data[3:35])] = m.Circuit
		say(cell.RelayIntroEstablished, relaymsg.AppendIntroEstablished(nil))
	case cell.RelayIntroduce1:
		say(cell.RelayIntroduceAck, relaymsg.AppendIntroduceAck(nil, relaymsg.AckSuccess))
		again(d.points[string(m.Data[23:55])], cell.RelayIntroduce2, m.Data)
	case cell.RelayRendezvous1:
		again(d.rendezvous[string(m.Data[:20])], cell.RelayRendezvous2, m.Data[20:])
		if d.meeting == nil {
			d.meeting = bytes.Clone(m.Data[20:])
		}
	}
}

// directory plays the directory.
func (d *onionDouble) directory(s *relaydouble.Stream) {
	if d.mode == stalls {
		relaydouble.Hold(s)
		return
	}
	s.Connect()
	request := make([]byte, 0, 64<<10)
	for !bytes.HasPrefix(request, []byte("GET")) || !bytes.Contains(request, []byte("\r\n\r\n")) {
		n, err := s.Read(request[len(request):cap(request)])
		request = request[:len(request)+n]
		if err != nil || bytes.Contains(request, []byte("-----END SIGNATURE-----")) {
			break
		}
		if _, body, ok := bytes.Cut(request, []byte("\r\n\r\n")); ok && bytes.HasPrefix(request, []byte("POST")) && bytes.Contains(body, []byte("\nsignature ")) {
			break
		}
	}
	d.mu.Lock()
	_, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	if bytes.HasPrefix(request, []byte("POST")) && d.earlier == nil {
		d.earlier = bytes.Clone(body)
	}
	text := d.earlier
	d.mu.Unlock()
	switch {
	case d.mode == breaks:
		text = make([]byte, 20_000)
		_, _ = rand.Read(text)
		_, _ = s.Write(text)
		return
	case d.mode == impersonates && len(text) > 100:
		text = bytes.Clone(text)
		text[len(text)/2] ^= 1
	}
	_, _ = io.WriteString(s, fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n", len(text)))
	_, _ = s.Write(text)
}

// hostileUsers visit at a time, each on circuits of his own: so many that the double is of all
// the relays that they choose.
const hostileUsers = 24

// TestOnionServicesAmongHostileRelays: one relay, in a network of C tor's, plays each of the parts
// that a relay has for an onion service, against a host and a client of chive. Every user gets what
// the service has, and nobody else's.
func TestOnionServicesAmongHostileRelays(t *testing.T) {
	t.Parallel()
	const name = "relay6"
	n := testnet.ForTest(t, testnet.Options{Relays: 6, Guards: 3, Exits: 2})
	x, _ := n.Node(name)
	if err := n.Kill(name); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{impersonates, replays, stalls, breaks} {
		t.Run(mode, func(t *testing.T) {
			keys, err := relaydouble.KeysOf(x.Dir, netip.AddrPortFrom(x.IP, uint16(x.ORPort)).String(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			d := &onionDouble{mode: mode, points: map[string]*relaydouble.Circuit{}, rendezvous: map[string]*relaydouble.Circuit{}}
			var script []relaydouble.Fault
			for _, cmd := range []cell.RelayCommand{cell.RelayEstablishIntro, cell.RelayEstablishRend, cell.RelayIntroduce1, cell.RelayRendezvous1} {
				script = append(script, relaydouble.Fault{Name: cmd.String(), At: relaydouble.AtOnion, If: func(m *relaydouble.Moment) bool { return m.Cmd == cmd }, Do: d.answer})
			}
			relay := relaydouble.Start(t, relaydouble.Options{
				Hops: 1, Keys: []relaydouble.Keys{keys}, Script: script, Dir: d.directory, SendmeIncrement: 31, CGO: true, FromRelays: true,
			})
			dir := filepath.Join(t.TempDir(), "service")
			quick := []string{"LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 4 seconds"}
			host, err := launch(t, t.TempDir(), nil, append(append(n.ClientTorrc(), quick...), "HiddenServiceDir "+dir,
				fmt.Sprintf("HiddenServicePort 80 %v:%d", n.Target().IP, n.Target().HTTPPort), "HiddenServiceNumIntroductionPoints 4")...)
			if err != nil {
				t.Fatal(err)
			}
			host.await(t)
			host.eventually(t, "the service has introduction points and is at directories", time.Minute, func() bool {
				return host.count(func(e *chivev1.Envelope) bool { return e.GetHostingStored().GetOutcome() == chivev1.Outcome_OUTCOME_OK }) >= 6
			})
			c := start(t, n, quick...)
			for what, address := range map[string]string{"chive": addressOf(t, dir), "C tor": n.Onion()} {
				began := time.Now()
				c.everybodyGets(t, address)
				t.Logf("%d users got what %s hosts in %v", hostileUsers, what, time.Since(began).Round(100*time.Millisecond))
			}
			t.Logf("the double was asked: %v, and for %d streams", relay.Seen().Faults, relay.Seen().Streams)
			if faults := relay.Seen().Faults; faults["ESTABLISH_RENDEZVOUS"] == 0 || faults["ESTABLISH_INTRO"] == 0 || relay.Seen().Streams == 0 {
				t.Error("it was not asked for each of its parts")
			}
			c.nobodyTwice(t, host)
		})
	}
}

// everybodyGets has many users fetch a page, each as often as it takes.
func (c *client) everybodyGets(t *testing.T, address string) {
	const size = 20_000
	want := fmt.Sprintf("%x", target.Sum(size))
	var wg sync.WaitGroup
	for u := range hostileUsers {
		wg.Go(func() {
			for began, try := time.Now(), 1; ; try++ {
				ctx, cancel := context.WithTimeout(t.Context(), 2*reloadAfter)
				sum, got, err := c.get(ctx, fmt.Sprint("user", u, "-", try), bytesOf(address, size))
				cancel()
				if err == nil {
					if sum != want {
						t.Errorf("user %d: %d bytes that are not the service's", u, got)
					}
					return
				}
				if time.Since(began) > reachableWithin {
					t.Errorf("user %d: nothing by %d requests: %v", u, try, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// nobodyTwice: a host meets nobody more often than a client began to introduce himself, and says
// how many introductions it refused for having seen them.
func (c *client) nobodyTwice(t *testing.T, host *client) {
	t.Helper()
	begun, seen := 0, 0
	c.count(func(e *chivev1.Envelope) bool {
		if purposeOf(e) == chivev1.Purpose_PURPOSE_INTRODUCTION {
			begun++
		}
		return false
	})
	host.count(func(e *chivev1.Envelope) bool {
		if r := e.GetHostingRefused(); r.GetReason() == "replay" {
			seen += int(r.GetCount())
		}
		return false
	})
	paid, unpaid := host.metPaying()
	t.Logf("the host met %d, and refused %d that it had seen; the client began %d introductions", paid+unpaid, seen, begun)
	if paid+unpaid > begun {
		t.Errorf("%d were met of %d introductions", paid+unpaid, begun)
	}
}
