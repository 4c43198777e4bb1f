package client

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/relaymsg"
)

// played is a client among relays of which one kind is hostile.
type played struct {
	*world
	meetings map[ID]*OpenRendezvous   // the last of each attempt
	intros   map[ID]*OpenIntroduction // by circuit
	earlier  []byte                   // what the service said in an earlier meeting
	end      Action                   // *Join or *Failed
}

// way is what a hostile relay is after.
type way string

// The ways that each kind of relay is played in.
const (
	impersonate way = "stands in for somebody"
	replay      way = "says again what was said"
	stall       way = "keeps waiting"
	crash       way = "breaks the rules"
)

// hostile is what relays do in place of what they should. Where there is nothing they do as
// they should.
type hostile struct {
	way       way
	name      string
	directory func(p *played, f *Fetch)
	opened    func(p *played, i *OpenIntroduction)
	waits     func(p *played, r *OpenRendezvous) // the rendezvous point is asked
	introduce func(p *played, i *OpenIntroduction, r *OpenRendezvous, m *Introduce)
	want      Cause // why the attempt fails; 0: it does not
}

// run plays an attempt to its end, which comes after a bounded number of steps and time.
func (p *played) run(h hostile) {
	p.t.Helper()
	p.end = nil
	id, from := p.s.Connect(p.now), p.now
	for range 200 {
		actions := p.s.Take()
		for _, a := range actions {
			p.play(h, a)
		}
		if p.end != nil {
			break
		}
		if len(actions) > 0 {
			continue
		}
		next := p.s.Next()
		if next.IsZero() {
			p.t.Fatal("the attempt waits for nothing")
		}
		p.now = next
		p.s.Tick(p.now)
	}
	if took := p.now.Sub(from); p.end == nil || took > 20*time.Minute {
		p.t.Fatalf("no end: %T after %v", p.end, took)
	}
	switch e := p.end.(type) {
	case *Failed:
		if e.Attempt != id || e.Cause != h.want {
			p.t.Errorf("%v, want %v", e.Cause, h.want)
		}
	case *Join:
		if h.want != 0 {
			p.t.Errorf("joined, want %v", h.want)
		}
	}
	for range 10 { // what it lets go of may have an end of its own
		for _, a := range p.s.Take() {
			if _, ok := a.(*Close); !ok {
				p.t.Errorf("after the end: %s", kinds([]Action{a}))
			}
		}
	}
	if p.s.Attempts() != 0 {
		p.t.Errorf("%d attempts are left", p.s.Attempts())
	}
}

// play does what the client asks for, as honest relays, or as h has it.
func (p *played) play(h hostile, action Action) {
	switch a := action.(type) {
	case *Fetch:
		if h.directory != nil {
			h.directory(p, a)
			return
		}
		p.s.Fetched(a.ID, p.text(), p.now)
	case *OpenIntroduction:
		p.intros[a.ID] = a
		if h.opened != nil {
			h.opened(p, a)
			return
		}
		p.s.Opened(a.ID, p.now)
	case *OpenRendezvous:
		p.meetings[a.Attempt] = a
		if h.waits != nil {
			h.waits(p, a)
			return
		}
		p.s.Established(a.ID, meeting, p.now)
	case *Introduce:
		i := p.intros[a.ID]
		r := p.meetings[i.Attempt]
		if h.introduce != nil {
			h.introduce(p, i, r, a)
			return
		}
		p.meet(i, r, a)
	case *Join, *Failed:
		p.end = a
	}
}

// meet is an introduction that is answered, by relays and a service that do as they should.
func (p *played) meet(i *OpenIntroduction, r *OpenRendezvous, m *Introduce) {
	_, open := p.request(p.side(i.Point.OnionKey), m.Message)
	info, keys, err := open.Reply(p.rng)
	if err != nil {
		p.t.Fatal(err)
	}
	p.earlier = info
	p.s.Acked(i.ID, ack(relaymsg.AckSuccess), p.now)
	p.s.Met(r.ID, info, p.now)
	for _, a := range p.s.Take() {
		if j, ok := a.(*Join); ok {
			if j.Keys != keys {
				p.t.Error("client and service have other keys")
			}
			p.end = j
		}
	}
}

