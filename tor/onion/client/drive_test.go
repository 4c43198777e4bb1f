package client

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// driver plays a hostile world from bytes: any order of any answers. What must hold: each
// attempt ends at most once, each circuit is closed or handed over at most once and only
// what was opened, and the work an attempt makes is bounded.
func drive(t testing.TB, seed byte, script []byte) {
	w := newWorld(t, seed)
	w.desc.PoW = &pow.Params{Seed: pow.Seed(w.random()), Suggested: uint32(seed % 2), Expires: w.now.Add(time.Hour)}
	live := map[ID]string{}
	attempts := map[ID]int{}
	text := w.text()
	var lastMessage []byte
	settle := func() {
		for _, a := range w.s.Take() {
			switch a := a.(type) {
			case *Fetch:
				live[a.ID] = "fetch"
			case *OpenRendezvous:
				live[a.ID] = "rendezvous"
				attempts[a.Attempt]++
			case *OpenIntroduction:
				live[a.ID] = "introduction"
				attempts[a.Attempt]++
			case *Solve:
				if live[a.ID] != "introduction" {
					t.Fatal("work for nothing")
				}
			case *Introduce:
				if live[a.ID] != "introduction" {
					t.Fatal("INTRODUCE1 on what is not there")
				}
				lastMessage = a.Message
			case *Join:
				if live[a.ID] != "rendezvous" {
					t.Fatal("joined on what is no rendezvous")
				}
				delete(live, a.ID)
				if _, ok := attempts[a.Attempt]; !ok {
					t.Fatal("joined twice")
				}
				delete(attempts, a.Attempt)
			case *Close:
				if live[a.ID] == "" {
					t.Fatalf("closed what is not there: %d", a.ID)
				}
				delete(live, a.ID)
			case *Failed:
				if _, ok := attempts[a.Attempt]; !ok || a.Cause == 0 {
					t.Fatalf("failed twice, or for nothing: %v", a)
				}
				delete(attempts, a.Attempt)
			}
		}
		for id, n := range attempts {
			if n > mostRendezvous+mostIntroductions {
				t.Fatalf("attempt %d opened %d circuits", id, n)
			}
		}
	}
	any := func(b byte) ID {
		ids := make([]ID, 0, len(live))
		for id := range live {
			ids = append(ids, id)
		}
		if len(ids) == 0 {
			return ID(b)
		}
		slices.Sort(ids)
		return ids[int(b)%len(ids)]
	}
	for len(script) >= 2 {
		op, b := script[0], script[1]
		script = script[2:]
		id := any(b)
		lose := func() bool { // the owner's word that something ended
			if live[id] != "rendezvous" && live[id] != "introduction" {
				return false
			}
			delete(live, id)
			return true
		}
		switch op % 16 {
		case 0:
			if len(attempts) < 4 {
				at := w.s.Connect(w.now)
				attempts[at] = 0
			}
		case 1:
			if live[id] == "fetch" {
				delete(live, id)
			}
			w.s.Fetched(id, text, w.now)
		case 2:
			if live[id] == "fetch" {
				delete(live, id)
			}
			w.s.NotFetched(id, w.now)
		case 3, 4:
			w.s.Opened(id, w.now)
		case 5, 6:
			w.s.Established(id, meeting, w.now)
		case 7:
			w.s.Acked(id, ack(relaymsg.AckSuccess), w.now)
		case 8:
			w.s.Acked(id, ack(relaymsg.AckStatus(b)), w.now)
		case 9:
			w.s.Met(id, bytes.Repeat([]byte{b}, int(b)), w.now)
		case 10:
			if lose() {
				w.s.Lost(id, b%2 == 0, w.now)
			}
		case 11:
			w.now = w.now.Add(time.Duration(b) * time.Second)
			w.s.Tick(w.now)
		case 12:
			w.s.Solved(id, &pow.Proof{}, w.now)
		case 13:
			if b < 32 {
				w.net.ValidAfter = w.net.ValidAfter.Add(24 * time.Hour)
				w.update()
			}
		case 14:
			for at := range attempts {
				if b%4 == 0 {
					delete(attempts, at)
					w.s.Cancel(at)
				}
				break
			}
		case 15:
			if lastMessage != nil {
				for _, i := range w.intros {
					m, err := relaymsg.ParseIntroduce2(lastMessage)
					if err != nil || m.AuthKey != i.point.AuthKey {
						continue
					}
					blinded, _ := w.identity.Address().Blind(w.net.Fetch().Period)
					if open, err := i.enc.Open([][32]byte{w.identity.Address().Subcredential(blinded)}, m.Header, m.Encrypted); err == nil {
						if info, _, err := open.Reply(w.rng); err == nil {
							w.s.Met(id, info, w.now)
						}
					}
				}
			}
		}
		settle()
	}
	// In the end everything ends by itself.
	for range 4000 {
		if w.s.Attempts() == 0 {
			break
		}
		next := w.s.Next()
		if next.IsZero() {
			// Only work that never ends may hold it, or a network without directories.
			for id, kind := range live {
				if kind == "introduction" {
					w.s.Solved(id, nil, w.now)
				}
			}
			settle()
			continue
		}
		w.now = next
		w.s.Tick(w.now)
		settle()
	}
	if w.s.Attempts() != 0 || len(attempts) != 0 || len(live) != 0 {
		t.Fatalf("left: %d attempts, %d %v", w.s.Attempts(), len(attempts), live)
	}
}

func FuzzService(f *testing.F) {
	for seed := range byte(8) {
		rng := rand.NewChaCha8([32]byte{seed, 1})
		var script []byte
		for range 40 {
			script = binary.BigEndian.AppendUint64(script, rng.Uint64())
		}
		f.Add(seed, script)
	}
	f.Add(byte(0), []byte{0, 0, 1, 0, 3, 0, 5, 1, 7, 0, 15, 0})
	f.Fuzz(func(t *testing.T, seed byte, script []byte) { drive(t, seed, script[:min(len(script), 400)]) })
}
