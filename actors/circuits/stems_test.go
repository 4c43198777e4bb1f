package circuits

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/actors/circuit"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// shifting are guards of which some are used just now, and layers that come and go.
type shifting struct {
	these
	used   []netdoc.Digest
	layers path.Layers
	later  atomic.Int64 // by how much the clock has moved; circuits read it, too
}

func (s *shifting) Candidates(time.Time) []netdoc.Digest { return s.used }
func (s *shifting) Uses(id netdoc.Digest) bool           { return slices.Contains(s.used, id) }
func (s *shifting) Layers(time.Time) path.Layers         { return s.layers }

// atStems is a desk where stems may be built: relays 1 to 4 are guards, of the others every
// second may be a rendezvous point.
func atStems(t reporter, test func(*desk, *shifting)) {
	atDesk(t, 0, func(d *desk) {
		meets, _ := netdoc.ParseProtocols("HSRend=1-2 Relay=2-4")
		not, _ := netdoc.ParseProtocols("Relay=2-4")
		net, mds := &netdoc.Consensus{}, map[netdoc.MDDigest]*netdoc.Microdesc{}
		s := &shifting{}
		for i := range 24 {
			b := byte(i + 1)
			rs := netdoc.RouterStatus{
				Identity: netdoc.Digest{b}, MD: netdoc.MDDigest{b}, IPv4: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, b, 0, 1}), 9001),
				Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagV2Dir, Protocols: meets, Bandwidth: 1,
			}
			if i%2 == 1 {
				rs.Protocols = not
			}
			if i < 4 {
				rs.Flags |= netdoc.FlagGuard
				s.list = append(s.list, rs.Identity)
			}
			net.Relays, mds[rs.MD] = append(net.Relays, rs), &netdoc.Microdesc{NtorKey: [32]byte{b}, Ed25519: netdoc.Ed25519ID{b}}
		}
		s.used = s.list[:2]
		s.layers = path.Layers{Second: []netdoc.Digest{{5}, {6}, {7}, {8}}}
		d.dir.Index = path.NewIndex(net, func(id netdoc.MDDigest) *netdoc.Microdesc { return mds[id] }, path.Options{})
		d.o.Guards, d.o.Vanguards, d.mode = s, s, path.Lite
		d.network = networkOf(nil)
		start := d.now
		d.o.Now = func() time.Time { return start.Add(time.Duration(s.later.Load())) }
		d.o.Settings.Prebuild, d.o.Settings.PoolMax, d.o.Settings.MaxPending = true, 6, 16
		d.o.Settings.Relevance, d.o.Settings.Period, d.o.Settings.CleanLife = time.Hour, 30*time.Second, time.Hour
		test(d, s)
	})
}

// stemsOf lists the stems that nobody waits for.
func (d *desk) stemsOf() []*record {
	return slices.DeleteFunc(slices.Clone(d.stems.spare), func(r *record) bool { return !r.good() })
}

// isOpen has a circuit open, as its actor would tell.
func (d *desk) isOpen(r *record) {
	d.opened(d.ctx, &circuit.Opened{ID: r.id, Took: 100 * time.Millisecond})
}

func target(b byte) *torcircuit.Hop {
	return &torcircuit.Hop{RSA: [20]byte{b}, NtorKey: [32]byte{b}, IPv4: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, b, 0, 1}), 9001)}
}

const introduction = chivev1.Purpose_PURPOSE_INTRODUCTION

func TestStemsAreDemanded(t *testing.T) {
	t.Parallel()
	atStems(t, func(d *desk, s *shifting) {
		d.serve(d.ctx)
		if len(d.records) != 0 {
			t.Error("stems, and no onion service was asked for")
		}
		d.openFor(d.ctx, &Open{Owner: d.quiet, Token: 1, Purpose: chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY, Target: target(20)})
		if n := len(d.stemsOf()); n != 0 {
			t.Errorf("%d stems for what is made of none", n)
		}
		d.openFor(d.ctx, &Open{Owner: d.quiet, Token: 2, Purpose: introduction, Target: target(20)})
		if n := len(d.stemsOf()); n != leastStems {
			t.Errorf("%d stems after a visit, want %d", n, leastStems)
		}
		for _, r := range d.stemsOf() {
			d.isOpen(r)
		}
		for i := range 20 {
			d.openFor(d.ctx, &Open{Owner: d.quiet, Token: uint64(10 + i), Purpose: introduction, Target: target(20)})
		}
		if n := len(d.stemsOf()); n > d.o.Settings.PoolMax {
			t.Errorf("%d stems, and there may be %d", n, d.o.Settings.PoolMax)
		}
		for _, r := range d.stemsOf() {
			d.isOpen(r)
		}
		s.later.Add(int64(time.Hour)) // and the demand is over
		d.sweepStems(d.ctx)
		if n := len(d.stemsOf()); n != 0 {
			t.Errorf("%d stems an hour after the last visit", n)
		}
	})
	atStems(t, func(d *desk, _ *shifting) {
		d.o.Settings.Prebuild = false
		d.openFor(d.ctx, &Open{Owner: d.quiet, Token: 2, Purpose: introduction, Target: target(20)})
		if n := len(d.stemsOf()); n != 0 {
			t.Errorf("%d stems without prebuilding", n)
		}
	})
	atStems(t, func(d *desk, _ *shifting) { // a service is hosted: a client may come
		d.records["intro"] = &record{id: "intro", pid: d.quiet, purpose: chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION, open: true, wish: &Open{Owner: d.quiet}}
		d.sweepStems(d.ctx)
		d.serve(d.ctx)
		if n := len(d.stemsOf()); n != leastStems {
			t.Errorf("%d stems while a service is hosted, want %d", n, leastStems)
		}
	})
}

