package client

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/relaymsg"
)

// From a name to the same keys at both ends; the INTRODUCE1 has C tor's size and names
// the rendezvous point that the client chose.
func TestMeeting(t *testing.T) {
	w := newWorld(t, 1)
	id, i, r := w.toCircuits()
	if r.Avoid != i.Point.RSA {
		t.Error("the introduction point may be the rendezvous point")
	}
	m := w.ready(i, r)
	if want := 246 + handshake.HSNtorOverhead; len(m.Message) != want {
		t.Errorf("INTRODUCE1 of %d bytes, want %d", len(m.Message), want)
	}
	req, open := w.request(w.side(i.Point.OnionKey), m.Message)
	if req.Cookie != r.Cookie || req.OnionKey != meeting.OnionKey || len(req.Specs) != 3 || req.Specs[1].Type != cell.LinkSpecRSA {
		t.Errorf("%+v", req)
	}
	if body, ok := req.Extension(relaymsg.ExtCongestionControl); !ok || len(body) != 0 {
		t.Error("congestion control is not asked for")
	}
	if _, ok := req.Extension(relaymsg.ExtProofOfWork); ok {
		t.Error("a proof of work that nobody asked for")
	}
	info, keys, err := open.Reply(w.rng)
	if err != nil {
		t.Fatal(err)
	}
	w.s.Acked(i.ID, ack(relaymsg.AckSuccess), w.now)
	if c := next[*Close](w); c.ID != i.ID {
		t.Error("the introduction circuit stays open")
	}
	w.s.Met(r.ID, info, w.now)
	j := next[*Join](w)
	if j.Attempt != id || j.ID != r.ID || j.Keys != keys || j.SendmeIncrement != 31 || j.Introduced != 0 || w.s.Attempts() != 0 {
		t.Errorf("%+v", j)
	}
	w.s.Met(r.ID, info, w.now)
	w.s.Lost(r.ID, false, w.now)
	if left := w.s.Take(); len(left) != 0 {
		t.Errorf("a circuit that was handed over: %s", kinds(left))
	}
	// The next meeting needs no other fetch.
	w.s.Connect(w.now)
	if got := kinds(w.s.Take()); got != "introduction rendezvous" {
		t.Errorf("the next: %s", got)
	}
}

// RENDEZVOUS2 may come before INTRODUCE_ACK (C tor's handle_introduce_ack_success). Whoever joins
// the service hears then by which introduction it came.
func TestMeetingBeforeAck(t *testing.T) {
	w := newWorld(t, 2)
	_, i, r := w.toCircuits()
	m := w.ready(i, r)
	_, open := w.request(w.side(i.Point.OnionKey), m.Message)
	info, keys, err := open.Reply(w.rng)
	if err != nil {
		t.Fatal(err)
	}
	w.s.Met(r.ID, info, w.now)
	actions := w.s.Take()
	if j := pick[*Join](w, actions); j.Keys != keys || j.Introduced != i.ID || pick[*Close](w, actions).ID != i.ID {
		t.Error(kinds(actions))
	}
}

// "Clients fetch from the directories that are responsible": each once, until there is
// none left; and not again for 15 minutes.
func TestDirectories(t *testing.T) {
	w := newWorld(t, 3)
	blinded, err := w.identity.Address().Blind(w.net.Fetch().Period)
	if err != nil {
		t.Fatal(err)
	}
	responsible := onion.NewRing(w.net.Fetch(), w.ring).Responsible(blinded, 2, 3)
	id := w.s.Connect(w.now)
	var seen [][32]byte
	for range responsible {
		f := next[*Fetch](w)
		if !slices.Contains(responsible, f.Directory) || slices.Contains(seen, f.Directory) || f.Blinded != blinded {
			t.Fatal("a directory that is not responsible, or twice")
		}
		seen = append(seen, f.Directory)
		w.s.NotFetched(f.ID, w.now)
	}
	if f := next[*Failed](w); f.Attempt != id || f.Cause != NotFound {
		t.Fatalf("%v", f.Cause)
	}
	w.now = w.now.Add(requeryAfter - time.Second)
	w.s.Connect(w.now)
	if f := next[*Failed](w); f.Cause != NotFound {
		t.Fatalf("%v", f.Cause)
	}
	w.now = w.now.Add(time.Second)
	w.s.Connect(w.now)
	next[*Fetch](w)
}

