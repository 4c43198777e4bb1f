package host

import (
	"bytes"
	"errors"
	"slices"
	"sort"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
)

// A service that several nodes host: each keeps introduction points of its own and
// answers their clients; one at a time publishes those of all.
//
//	standby ── Share(publish) ──► publisher ── Share(not publish), or its time is over ──► standby
//
// Until the first Share it is on standby.

const (
	settleTime  = 1500 * time.Millisecond // for what comes one after the other
	downLimit   = time.Minute             // a point that is down for longer is not offered
	rotateEvery = 30 * time.Minute        // of points that do not all fit
	maxMoves    = 5                       // descriptors made in a moveWindow because points moved, without minGap
	moveWindow  = 5 * time.Minute
	maxForeign  = 4096           // other nodes' points that are kept
	maxAhead    = 24 * time.Hour // of others' revisions
	maxRefusals = 3              // of one directory that make a newer descriptor
	fewest      = 3              // points that are listed however many clients there are
)

// ErrAhead: the descriptors of another node are of the future.
var ErrAhead = errors.New("another node of this service published by a clock that is a day ahead: set the clocks")

// Foreign is an introduction point of another node.
type Foreign struct {
	Node  string
	Point ForeignPoint
}

// sharing is what a node knows of the others of its service.
type sharing struct {
	publish bool
	floor   uint64    // seconds: the time that others' newest revision stands for
	until   time.Time // of publish
	others  []*foreign
	most    int    // points that fit into a descriptor beside the clients
	stamp   uint64 // seconds: the time that our newest revision stands for, or that the next is to
	stored  uint64 // seconds: likewise of the newest that all directories have
	ceiling uint64 // seconds: no revision stands for a later time; 0: any does
}

type foreign struct {
	Foreign
	id      PointID
	private bool // where no client of the public network is sent
}

// setShared follows the settings. What was published is forgotten when they change.
func (s *Service) setShared() {
	if s.config.Shared == (s.shared != nil) {
		return
	}
	s.hush()
	s.shared = nil
	if s.config.Shared {
		s.shared = &sharing{most: descriptor.MaxIntroPoints}
	}
}

// newGate makes a gate whose seeds the other nodes have too, if there are any.
func (s *Service) newGate(now time.Time) (*pow.Gate, error) {
	if s.config.Shared {
		return pow.NewAgreedGate(s.config.Seeds, now), nil
	}
	return pow.NewGate(s.rand, now)
}

// Share says what this node is to do for a service with Config.Shared, and what the
// others have. A publisher publishes until the time given and not after; floor is the
// highest Published of any node, and its descriptors are newer. What of others is no
// introduction point, or given twice, is left out and counted. An introduction point of
// ours that another node has too, because its folder was copied, is given up.
func (s *Service) Share(publish bool, floor uint64, until time.Time, others []Foreign, now time.Time) (refused int) {
	if s.shared == nil || s.stopped {
		return 0
	}
	refused = s.setForeign(others)
	if publish && !s.shared.publish {
		s.begin() // nobody else does
	}
	s.shared.publish, s.shared.floor, s.shared.until = publish, floor, until
	s.settle(now)
	return refused
}

func (s *Service) setForeign(others []Foreign) (refused int) {
	known := make(map[Foreign]*foreign, len(s.shared.others))
	for _, f := range s.shared.others {
		known[f.Foreign] = f
	}
	seen := make(map[[32]byte]bool, len(others))
	var kept []*foreign
	for _, o := range others {
		f := known[o]
		switch {
		case seen[o.Point.AuthKey] || len(kept) >= maxForeign:
			refused++
			continue
		case f == nil && o.Point.Check(true) != nil:
			refused++
			continue
		case f == nil:
			f = &foreign{o, PointID(s.newID()), o.Point.Check(false) != nil}
		}
		seen[o.Point.AuthKey] = true
		kept = append(kept, f)
	}
	for _, p := range slices.Clone(s.points) {
		if seen[p.authKey()] {
			s.remove(p, Copied)
		}
	}
	s.shared.others = kept
	return refused
}

