package circuits

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/actors/circuit"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	torcircuit "chive/tor/circuit"
	"chive/tor/isolation"
	"chive/tor/onion"
)

const rendezvous = chivev1.Purpose_PURPOSE_RENDEZVOUS

// told is an application that hears how its request ended.
type told struct {
	net.Conn
	outcome *chivev1.Outcome
}

func (told) Connected(netip.Addr) []byte                        { return nil }
func (t told) Refused(o chivev1.Outcome) []byte                 { *t.outcome = o; return nil }
func (t told) Resolved([]cell.Answer) ([]byte, chivev1.Outcome) { return nil, 0 }
func (told) Write(p []byte) (int, error)                        { return len(p), nil }
func (told) Close() error                                       { return nil }
func (told) CloseWrite() error                                  { return nil }
func (told) SetWriteDeadline(time.Time) error                   { return nil }
func (told) SyscallConn() (syscall.RawConn, error)              { return nil, syscall.ENOTSUP }

// visit is a request for a service.
func (d *desk) visit(a onion.Address, t isolation.Token) *stream.Spec {
	out := chivev1.Outcome_OUTCOME_UNSPECIFIED
	app := told{outcome: &out}
	spec := &stream.Spec{
		ID: messages.RandomID(), Onion: &a, Purpose: rendezvous, Port: 80, Requested: d.now, Isolation: t, Front: app, Conn: app,
	}
	d.follow(spec, func() { d.request(d.ctx, &Request{Spec: spec}) })
	return spec
}

// meetsWith answers a meeting with a circuit of its own.
func (d *desk) meetsWith(id string) *record {
	wish := &Open{Owner: d.quiet, Token: uint64(len(d.all) + 1000), Purpose: rendezvous}
	r := &record{
		id: messages.RandomID(), pid: d.quiet, purpose: rendezvous, open: true, launched: d.now, wish: wish, last: torcircuit.Hop{},
	}
	d.records[r.id] = r
	d.all = append(d.all, r)
	d.metWith(d.ctx, &Met{Meeting: id, Owner: d.quiet, Token: wish.Token})
	return r
}

func (d *desk) waits(spec *stream.Spec) *meeting {
	for _, w := range d.queue {
		if w.Spec == spec {
			return w.meeting
		}
	}
	return nil
}

// Whatever comes, goes, comes back and is renewed: a rendezvous circuit carries streams to
// one service only, and no two that must be apart; who waits waits for a meeting with the
// service that was asked for, together only with those whose circuit may be shared.
func TestMeetingsKeepApart(t *testing.T) {
	t.Parallel()
	type carried struct {
		address onion.Address
		token   isolation.Token
	}
	rapid.Check(t, func(t *rapid.T) {
		atDesk(t, 0, func(d *desk) {
			var specs []*stream.Spec
			carries := map[*record][]carried{}
			look := func() {
				for _, spec := range specs {
					for _, r := range d.all {
						if d.on[spec] == r {
							continue
						}
					}
				}
			}
			placed := func(spec *stream.Spec) {
				r := d.on[spec]
				if r == nil {
					return
				}
				for _, c := range carries[r] {
					if c.address != *spec.Onion {
						t.Fatal("two services on one circuit")
					}
					if !c.token.Compatible(&spec.Isolation) {
						t.Fatal("streams that must be apart on one circuit")
					}
				}
				if r.meets == nil || *r.meets != *spec.Onion {
					t.Fatal("a stream to a service that is not at the end of its circuit")
				}
				carries[r] = append(carries[r], carried{*spec.Onion, spec.Isolation})
			}
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				switch rapid.IntRange(0, 6).Draw(t, "what") {
				case 0, 1:
					token := values(rapid.Uint64Range(1, 3).Draw(t, "user"))
					token.Flags = isolation.Flags(0).With(isolation.SOCKSAuth, rapid.Bool().Draw(t, "isolates"))
					token.Values[isolation.SessionGroup] = 1
					spec := d.visit(onion.Address{byte(rapid.IntRange(1, 2).Draw(t, "service"))}, token)
					specs = append(specs, spec)
					placed(spec)
				case 2: // a meeting succeeds
					for id := range d.meetings {
						waiting := map[*stream.Spec]bool{}
						for _, w := range d.queue {
							waiting[w.Spec] = true
						}
						r := d.meetsWith(id)
						for spec := range waiting {
							if r.streams > 0 && d.waits(spec) == nil && d.on[spec] == nil && *spec.Onion == *r.meets && *spec.Front.(told).outcome == 0 {
								d.on[spec] = r
								placed(spec)
							}
						}
						break
					}
				case 3: // or fails: all who wait for it are told why
					for id, m := range d.meetings {
						d.notMet(d.ctx, &NotMet{Meeting: id, Outcome: chivev1.Outcome_OUTCOME_ONION_NOT_FOUND})
						for _, w := range d.queue {
							if w.meeting == m {
								t.Fatal("somebody still waits for it")
							}
						}
						break
					}
				case 4:
					d.renew(d.ctx, "")
				case 5:
					for spec, r := range d.on {
						if rapid.Bool().Draw(t, "back") {
							d.streamBack(d.ctx, &circuit.StreamBack{ID: r.id, Spec: spec})
							delete(d.on, spec)
							for _, other := range d.all {
								if other.meets != nil && *other.meets == *spec.Onion && d.waits(spec) == nil && other.isolation.Used() && len(other.users) == 0 && other.streams > 0 && other == r {
									d.on[spec] = other
								}
							}
						} else {
							d.leave(spec)
						}
						break
					}
				case 6:
					d.now = d.now.Add(time.Duration(rapid.IntRange(1, 900).Draw(t, "seconds")) * time.Second)
				}
				look()
				for _, w := range d.queue {
					if w.meeting == nil || d.meetings[w.meeting.id] != w.meeting || w.meeting.address != *w.Spec.Onion {
						t.Fatal("a stream waits for nothing")
					}
				}
				for id, m := range d.meetings {
					if m.waiters == 0 {
						t.Fatalf("nobody waits for meeting %s", id)
					}
				}
			}
		})
	})
}