// A directory that does not answer is passed over; streams of all groups wait for one
// fetch.
func TestFetchTimeout(t *testing.T) {
	w := newWorld(t, 4)
	w.s.Connect(w.now)
	first := next[*Fetch](w)
	w.s.Connect(w.now)
	if left := w.s.Take(); len(left) != 0 {
		t.Fatalf("a second fetch beside the first: %s", kinds(left))
	}
	if !w.s.Next().Equal(w.now.Add(times.Fetch)) {
		t.Errorf("next tick at %v", w.s.Next())
	}
	w.now = w.s.Next()
	w.s.Tick(w.now)
	actions := w.s.Take()
	if pick[*Close](w, actions).ID != first.ID || pick[*Fetch](w, actions).Directory == first.Directory {
		t.Fatal(kinds(actions))
	}
	w.s.Fetched(first.ID, w.text(), w.now) // too late
	if left := w.s.Take(); len(left) != 0 {
		t.Fatal(kinds(left))
	}
	w.s.Fetched(pick[*Fetch](w, actions).ID, w.text(), w.now)
	if got := kinds(w.s.Take()); got != "introduction rendezvous introduction rendezvous" {
		t.Error(got)
	}
}

// What is no descriptor of the service leads to the next directory, and to F1 if none has
// a better one.
func TestInvalid(t *testing.T) {
	w := newWorld(t, 5)
	w.s.Connect(w.now)
	texts := [][]byte{nil, []byte("hs-descriptor 3\n"), w.signed(onion.SecretKeyOfSeed(w.random())), bytes.Repeat([]byte("a"), 1<<20)}
	for n := 0; ; n++ {
		actions := w.s.Take()
		if f, ok := actions[0].(*Fetch); ok {
			w.s.Fetched(f.ID, texts[n%len(texts)], w.now)
			continue
		}
		if f := actions[0].(*Failed); f.Cause != Invalid || n != 6 {
			t.Fatalf("%v after %d", f.Cause, n)
		}
		return
	}
}

// A directory may not take a client back to an older descriptor.
func TestRevision(t *testing.T) {
	w := newWorld(t, 6)
	_, i, r := w.toCircuits()
	w.s.Lost(i.ID, false, w.now)
	_ = r
	w.s.Take()
	w.s.Forget(w.now)
	w.s.Connect(w.now)
	f := pick[*Fetch](w, w.s.Take())
	w.revision--
	w.s.Fetched(f.ID, w.text(), w.now)
	f = next[*Fetch](w)
	w.revision++
	w.s.Fetched(f.ID, w.text(), w.now)
	pick[*OpenIntroduction](w, w.s.Take())
}

// A descriptor is used for its lifetime, and no longer than its time period.
func TestLifetime(t *testing.T) {
	w := newWorld(t, 7)
	id, _, _ := w.toCircuits()
	w.s.Cancel(id)
	w.s.Take()
	w.now = w.now.Add(descriptor.DefaultLifetime - time.Second)
	id = w.s.Connect(w.now)
	pick[*OpenIntroduction](w, w.s.Take())
	w.s.Cancel(id)
	w.s.Take()
	w.now = w.now.Add(time.Second)
	w.s.Connect(w.now)
	f := next[*Fetch](w)
	w.s.Fetched(f.ID, w.text(), w.now)
	pick[*OpenIntroduction](w, w.s.Take())

	old := w.s.blinded
	w.net.ValidAfter = w.net.ValidAfter.Add(24 * time.Hour)
	w.now = w.net.ValidAfter
	w.update()
	w.s.Take()
	w.s.Connect(w.now)
	if f := next[*Fetch](w); f.Blinded == old {
		t.Error("the blinded key of the last period")
	}
}

// A fetch under way when the period changes is given up for one of the new period.
func TestPeriodDuringFetch(t *testing.T) {
	w := newWorld(t, 8)
	w.s.Connect(w.now)
	first := next[*Fetch](w)
	w.net.ValidAfter = w.net.ValidAfter.Add(24 * time.Hour)
	w.now = w.net.ValidAfter
	w.update()
	actions := w.s.Take()
	if pick[*Close](w, actions).ID != first.ID || pick[*Fetch](w, actions).Blinded == first.Blinded {
		t.Fatal(kinds(actions))
	}
}

