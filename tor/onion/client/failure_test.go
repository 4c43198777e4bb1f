package client

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// An introduction that is not answered may still reach the service: the rendezvous it
// names is spent, and what comes on it later is not taken.
func TestSpent(t *testing.T) {
	w := newWorld(t, 12)
	_, i, r := w.toCircuits()
	m := w.ready(i, r)
	_, open := w.request(w.side(i.Point.OnionKey), m.Message)
	w.now = w.s.Next()
	w.s.Tick(w.now)
	actions := w.s.Take()
	other := pick[*OpenRendezvous](w, actions)
	if got := kinds(actions); got != "close close introduction rendezvous" || other.Cookie == r.Cookie {
		t.Fatal(got)
	}
	info, _, err := open.Reply(w.rng)
	if err != nil {
		t.Fatal(err)
	}
	w.s.Met(r.ID, info, w.now) // on the circuit that is closed
	w.s.Met(other.ID, info, w.now)
	actions = w.s.Take()
	if pick[*Close](w, actions).ID != other.ID {
		t.Fatal("what was for another attempt is taken:", kinds(actions))
	}
}

// Whoever comes to a rendezvous must be the service that was asked: F3 after a bounded
// number of others.
func TestWrongService(t *testing.T) {
	w := newWorld(t, 13)
	id := w.s.Connect(w.now)
	f := next[*Fetch](w)
	w.s.Fetched(f.ID, w.text(), w.now)
	met := 0
	for range 50 {
		for _, a := range w.s.Take() {
			switch a := a.(type) {
			case *OpenIntroduction:
				w.s.Opened(a.ID, w.now)
			case *OpenRendezvous:
				w.s.Established(a.ID, meeting, w.now)
			case *Introduce:
				w.s.Acked(a.ID, ack(relaymsg.AckSuccess), w.now)
				for rid, at := range w.s.circuits {
					if at.rend != nil && at.rend.id == rid {
						met++
						w.s.Met(rid, bytes.Repeat([]byte{9}, 64), w.now)
						break
					}
				}
			case *Join:
				t.Fatal("joined with a stranger")
			case *Failed:
				if a.Attempt != id || a.Cause != RendezvousFailed || met != mostRendezvous {
					t.Fatalf("%v after %d", a.Cause, met)
				}
				return
			}
		}
	}
	t.Fatal("no end")
}

// A service that does not come in time: F3.
func TestRendezvousTimeout(t *testing.T) {
	w := newWorld(t, 14)
	w.s.Connect(w.now)
	for range 50 {
		for _, a := range w.s.Take() {
			switch a := a.(type) {
			case *Fetch:
				w.s.Fetched(a.ID, w.text(), w.now)
			case *OpenIntroduction:
				w.s.Opened(a.ID, w.now)
			case *OpenRendezvous:
				w.s.Established(a.ID, meeting, w.now)
			case *Introduce:
				w.s.Acked(a.ID, ack(relaymsg.AckSuccess), w.now)
				w.now = w.s.Next()
				w.s.Tick(w.now)
			case *Failed:
				if a.Cause != RendezvousFailed {
					t.Fatal(a.Cause)
				}
				return
			}
		}
	}
	t.Fatal("no end")
}