// comes is an acknowledged introduction upon which somebody comes who says what he likes.
func comes(say func(p *played) []byte) func(*played, *OpenIntroduction, *OpenRendezvous, *Introduce) {
	return func(p *played, i *OpenIntroduction, r *OpenRendezvous, _ *Introduce) {
		p.s.Acked(i.ID, ack(relaymsg.AckSuccess), p.now)
		p.s.Met(r.ID, say(p), p.now)
	}
}

// answers is an introduction that gets an answer and goes no further.
func answers(data []byte) func(*played, *OpenIntroduction, *OpenRendezvous, *Introduce) {
	return func(p *played, i *OpenIntroduction, _ *OpenRendezvous, _ *Introduce) {
		p.s.Acked(i.ID, data, p.now)
	}
}

// gives is a directory's answer.
func gives(change func(p *played, text []byte) []byte) func(*played, *Fetch) {
	return func(p *played, f *Fetch) { p.s.Fetched(f.ID, change(p, p.text()), p.now) }
}

func silent[T any](*played, T) {}

var hostiles = []hostile{
	{way: stall, name: "directory: says nothing", directory: silent[*Fetch], want: NotFound},
	{way: stall, name: "directory: has it not", directory: func(p *played, f *Fetch) { p.s.NotFetched(f.ID, p.now) }, want: NotFound},
	{way: stall, name: "directory: none is reached", directory: func(p *played, f *Fetch) { p.s.NotReached(f.ID, p.now) }, want: NotFound},
	{way: impersonate, name: "directory: another service's", directory: gives(func(p *played, _ []byte) []byte { return p.signed(onion.SecretKeyOfSeed(p.random())) }), want: Invalid},
	{way: crash, name: "directory: a bit changed", directory: gives(func(_ *played, b []byte) []byte { b[len(b)/2] ^= 1; return b }), want: Invalid},
	{way: crash, name: "directory: cut short", directory: gives(func(_ *played, b []byte) []byte { return b[:len(b)-90] }), want: Invalid},
	{way: crash, name: "directory: with more behind it", directory: gives(func(_ *played, b []byte) []byte { return append(b, b...) }), want: Invalid},
	{way: replay, name: "directory: an older one", directory: gives(func(p *played, _ []byte) []byte {
		p.revision--
		defer func() { p.revision++ }()
		return p.text()
	}), want: NotFound},
	{way: crash, name: "directory: answers for another fetch", directory: func(p *played, f *Fetch) { p.s.Fetched(f.ID+1000, p.text(), p.now) }, want: NotFound},

	{way: stall, name: "introduction point: is not reached", opened: func(p *played, i *OpenIntroduction) { p.s.Lost(i.ID, false, p.now) }, want: IntroFailed},
	{way: stall, name: "introduction point: is too slow", opened: silent[*OpenIntroduction], want: IntroTimedOut},
	{way: stall, name: "introduction point: does not answer", introduce: func(*played, *OpenIntroduction, *OpenRendezvous, *Introduce) {}, want: IntroTimedOut},
	{way: crash, name: "introduction point: closes instead of an answer", introduce: func(p *played, i *OpenIntroduction, _ *OpenRendezvous, _ *Introduce) {
		p.s.Lost(i.ID, false, p.now)
	}, want: RendezvousFailed},
	{way: stall, name: "introduction point: refuses", introduce: answers(ack(1)), want: IntroFailed},
	{way: crash, name: "introduction point: an answer without data", introduce: answers(nil), want: IntroFailed},
	{way: crash, name: "introduction point: an answer that is none", introduce: answers([]byte{0, 0, 9}), want: IntroFailed},
	{way: crash, name: "introduction point: answers before it is asked", opened: func(p *played, i *OpenIntroduction) {
		p.s.Acked(i.ID, ack(relaymsg.AckSuccess), p.now)
		p.s.Opened(i.ID, p.now)
	}},
	{way: replay, name: "introduction point: answers twice", introduce: func(p *played, i *OpenIntroduction, r *OpenRendezvous, m *Introduce) {
		p.s.Acked(i.ID, ack(relaymsg.AckSuccess), p.now)
		p.s.Acked(i.ID, ack(1), p.now)
		p.meet(i, r, m)
	}},
	{way: replay, name: "introduction point: lets the service come twice", introduce: func(p *played, i *OpenIntroduction, r *OpenRendezvous, m *Introduce) {
		p.meet(i, r, m)
		joined := p.end
		p.s.Met(r.ID, p.earlier, p.now)
		for _, a := range p.s.Take() {
			if _, again := a.(*Join); again {
				p.t.Error("the service is joined twice")
			}
		}
		p.end = joined
	}},
	{way: stall, name: "introduction point: says yes and passes nothing on", introduce: answers(ack(relaymsg.AckSuccess)), want: RendezvousFailed},
	{way: impersonate, name: "introduction point: comes in the service's place", introduce: comes(func(p *played) []byte {
		_, public := p.x25519()
		mac := p.random()
		return append(public[:], mac[:]...)
	}), want: RendezvousFailed},

	{way: stall, name: "rendezvous point: is not reached", waits: func(p *played, r *OpenRendezvous) { p.s.Lost(r.ID, false, p.now) }, want: RendezvousFailed},
	{way: stall, name: "rendezvous point: says nothing", waits: silent[*OpenRendezvous], want: RendezvousFailed},
	{way: impersonate, name: "rendezvous point: somebody comes before the introduction", waits: func(p *played, r *OpenRendezvous) {
		p.s.Established(r.ID, meeting, p.now)
		p.s.Met(r.ID, bytes.Repeat([]byte{9}, 64), p.now)
	}, want: RendezvousFailed},
	{way: crash, name: "rendezvous point: waits twice", waits: func(p *played, r *OpenRendezvous) {
		p.s.Established(r.ID, meeting, p.now)
		p.s.Established(r.ID, Point{}, p.now)
	}},
	{way: crash, name: "rendezvous point: nothing of the service", introduce: comes(func(*played) []byte { return nil }), want: RendezvousFailed},
	{way: crash, name: "rendezvous point: zeros", introduce: comes(func(*played) []byte { return make([]byte, 64) }), want: RendezvousFailed},
	{way: replay, name: "rendezvous point: what the service said once", introduce: comes(func(p *played) []byte { return p.earlier }), want: RendezvousFailed},
	{way: impersonate, name: "rendezvous point: changes what the service says", introduce: func(p *played, i *OpenIntroduction, r *OpenRendezvous, m *Introduce) {
		_, open := p.request(p.side(i.Point.OnionKey), m.Message)
		info, _, err := open.Reply(p.rng)
		if err != nil {
			p.t.Fatal(err)
		}
		info[40] ^= 1
		p.s.Acked(i.ID, ack(relaymsg.AckSuccess), p.now)
		p.s.Met(r.ID, info, p.now)
	}, want: RendezvousFailed},
	{way: crash, name: "rendezvous point: closes when it was told of", introduce: func(p *played, i *OpenIntroduction, r *OpenRendezvous, _ *Introduce) {
		p.s.Acked(i.ID, ack(relaymsg.AckSuccess), p.now)
		p.s.Lost(r.ID, false, p.now)
	}, want: RendezvousFailed},
}

// No directory, introduction point or rendezvous point can stand in for the service, replay
// what it said, or keep a client waiting without an end; and when they do as they should the
// client comes to the service again.
func TestHostileRelays(t *testing.T) {
	for n, h := range hostiles {
		t.Run(h.name, func(t *testing.T) {
			p := &played{world: newWorld(t, byte(n)), meetings: map[ID]*OpenRendezvous{}, intros: map[ID]*OpenIntroduction{}}
			p.run(hostile{})
			p.s.Forget(p.now)
			p.s.Take()
			p.run(h)
			p.now = p.now.Add(max(failureLife, requeryAfter))
			p.run(hostile{})
		})
	}
}

// Each kind of relay is played in each of the ways.
func TestHostileRelaysAreAll(t *testing.T) {
	played := map[string]bool{}
	for _, h := range hostiles {
		kind, _, _ := strings.Cut(h.name, ":")
		played[kind+" "+string(h.way)] = true
	}
	for _, kind := range []string{"directory", "introduction point", "rendezvous point"} {
		for _, w := range []way{impersonate, replay, stall, crash} {
			if !played[kind+" "+string(w)] {
				t.Errorf("no %s that %s", kind, w)
			}
		}
	}
}
