package client

import (
	"math/rand/v2"
	"slices"
	"testing"

	"chive/tor/onion/relaymsg"
)

// visit makes the service's client a visitor.
func (w *world) visit(v Visit) {
	w.s = New(Options{Address: w.identity.Address(), Keys: w.rng, Rand: rand.New(w.rng), Times: times, Visit: &v})
	w.update()
}

func (w *world) responsible() [][32]byte {
	return w.s.view.Ring.Responsible(w.s.blinded, w.net.Replicas, w.net.SpreadFetch)
}

// A visitor asks the directory and goes by the introduction point that he is to, and gives
// up when they are of no use.
func TestVisit(t *testing.T) {
	w := newWorld(t, 3)
	for _, d := range w.responsible() {
		for _, i := range w.intros {
			w.visit(Visit{Directory: d, Point: i.point.AuthKey})
			if _, ok := w.s.Revision(); ok {
				t.Fatal("a descriptor of which nothing is known")
			}
			w.s.Connect(w.now)
			f := next[*Fetch](w)
			if f.Directory != d {
				t.Fatal("another directory is asked")
			}
			w.s.Fetched(f.ID, w.text(), w.now)
			if r, ok := w.s.Revision(); !ok || r != w.revision {
				t.Errorf("revision %d, want %d", r, w.revision)
			}
			actions := w.s.Take()
			open, rend := pick[*OpenIntroduction](w, actions), pick[*OpenRendezvous](w, actions)
			if open.Auth != i.point.AuthKey {
				t.Fatal("another introduction point is taken")
			}
			intro := w.ready(open, rend)
			r, hs := w.request(i, intro.Message)
			reply, keys, err := hs.Reply(w.rng)
			if err != nil || r.Cookie != rend.Cookie {
				t.Fatalf("cookie of another, %v", err)
			}
			w.s.Acked(open.ID, ack(relaymsg.AckSuccess), w.now)
			w.s.Take()
			message, err := relaymsg.AppendRendezvous1(nil, w.rng, r.Cookie, reply)
			if err != nil {
				t.Fatal(err)
			}
			w.s.Met(rend.ID, message[len(r.Cookie):], w.now)
			if join := next[*Join](w); join.Keys != keys {
				t.Error("client and service do not agree")
			}
		}
	}
}

func TestVisitInVain(t *testing.T) {
	w := newWorld(t, 4)
	d := w.responsible()[0]
	v := Visit{Directory: d, Point: w.intros[1].point.AuthKey}
	for name, tt := range map[string]struct {
		fails func(*OpenIntroduction, *OpenRendezvous)
		want  Cause
	}{
		"introduction point away": {func(i *OpenIntroduction, _ *OpenRendezvous) { w.s.Lost(i.ID, false, w.now) }, IntroFailed},
		"too slow":                {func(i *OpenIntroduction, _ *OpenRendezvous) { w.s.Lost(i.ID, true, w.now) }, IntroTimedOut},
		"it says no": {func(i *OpenIntroduction, r *OpenRendezvous) {
			w.ready(i, r)
			w.s.Acked(i.ID, ack(relaymsg.AckUnknownID), w.now)
		}, IntroFailed},
		"the service does not come": {func(i *OpenIntroduction, r *OpenRendezvous) {
			w.ready(i, r)
			w.s.Acked(i.ID, ack(relaymsg.AckSuccess), w.now)
			w.s.Lost(r.ID, false, w.now)
		}, RendezvousFailed},
	} {
		w.visit(v)
		_, i, r := w.toCircuits()
		tt.fails(i, r)
		actions := w.s.Take()
		if f := pick[*Failed](w, actions); f.Cause != tt.want {
			t.Errorf("%s: %v, want %v", name, f.Cause, tt.want)
		}
		if slices.ContainsFunc(actions, func(a Action) bool { _, ok := a.(*OpenIntroduction); return ok }) {
			t.Errorf("%s: a second introduction point: %s", name, kinds(actions))
		}
	}
	w.visit(v)
	w.s.Connect(w.now)
	fetch := next[*Fetch](w).ID
	w.now = w.now.Add(requeryAfter) // it might be asked again
	w.s.NotFetched(fetch, w.now)
	if f := next[*Failed](w); f.Cause != NotFound {
		t.Errorf("no descriptor: %v", f.Cause)
	}
	// What is not there gives way.
	w.visit(Visit{Directory: [32]byte{1}, Point: [32]byte{2}})
	w.toCircuits()
}