func (s *Service) foreign(id PointID) *foreign {
	i := slices.IndexFunc(s.shared.others, func(f *foreign) bool { return f.id == id })
	if i < 0 {
		return nil
	}
	return s.shared.others[i]
}

// clockJump is by how much the two clocks may come apart before a right is in doubt.
const clockJump = time.Second

// publishing: is it for this node to publish now? The wall clock may end it too: it goes
// on while the machine sleeps, which the monotonic one may not; and so does that it was set.
func (s *Service) publishing(now time.Time) bool {
	sh := s.shared
	if sh == nil {
		return true
	}
	wall := sh.until.Round(0).Sub(now.Round(0))
	if sh.publish && (s.due(sh.until, now) || wall <= 0 || (wall-sh.until.Sub(now)).Abs() > clockJump) {
		sh.publish = false
	}
	return sh.publish
}

// hush ends what is being published, and forgets what was: another node publishes, and
// what directories have is not known any more.
func (s *Service) hush() {
	s.cancel(func(*upload) bool { return true })
	for _, sl := range s.slots {
		if sl.text == nil && sl.told == nil {
			continue
		}
		sl.text, sl.revision, sl.listed, sl.announced, sl.dirty, sl.told = nil, 0, nil, 0, 0, nil
		sl.built, sl.next, sl.retryAt = time.Time{}, time.Time{}, time.Time{}
		for _, d := range sl.known {
			*d = directory{id: d.id}
		}
	}
}

// offered are our points that the others may list, by authentication key: those that
// were up, are not given up, and are not down for long.
func (s *Service) offered(now time.Time) (out []*point) {
	for _, p := range s.inUse() {
		if p.since.IsZero() || p.kept || !p.down.IsZero() && s.due(p.down.Add(downLimit), now) {
			continue
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *point) int { a1, b1 := a.authKey(), b.authKey(); return bytes.Compare(a1[:], b1[:]) })
	return out
}

// Offers are the introduction points for the other nodes to list, in a fixed order; none
// if the service is not shared.
func (s *Service) Offers(now time.Time) (out []ForeignPoint) {
	if s.shared == nil {
		return nil
	}
	for _, p := range s.offered(now) {
		f := ForeignPoint{Relay: pointOf(p.relay.Specs, p.relay.OnionKey), AuthKey: p.authKey(), EncKey: p.ntor.EncKey()}
		out = append(out, f)
	}
	return out
}

// Published is the newest descriptor that a shared service made here: the time that its
// revision stands for, in seconds (Unix). Unlike revisions it compares over periods, and
// over nodes. 0: none.
func (s *Service) Published() uint64 {
	if s.shared == nil {
		return 0
	}
	return s.shared.stamp
}

// Built is when the newest descriptor that counts was made here; zero: there is none, or
// another node has published since.
func (s *Service) Built() (at time.Time) {
	for _, sl := range s.slots {
		if sl.built.After(at) {
			at = sl.built
		}
	}
	return at
}

// Stored is the newest descriptor that was made here of those that every directory has, as
// Published. 0: none.
func (s *Service) Stored() uint64 {
	if s.shared == nil {
		return 0
	}
	if s.shared.publish && s.everywhere() {
		s.shared.stored = s.shared.stamp
	}
	return s.shared.stored
}

// everywhere: is the newest descriptor of each period with all its directories, and no newer
// one to be made?
func (s *Service) everywhere() bool {
	return len(s.slots) > 0 && !slices.ContainsFunc(s.slots, func(sl *slot) bool {
		return sl.text == nil || sl.dirty != 0 || sl.announced != sl.revision
	})
}

// Until is when the publisher of a shared service stops, unless it is told to go on; ok
// is false if it does not publish, or is not shared.
func (s *Service) Until() (until time.Time, ok bool) {
	if s.shared == nil || !s.shared.publish {
		return time.Time{}, false
	}
	return s.shared.until, true
}