// What a stem may become, and that it is closed when it would not be built any more.
func TestStemsThatDoNotDo(t *testing.T) {
	t.Parallel()
	const meets, not = 21, 22 // relays that may be rendezvous points, or not
	for name, tt := range map[string]struct {
		stem   []byte
		wish   Open
		change func(d *desk, s *shifting, r *record)
		want   bool
		closed bool // by the next sweep
	}{
		"introduction":                   {stem: []byte{1, 5, meets}, wish: Open{Purpose: introduction, Target: target(20)}, want: true},
		"directory":                      {stem: []byte{1, 5, meets}, wish: Open{Purpose: chivev1.Purpose_PURPOSE_ONION_DIRECTORY, Target: target(20)}, want: true},
		"for a client":                   {stem: []byte{1, 5, not}, wish: Open{Purpose: chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS, Target: target(20)}, want: true},
		"rendezvous":                     {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, want: true},
		"the other guard":                {stem: []byte{2, 5, meets}, wish: Open{Purpose: rendezvous}, want: true},
		"to its own guard":               {stem: []byte{1, 5, meets}, wish: Open{Purpose: introduction, Target: target(1)}, want: true},
		"to its second layer":            {stem: []byte{1, 5, meets}, wish: Open{Purpose: introduction, Target: target(5)}},
		"to its last hop":                {stem: []byte{1, 5, meets}, wish: Open{Purpose: introduction, Target: target(meets)}},
		"no rendezvous point":            {stem: []byte{1, 5, not}, wish: Open{Purpose: rendezvous}},
		"not that rendezvous point":      {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous, Avoid: netdoc.Digest{meets}}},
		"no publishing":                  {stem: []byte{1, 5, meets}, wish: Open{Purpose: chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY, Target: target(20)}},
		"no introduction point of ours":  {stem: []byte{1, 5, meets}, wish: Open{Purpose: chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION, Target: target(20)}},
		"a guard that is not used":       {stem: []byte{3, 5, meets}, wish: Open{Purpose: rendezvous}, closed: true},
		"a guard that is used no more":   {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, change: func(_ *desk, s *shifting, _ *record) { s.used = s.list[1:3] }, closed: true},
		"a relay that left the layer":    {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, change: func(_ *desk, s *shifting, _ *record) { s.layers.Second = []netdoc.Digest{{6}, {7}} }, closed: true},
		"another mode":                   {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, change: func(_ *desk, s *shifting, _ *record) { s.layers.Third = []netdoc.Digest{{9}, {10}} }, closed: true},
		"rules that changed":             {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, change: func(d *desk, _ *shifting, _ *record) { d.rebuild(d.ctx) }, closed: true},
		"it waits for a better guard's":  {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, change: func(_ *desk, _ *shifting, r *record) { r.open, r.waits = false, true }},
		"the network must not be used":   {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, change: func(d *desk, _ *shifting, _ *record) { d.dir.Unusable = true }},
		"nobody knows the network as is": {stem: []byte{1, 5, meets}, wish: Open{Purpose: rendezvous}, change: func(d *desk, _ *shifting, _ *record) { d.dir.Enough = false }},
	} {
		atStems(t, func(d *desk, s *shifting) {
			d.stems.last = d.o.Now()
			r := &record{id: "stem", pid: d.quiet, purpose: stem, hops: 3, first: netdoc.Digest{tt.stem[0]}, open: true, launched: d.now, idleSince: d.now}
			for _, b := range tt.stem {
				r.stem = append(r.stem, netdoc.Digest{b})
			}
			d.records[r.id], d.stems.spare = r, append(d.stems.spare, r)
			if tt.change != nil {
				tt.change(d, s, r)
			}
			d.layers(d.ctx)
			d.sweepStems(d.ctx)
			d.retire(d.ctx, r)
			if r.closing != tt.closed {
				t.Errorf("%s: closed: %v", name, r.closing)
			}
			tt.wish.Owner, tt.wish.Token = d.quiet, 1
			if got := d.takeStem(d.ctx, &tt.wish); got != tt.want || got != (r.purpose == tt.wish.Purpose) {
				t.Errorf("%s: taken: %v, and it is for %v", name, got, r.purpose)
			}
			if tt.want && (tt.wish.Target != nil) != !r.open {
				t.Errorf("%s: open: %v", name, r.open)
			}
		})
	}
}