// A service cannot have a relay connect into its own network, nor name keys that make
// secrets known.
func TestIntroPointsRefused(t *testing.T) {
	for name, change := range map[string]func(*descriptor.IntroPoint){
		"loopback": func(p *descriptor.IntroPoint) { p.Specs[0] = cell.AddrSpec(netip.MustParseAddrPort("127.0.0.1:9001")) },
		"private":  func(p *descriptor.IntroPoint) { p.Specs[0] = cell.AddrSpec(netip.MustParseAddrPort("10.1.2.3:9001")) },
		"shared":   func(p *descriptor.IntroPoint) { p.Specs[0] = cell.AddrSpec(netip.MustParseAddrPort("100.64.2.3:9001")) },
		"link-local": func(p *descriptor.IntroPoint) {
			p.Specs[0] = cell.AddrSpec(netip.MustParseAddrPort("169.254.1.1:9001"))
		},
		"no port": func(p *descriptor.IntroPoint) { p.Specs[0] = cell.AddrSpec(netip.MustParseAddrPort("20.1.1.1:0")) },
		"private IPv6": func(p *descriptor.IntroPoint) {
			p.Specs = append(p.Specs, cell.AddrSpec(netip.MustParseAddrPort("[fd00::1]:9001")))
		},
		"no identity":     func(p *descriptor.IntroPoint) { p.Specs = slices.Delete(p.Specs, 1, 2) },
		"zero identity":   func(p *descriptor.IntroPoint) { p.Specs[1] = cell.RSASpec([20]byte{}) },
		"no address":      func(p *descriptor.IntroPoint) { p.Specs = p.Specs[1:] },
		"zero onion key":  func(p *descriptor.IntroPoint) { p.OnionKey = [32]byte{} },
		"zero encryption": func(p *descriptor.IntroPoint) { p.EncKey = [32]byte{} },
		"zero auth":       func(p *descriptor.IntroPoint) { p.AuthKey = [32]byte{} },
	} {
		w := newWorld(t, 15)
		good := w.desc.Intros[1]
		for i := range w.desc.Intros {
			if i != 1 {
				w.desc.Intros[i].Specs = slices.Clone(w.desc.Intros[i].Specs)
				change(&w.desc.Intros[i])
			}
		}
		for range 20 {
			ip, p := w.s.choose(w.desc)
			if ip == nil || ip.AuthKey != good.AuthKey || p.OnionKey != good.OnionKey {
				t.Fatalf("%s: chosen", name)
			}
		}
	}
	w := newWorld(t, 16)
	w.s.o.AllowPrivate = true
	w.desc.Intros = nil
	w.addIntro(netip.MustParseAddrPort("127.0.0.1:9001"))
	if ip, _ := w.s.choose(w.desc); ip == nil {
		t.Error("a private network's introduction point is refused")
	}
	// A low-order key is found out by the handshake, and the point is not used again.
	w = newWorld(t, 17)
	_, i, r := w.toCircuits()
	a := w.s.circuits[i.ID]
	a.intro.point.EncKey = [32]byte{1}
	w.s.Opened(i.ID, w.now)
	w.s.Established(r.ID, meeting, w.now)
	actions := w.s.Take()
	if pick[*Close](w, actions).ID != i.ID || pick[*OpenIntroduction](w, actions).Point.OnionKey == i.Point.OnionKey {
		t.Fatal(kinds(actions))
	}
}