// Who owns what, and what becomes of circuits that nobody wants.
func TestOwners(t *testing.T) {
	atDesk(t, 0, func(d *desk) {
		a := onion.Address{1}
		one := d.visit(a, values(1))
		if m := d.waits(one); m == nil || m.waiters != 1 || len(d.meetings) != 1 {
			t.Fatal("the stream waits for no meeting")
		}
		two := d.visit(a, values(1))
		other := d.visit(a, values(2)) // another session group
		if d.waits(one) != d.waits(two) || d.waits(one) == d.waits(other) || len(d.meetings) != 2 {
			t.Fatal("who waits with whom")
		}
		r := d.meetsWith(d.waits(one).id)
		if r.streams != 2 || len(d.met[a]) != 1 || d.waits(other) == nil {
			t.Fatalf("%d streams on the circuit", r.streams)
		}
		// A second stream takes the circuit at once, unless it is too old.
		three := d.visit(a, values(1))
		if d.on[three] != r {
			t.Error("the circuit that met the service is not used")
		}
		d.now = d.now.Add(time.Hour)
		if four := d.visit(a, values(1)); d.on[four] != nil || d.waits(four) == nil {
			t.Error("a circuit beyond MaxCircuitDirtiness is used")
		}
		// What an owner has no longer is closed; the circuit with streams stays.
		orphan := &record{id: "orphan", pid: d.quiet, purpose: rendezvous, open: true, wish: &Open{Owner: d.quiet, Token: 5, Purpose: rendezvous}}
		d.records[orphan.id] = orphan
		d.orphaned(d.ctx, d.quiet)
		if !orphan.closing || !orphan.abandoned || r.closing {
			t.Error("which circuits an owner's end closes")
		}
		// A meeting that comes when nobody waits is for nothing.
		late := d.meetsWith("nobody's")
		if !late.closing || late.meets != nil {
			t.Error("a circuit that nobody waits for is kept")
		}
		d.onionsGone(d.ctx)
		if len(d.meetings) != 0 || len(d.queue) != 0 || *other.Front.(told).outcome != chivev1.Outcome_OUTCOME_INTERNAL {
			t.Errorf("%d meetings, %d waiting, %v", len(d.meetings), len(d.queue), *other.Front.(told).outcome)
		}
	})
}

// A meeting's circuit is for those who wait for it, and not for who asked before them and may
// not share it: his meeting would be called off when it is there, and theirs begun anew.
func TestMeetingIsForWhoWaitsForIt(t *testing.T) {
	atDesk(t, 0, func(d *desk) {
		a := onion.Address{1}
		first, second := d.visit(a, values(1)), d.visit(a, values(2))
		theirs, his := d.waits(second).id, d.waits(first)
		r := d.meetsWith(theirs)
		if r.streams != 1 || d.waits(second) != nil || d.waits(first) != his || len(d.meetings) != 1 {
			t.Fatalf("%d streams on the circuit; the first waits for %v, %d meetings", r.streams, d.waits(first), len(d.meetings))
		}
		if late := d.visit(a, values(2)); d.on[late] != r {
			t.Error("the circuit is not used by who may share it")
		}
		if r := d.meetsWith(his.id); r.closing || r.streams != 1 || d.waits(first) != nil || len(d.meetings) != 0 {
			t.Errorf("%d streams on the first one's circuit, %d meetings", r.streams, len(d.meetings))
		}
	})
}

// Nobody waits longer than SocksTimeout, and then the meeting is called off.
func TestMeetingTimeout(t *testing.T) {
	atDesk(t, 0, func(d *desk) {
		d.o.Settings.SocksTimeout = 2 * time.Minute
		spec := d.visit(onion.Address{1}, values(1))
		d.now = d.now.Add(2*time.Minute - time.Second)
		d.tick(d.ctx)
		d.ticker.Stop()
		if d.waits(spec) == nil {
			t.Fatal("given up too soon")
		}
		d.now = d.now.Add(time.Second)
		d.tick(d.ctx)
		d.ticker.Stop()
		if len(d.meetings) != 0 || *spec.Front.(told).outcome != chivev1.Outcome_OUTCOME_TIMEOUT {
			t.Errorf("%d meetings, %v", len(d.meetings), *spec.Front.(told).outcome)
		}
	})
}

// CircuitPadding and ReducedCircuitPadding are told to circuits that are there, once; on the
// public network's parameters either alone stops the padding.
func TestPaddingPolicy(t *testing.T) {
	atDesk(t, 0, func(d *desk) {
		d.o.Settings.Padding = true
		if p := d.paddingPolicy(); p.Off || p.Reduced {
			t.Errorf("%+v", p)
		}
		d.repad(d.ctx)
		first := d.policy
		for _, s := range []Settings{{Padding: false}, {Padding: true, ReducedPadding: true}} {
			s.Period, s.Dirtiness = time.Hour, time.Hour
			d.configure(d.ctx, &Configure{Settings: s})
			if d.policy == first || d.policy.Off == s.Padding || d.policy.Reduced != s.ReducedPadding {
				t.Errorf("%+v by %+v", d.policy, s)
			}
		}
	})
}