// Whatever comes and goes: a stem is given to one wish, once, and has the shape of what it
// becomes by the guards and layers of that moment; no wish is lost, and none is served twice.
func TestStemsAreGivenOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		atStems(t, func(d *desk, s *shifting) {
			became := map[*record]*Open{} // what was a stem
			was := map[*record]bool{}
			wishes := map[uint64]*Open{}
			look := func() {
				building, placed := 0, map[*Open]int{}
				for _, m := range d.opens {
					placed[m]++
				}
				for _, r := range d.records {
					if !r.open && !r.waits && !r.late && !r.far {
						building++
					}
					if r.wish != nil && !r.abandoned {
						placed[r.wish]++
					}
					if r.purpose == stem {
						was[r] = true
						if r.streams > 0 {
							t.Fatal("a stream on a stem")
						}
						continue
					}
					switch m := became[r]; {
					case !was[r]:
					case m == nil:
						became[r] = r.wish
						whole := slices.Clone(r.stem)
						if r.wish.Target != nil {
							whole = append(whole, r.wish.Target.RSA)
						}
						if err := shapes[r.purpose].Check(whole, s.used, s.layers); err != nil {
							t.Fatalf("%v: %v", r.purpose, err)
						}
					case m != r.wish || r.purpose != m.Purpose:
						t.Fatal("given away twice")
					}
				}
				if _, n := d.stems.good(); n > d.mostStems() {
					t.Fatalf("%d stems are being built", n)
				}
				if building != d.building {
					t.Fatalf("%d circuits are being built, and %d are counted", building, d.building)
				}
				for _, m := range wishes {
					if placed[m] != 1 {
						t.Fatalf("a wish is in %d places", placed[m])
					}
				}
			}
			some := func(want func(*record) bool) *record {
				var all []*record
				for _, r := range d.records {
					if want(r) {
						all = append(all, r)
					}
				}
				if len(all) == 0 {
					return nil
				}
				slices.SortFunc(all, func(a, b *record) int { return a.launched.Compare(b.launched) })
				return all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
			}
			for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
				s.later.Add(int64(time.Millisecond))
				switch rapid.IntRange(0, 8).Draw(t, "what") {
				case 0, 1, 2:
					m := &Open{Owner: d.quiet, Token: uint64(i + 1), Purpose: rapid.SampledFrom([]chivev1.Purpose{
						introduction, rendezvous, chivev1.Purpose_PURPOSE_ONION_DIRECTORY, chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS,
					}).Draw(t, "purpose")}
					if m.Purpose != rendezvous {
						m.Target = target(byte(rapid.IntRange(1, 24).Draw(t, "target")))
					}
					wishes[m.Token] = m
					d.openFor(d.ctx, m)
				case 3, 4:
					if r := some(func(r *record) bool { return !r.open && !r.waits && !r.closing }); r != nil {
						d.atLast(d.ctx, &circuit.AtLast{ID: r.id})
						if rapid.Bool().Draw(t, "last") {
							d.isOpen(r)
						}
					}
				case 5:
					if r := some(func(*record) bool { return true }); r != nil {
						if r.purpose != stem && r.wish != nil { // its owner hears of it
							delete(wishes, r.wish.Token)
						}
						d.gone(d.ctx, &circuit.Gone{ID: r.id, Outcome: chivev1.Outcome_OUTCOME_DESTROYED, WasOpen: r.open})
					}
				case 6:
					for token := range wishes {
						d.shut(d.ctx, &Shut{Owner: d.quiet, Token: token})
						delete(wishes, token)
						break
					}
				case 7:
					from := rapid.IntRange(0, 2).Draw(t, "guards")
					s.used = s.list[from : from+2]
				case 8:
					n := byte(rapid.IntRange(5, 9).Draw(t, "layer"))
					s.layers = path.Layers{Second: []netdoc.Digest{{n}, {n + 1}}}
					if rapid.Bool().Draw(t, "full") {
						s.layers.Third = []netdoc.Digest{{n + 4}, {n + 5}}
					}
					d.serve(d.ctx)
				}
				d.sweepStems(d.ctx)
				look()
			}
		})
	})
}