// The client pays what is asked, and more after an introduction that led to nothing.
func TestProofOfWork(t *testing.T) {
	w := newWorld(t, 18)
	w.desc.Intros = w.desc.Intros[:1]
	w.desc.PoW = &pow.Params{Seed: pow.Seed(w.random()), Suggested: 5, Expires: w.now.Add(time.Hour)}
	_, i, r := w.toCircuits2()
	if i.solve == nil || i.solve.Puzzle.Effort != 5 || i.solve.Puzzle.Seed != w.desc.PoW.Seed || i.solve.Puzzle.BlindedID != [32]byte(w.s.blinded) {
		t.Fatalf("%+v", i.solve)
	}
	w.s.Opened(i.open.ID, w.now)
	w.s.Established(r.ID, meeting, w.now)
	if left := w.s.Take(); len(left) != 0 {
		t.Fatalf("without its proof: %s", kinds(left))
	}
	proof := &pow.Proof{Effort: 5, SeedHead: w.desc.PoW.Seed.Head()}
	w.s.Solved(i.open.ID, proof, w.now)
	m := next[*Introduce](w)
	req, _ := w.request(w.side(i.open.Point.OnionKey), m.Message)
	body, ok := req.Extension(relaymsg.ExtProofOfWork)
	if got, err := pow.ParseProof(body); !ok || err != nil || got != *proof {
		t.Fatalf("%v %v", got, err)
	}
	w.s.Acked(i.open.ID, ack(relaymsg.AckSuccess), w.now)
	w.s.Take()
	w.now = w.s.Next()
	w.s.Tick(w.now)
	if s := pick[*Solve](w, w.s.Take()); s.Puzzle.Effort != pow.Effort(5, 1) {
		t.Errorf("effort %d", s.Puzzle.Effort)
	}
	// A seed that is over is not worked for: the descriptor is fetched anew.
	w = newWorld(t, 19)
	w.desc.PoW = &pow.Params{Seed: pow.Seed(w.random()), Expires: w.now.Add(time.Minute)}
	id, o, _ := w.toCircuits()
	if o == nil {
		t.Fatal("effort 0 needs no proof")
	}
	w.s.Cancel(id)
	w.s.Take()
	w.now = w.now.Add(time.Minute)
	w.s.Connect(w.now)
	next[*Fetch](w)
}

type introAndWork struct {
	open  *OpenIntroduction
	solve *Solve
}

func (w *world) toCircuits2() (ID, introAndWork, *OpenRendezvous) {
	w.t.Helper()
	id := w.s.Connect(w.now)
	f := next[*Fetch](w)
	w.s.Fetched(f.ID, w.text(), w.now)
	actions := w.s.Take()
	return id, introAndWork{pick[*OpenIntroduction](w, actions), pick[*Solve](w, actions)}, pick[*OpenRendezvous](w, actions)
}