// MayUpload is asked right before an upload is sent: is it still wanted, and if the
// service is shared, still for this node to do?
func (s *Service) MayUpload(id UploadID, now time.Time) bool {
	return s.uploads[id] != nil && s.publishing(now)
}

// candidate is a point that may be listed.
type candidate struct {
	id   PointID
	auth [32]byte
}

func compareCandidates(a, b candidate) int { return bytes.Compare(a.auth[:], b.auth[:]) }

// union is what descriptors are to list, ascending: our points and those of the others.
// Every node of the service makes the same choice of what does not fit.
func (s *Service) union(now time.Time) (ids []PointID) {
	byNode := map[string][]candidate{}
	var ours []candidate
	for _, p := range s.offered(now) {
		ours = append(ours, candidate{p.id, p.authKey()})
	}
	total := len(ours)
	for _, f := range s.shared.others {
		if f.private && (s.view == nil || !s.view.AllowPrivate) {
			continue
		}
		byNode[f.Node] = append(byNode[f.Node], candidate{f.id, f.Point.AuthKey})
		total++
	}
	groups := make([][]candidate, 0, len(byNode)+1)
	if len(ours) > 0 {
		groups = append(groups, ours)
	}
	for _, g := range byNode {
		slices.SortFunc(g, compareCandidates)
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b []candidate) int { return compareCandidates(a[0], b[0]) })
	turn := now.Unix() / int64(rotateEvery/time.Second)
	if total > s.shared.most {
		s.due(time.Unix((turn+1)*int64(rotateEvery/time.Second), 0), now)
	}
	ids = choose(groups, s.shared.most, int(turn))
	slices.Sort(ids)
	return ids
}

// choose takes most points of groups, one for each node, none of which is empty. Each
// group has one, if there are no more groups than that; over turns, each group has its
// share and each point of a group is taken.
func choose(groups [][]candidate, most, turn int) (ids []PointID) {
	n := len(groups)
	if n > most {
		for i := range most {
			at := turn*most + i
			g := groups[at%n]
			ids = append(ids, g[at/n%len(g)].id)
		}
		return ids
	}
	for round, more := 0, true; more && len(ids) < most; round++ {
		more = false
		first := 0
		if n > 0 {
			first = turn * (most - n) % n // who is first has one more, of what is left
		}
		for i := 0; i < n && len(ids) < most; i++ {
			if g := groups[(first+i)%n]; round < len(g) {
				ids = append(ids, g[(turn+round)%len(g)].id)
				more = true
			}
		}
	}
	return ids
}

// fewer has fewer points listed than so many, with which a descriptor is too large; false:
// that cannot be helped.
func (s *Service) fewer(listed int) bool {
	if s.shared == nil || listed <= fewest {
		return false
	}
	s.shared.most = listed - 1
	return true
}

// tooManyRetired are points that nobody is to list and that others still may, the oldest
// first: there is room for so many.
func (s *Service) tooManyRetired(now time.Time) (out []*point) {
	if s.shared == nil {
		return nil
	}
	for _, p := range s.points {
		if p.retired {
			out = append(out, p)
		}
	}
	out = out[:max(len(out)-2*s.config.Points, 0)]
	return slices.DeleteFunc(out, func(p *point) bool { return !s.due(p.retireAt.Add(linger), now) })
}

// listing is what descriptors are to list; complete: nothing of ours is on its way.
func (s *Service) listing(now time.Time) (ids []PointID, complete bool) {
	ids, complete = s.set()
	if s.shared != nil {
		ids = s.union(now)
	}
	return ids, complete
}

// hasten: do other nodes' points make a descriptor due while ours are on their way? So
// it is for one that takes over, and when a point is no more.
func (s *Service) hasten(ids []PointID) bool {
	return s.shared != nil && len(ids) > 0 && slices.ContainsFunc(s.slots, func(sl *slot) bool {
		return sl.text == nil && len(s.shared.others) > 0 || s.lost(sl, ids)
	})
}