// Restricted discovery: without a key F4, with a wrong one F5, both at once and without
// asking other directories; with the right key in, and a changed key forgets.
func TestClientAuthorisation(t *testing.T) {
	w := newWorld(t, 9)
	private, public := w.x25519()
	w.clients = [][32]byte{public}
	expect := func(why Cause) {
		t.Helper()
		w.s.Connect(w.now)
		actions := w.s.Take()
		if len(actions) == 1 {
			if f, ok := actions[0].(*Fetch); ok {
				w.s.Fetched(f.ID, w.text(), w.now)
				actions = w.s.Take()
			}
		}
		if f := pick[*Failed](w, actions); f.Cause != why || len(actions) != 1 {
			t.Fatalf("%s", kinds(actions))
		}
	}
	expect(AuthMissing)
	w.s.Connect(w.now) // remembered
	if f := next[*Failed](w); f.Cause != AuthMissing {
		t.Fatal(f.Cause)
	}
	wrong := w.random()
	w.s.Authorize(&wrong, w.now)
	expect(AuthWrong)
	w.s.Authorize(&private, w.now)
	w.s.Connect(w.now)
	f := next[*Fetch](w)
	w.s.Fetched(f.ID, w.text(), w.now)
	pick[*OpenIntroduction](w, w.s.Take())
	same := private
	w.s.Authorize(&same, w.now)
	w.s.Connect(w.now)
	pick[*OpenIntroduction](w, w.s.Take()) // the same key forgets nothing
	w.s.Authorize(nil, w.now)
	w.s.Connect(w.now)
	pick[*Fetch](w, w.s.Take())
}

// An introduction point that says no is not asked again for two minutes; the rendezvous
// stays, with other keys, and the next point is asked. When all said no the descriptor is
// fetched once more, and then it is F2.
func TestNacks(t *testing.T) {
	w := newWorld(t, 10)
	id, i, r := w.toCircuits()
	m := w.ready(i, r)
	seen := map[[32]byte]bool{}
	var last []byte
	for n := range 3 {
		if bytes.Equal(m.Message, last) || seen[i.Point.OnionKey] {
			t.Fatal("the same introduction again")
		}
		last, seen[i.Point.OnionKey] = m.Message, true
		w.s.Acked(i.ID, ack(relaymsg.AckStatus(n+1)), w.now)
		actions := w.s.Take()
		if pick[*Close](w, actions).ID != i.ID {
			t.Fatal(kinds(actions))
		}
		if n < 2 {
			i = pick[*OpenIntroduction](w, actions)
			w.s.Opened(i.ID, w.now)
			m = next[*Introduce](w)
			if req, _ := w.request(w.side(i.Point.OnionKey), m.Message); req.Cookie != r.Cookie {
				t.Fatal("another cookie")
			}
			continue
		}
		f := pick[*Fetch](w, actions)
		w.s.Fetched(f.ID, w.text(), w.now)
	}
	actions := w.s.Take()
	if f := pick[*Failed](w, actions); f.Attempt != id || f.Cause != IntroFailed || pick[*Close](w, actions).ID != r.ID {
		t.Fatal(kinds(actions))
	}
	w.now = w.now.Add(failureLife)
	w.s.Connect(w.now)
	pick[*OpenIntroduction](w, w.s.Take())
}

// Who finds no introduction point that is of use, and in the newer descriptor that he is not let
// in any more, is told that: F4.
func TestShutOutMeanwhile(t *testing.T) {
	w := newWorld(t, 10)
	_, i, r := w.toCircuits()
	w.ready(i, r)
	for range 2 {
		w.s.Acked(i.ID, ack(1), w.now)
		i = pick[*OpenIntroduction](w, w.s.Take())
		w.s.Opened(i.ID, w.now)
		next[*Introduce](w)
	}
	w.s.Acked(i.ID, ack(1), w.now)
	_, others := w.x25519()
	w.clients = [][32]byte{others}
	w.revision++
	w.s.Fetched(pick[*Fetch](w, w.s.Take()).ID, w.text(), w.now)
	if f := pick[*Failed](w, w.s.Take()); f.Cause != AuthMissing {
		t.Errorf("%v", f.Cause)
	}
}

// Every introduction point is too slow: F7.
func TestAllTimedOut(t *testing.T) {
	w := newWorld(t, 11)
	id := w.s.Connect(w.now)
	f := next[*Fetch](w)
	w.s.Fetched(f.ID, w.text(), w.now)
	for range 20 {
		for _, a := range w.s.Take() {
			switch a := a.(type) {
			case *Fetch:
				w.s.Fetched(a.ID, w.text(), w.now)
			case *OpenIntroduction:
				w.s.Lost(a.ID, true, w.now)
			case *Failed:
				if a.Attempt != id || a.Cause != IntroTimedOut {
					t.Fatalf("%v", a.Cause)
				}
				return
			}
		}
	}
	t.Fatal("no end")
}