// Congestion control is asked for only if both sides and the network have it, and the
// increment is near the network's.
func TestCongestionControl(t *testing.T) {
	for _, tt := range []struct {
		versions string
		inc      uint8
		network  int
		want     int
	}{
		{"FlowCtrl=1-2", 31, 31, 31},
		{"FlowCtrl=1-2", 16, 31, 16},
		{"FlowCtrl=1-2", 15, 31, 0},
		{"FlowCtrl=2", 62, 31, 62},
		{"FlowCtrl=2", 63, 31, 0},
		{"FlowCtrl=1", 31, 31, 0},
		{"FlowCtrl=1-2", 31, 0, 0},
	} {
		w := newWorld(t, 20)
		w.inc = tt.network
		w.update()
		d := &descriptor.Descriptor{FlowControl: &descriptor.FlowControl{Versions: protocols(t, tt.versions), SendmeInc: tt.inc}}
		if got := w.s.congestion(d); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

func TestIdle(t *testing.T) {
	w := newWorld(t, 21)
	id, _, _ := w.toCircuits()
	if w.s.Idle(w.now) {
		t.Error("idle with an attempt")
	}
	w.s.Cancel(id)
	if got := kinds(w.s.Take()); got != "close close" {
		t.Error(got)
	}
	if w.s.Idle(w.now) || !w.s.Idle(w.now.Add(descriptor.DefaultLifetime)) {
		t.Error("what is remembered")
	}
}

// An introduction point that was chosen after the rendezvous point, and is the same relay,
// gets another rendezvous point.
func TestRendezvousPointIsNoIntroductionPoint(t *testing.T) {
	w := newWorld(t, 22)
	_, i, r := w.toCircuits()
	next := *w.intros[0]
	for _, side := range w.intros {
		if side.point.OnionKey != i.Point.OnionKey {
			next = *side
		}
	}
	for k := range w.desc.Intros { // only that one is left
		if w.desc.Intros[k].AuthKey != next.point.AuthKey && w.desc.Intros[k].OnionKey != i.Point.OnionKey {
			w.s.note(w.desc.Intros[k].AuthKey, w.now, func(f *failure) { f.refused = true })
		}
	}
	p, ok := w.s.point(&next.point)
	if !ok {
		t.Fatal("no point")
	}
	at := meeting
	at.RSA = p.RSA
	w.s.Opened(i.ID, w.now)
	w.s.Established(r.ID, at, w.now)
	m := pick[*Introduce](w, w.s.Take())
	w.s.Acked(m.ID, ack(relaymsg.AckUnknownID), w.now)
	second := pick[*OpenIntroduction](w, w.s.Take())
	if second.Point.RSA != p.RSA {
		t.Fatal("another introduction point")
	}
	w.s.Opened(second.ID, w.now)
	actions := w.s.Take()
	other := pick[*OpenRendezvous](w, actions)
	if pick[*Close](w, actions).ID != r.ID || other.Avoid != p.RSA {
		t.Fatal(kinds(actions))
	}
	w.s.Established(other.ID, meeting, w.now)
	pick[*Introduce](w, w.s.Take())
}

// Whom the user excludes is never used, whoever chose him.
func TestAvoided(t *testing.T) {
	view := func(w *world, avoid func(Point) bool, dir func([32]byte) bool) {
		w.s.Update(&View{
			Network: w.net, Ring: onion.NewRing(w.net.Fetch(), w.ring), SendmeIncrement: 31, Avoid: avoid, AvoidDirectory: dir,
		}, w.now)
	}
	w := newWorld(t, 23)
	good, ok := w.s.point(&w.desc.Intros[2])
	if !ok {
		t.Fatal("no point")
	}
	view(w, func(p Point) bool { return p.RSA != good.RSA }, nil)
	for range 20 {
		if _, p := w.s.choose(w.desc); p.RSA != good.RSA {
			t.Fatal("an excluded introduction point")
		}
	}
	view(w, func(Point) bool { return true }, nil)
	if ip, _ := w.s.choose(w.desc); ip != nil {
		t.Error("an excluded introduction point, for there is no other")
	}

	w = newWorld(t, 24)
	blinded, err := w.identity.Address().Blind(w.net.Fetch().Period)
	if err != nil {
		t.Fatal(err)
	}
	only := onion.NewRing(w.net.Fetch(), w.ring).Responsible(blinded, 2, 3)[4]
	view(w, nil, func(id [32]byte) bool { return id != only })
	w.s.Connect(w.now)
	f := next[*Fetch](w)
	if f.Directory != only {
		t.Error("an excluded directory")
	}
	w.s.NotFetched(f.ID, w.now)
	if f := next[*Failed](w); f.Cause != NotFound {
		t.Error(f.Cause)
	}
}

// A directory to which no circuit led is tried by others, three in all, and only then counts as
// asked; one that is reached by the last of them answers.
func TestDirectoriesThatAreNotReached(t *testing.T) {
	w := newWorld(t, 61)
	id := w.s.Connect(w.now)
	tries := map[[32]byte]int{}
	for {
		actions := w.s.Take()
		if len(actions) == 0 {
			t.Fatal("it waits for nothing")
		}
		f, ok := actions[0].(*Fetch)
		if !ok {
			if e, failed := actions[0].(*Failed); !failed || e.Attempt != id || e.Cause != NotFound {
				t.Errorf("%s", kinds(actions))
			}
			break
		}
		tries[f.Directory]++
		w.s.NotReached(f.ID, w.now)
	}
	for d, n := range tries {
		if n != mostPaths {
			t.Errorf("%x is tried %d times", d[:2], n)
		}
	}
	w.now = w.now.Add(requeryAfter)
	w.s.Connect(w.now)
	for range mostPaths - 1 {
		w.s.NotReached(w.s.Take()[0].(*Fetch).ID, w.now)
	}
	w.s.Fetched(w.s.Take()[0].(*Fetch).ID, w.text(), w.now)
	if _, ok := w.s.Revision(); !ok {
		t.Error("the descriptor does not count")
	}
}