// lost: is a point listed that is no more?
func (s *Service) lost(sl *slot, ids []PointID) bool {
	return slices.ContainsFunc(sl.listed, func(id PointID) bool {
		return !slices.Contains(ids, id) && s.point(id) == nil && s.foreign(id) == nil
	})
}

// moveDue: is a descriptor to be made because others are to be listed? Points that come
// wait a little for more of them; those that are no more leave at once. Nodes that come
// and go all the time do not make descriptors all the time.
func (s *Service) moveDue(sl *slot, ids []PointID, now time.Time) bool {
	if s.shared == nil {
		return s.due(sl.built.Add(minGap), now)
	}
	if sl.moving.IsZero() {
		sl.moving = now
	}
	if !now.Before(sl.moves.began.Add(moveWindow)) {
		sl.moves = window{began: now}
	}
	at := sl.moving.Add(settleTime)
	if s.lost(sl, ids) {
		at = sl.moving
	}
	if gap := sl.built.Add(minGap); sl.moves.count >= maxMoves && gap.After(at) {
		at = gap
	}
	if !s.due(at, now) {
		return false
	}
	sl.moves.count++
	return true
}

// SetCeiling says of a shared service which time, in seconds, no revision of this node may
// stand for a later one than: it is the least that the next publisher goes on from, should
// this node end before it has told how far it came. 0: any may.
func (s *Service) SetCeiling(second uint64) {
	if s.shared != nil {
		s.shared.ceiling = second
	}
}

// errBeyond: the next revision is above the ceiling, which is raised when it is told of.
var errBeyond = errors.New("the revision is above what other nodes know of")

// revision is that of the next descriptor. Above the floor even if the clock was set back;
// 0: it would be above the ceiling.
func (s *Service) revision(key onion.RevisionKey, sl *slot, now time.Time) uint64 {
	least := s.floors.of(sl.Period) + 1
	if s.shared == nil {
		return max(key.Counter(sl.Slot, now), least)
	}
	counter := func(second int64) uint64 { return key.Counter(sl.Slot, time.Unix(second, 0)) }
	at := max(now.Unix(), int64(s.shared.floor)+1) // cannot refuses floors that overflow
	if counter(at) < least {
		// The others go on from a time, so it is one of which this is the revision.
		end := sl.RunStart.Add(onion.MaxRevisionOffset).Unix()
		at += int64(sort.Search(int(max(end-at, 0)), func(i int) bool { return counter(at+int64(i)) >= least }))
	}
	s.shared.stamp = max(s.shared.stamp, uint64(at))
	if c := s.shared.ceiling; c != 0 && s.shared.stamp > c {
		return 0
	}
	return max(counter(at), least)
}

// ahead: did others publish by a clock that is far ahead?
func (sh *sharing) ahead(now time.Time) bool {
	return sh != nil && sh.floor > uint64(now.Add(maxAhead).Unix())
}

// overtaken: a directory refused a descriptor. If another node published later than is
// known here, a newer one will do.
func (s *Service) overtaken(u *upload, cause error) {
	if s.shared == nil || !errors.Is(cause, ErrRefused) || u.revision != u.slot.revision {
		return
	}
	if u.to.refusals++; u.to.refusals <= maxRefusals && u.slot.dirty == 0 {
		u.slot.dirty = Overtaken
	}
}

// intro is how a descriptor lists a point of ours or of others.
func (s *Service) intro(id PointID) descriptor.IntroPoint {
	p := s.point(id)
	if p == nil {
		return s.foreign(id).Point.Intro()
	}
	return descriptor.IntroPoint{
		Specs: p.relay.Specs, OnionKey: p.relay.OnionKey, AuthKey: p.authKey(), EncKey: p.ntor.EncKey(),
	}
}
