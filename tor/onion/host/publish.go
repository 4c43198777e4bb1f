package host

import (
	"errors"
	"maps"
	"slices"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
)

const (
	minRefresh    = time.Hour // C tor's HS_SERVICE_NEXT_UPLOAD_TIME_MIN
	maxRefresh    = 2 * time.Hour
	minGap        = time.Minute      // between two descriptors of one slot, unless access changed
	patience      = 30 * time.Second // for the points that are missing
	buildAgain    = 5 * time.Minute
	maxUploads    = 8 // at a time
	uploadTimeout = 2 * time.Minute
	firstUpload   = 30 * time.Second // until a failed one is tried again
	longestUpload = 15 * time.Minute
)

// Why a period has no descriptor.
var (
	ErrNoClients = errors.New("the service is for authorised clients only and has none")
	ErrStale     = errors.New("the consensus is too old to publish by")
)

// ErrRefused: the directory answered that it does not take the descriptor. Other
// errors of an upload leave open whether it did.
var ErrRefused = errors.New("the directory refused the descriptor")

// credential is what a client proves to have read.
type credential struct {
	period        onion.Period
	blinded       onion.BlindedKey
	subcredential onion.Subcredential
}

// slot is one period that is published for.
type slot struct {
	onion.Slot
	credential
	directories []*directory            // ring order
	known       map[[32]byte]*directory // those that ever were, this period

	text      []byte
	revision  uint64
	listed    []PointID // in text, ascending
	effort    uint32    // suggested in text
	built     time.Time
	next      time.Time // when it is built anew
	begins    time.Time // the first is made, not before; zero: at any time
	retryAt   time.Time // after a build that failed
	dirty     Because   // what changed since; 0: nothing
	urgent    bool      // the next is made without a wait
	announced uint64    // the revision that was told to be everywhere
	told      error     // why there is none, as told last

	moving time.Time // since when other points are to be listed than are, if they are shared
	moves  window    // descriptors that were made for it
}

// directory is one relay that stores a slot's descriptor.
type directory struct {
	id       [32]byte
	revision uint64    // which it has; 0: none
	held     []PointID // in that
	flying   bool
	doubtful bool // an upload of the newest ended without an answer: it may have it
	failures int
	refusals int // of a shared service's descriptors, in a row
	retryAt  time.Time
}

// upload is one under way.
type upload struct {
	slot     *slot
	to       *directory
	revision uint64
	listed   []PointID
	began    time.Time // or when its circuit was, with building
	building bool
}

// reviewSlots makes the slots those of the view, and their directories.
func (s *Service) reviewSlots() {
	first, second := s.view.Store()
	var slots []*slot
	for _, want := range []onion.Slot{first, second} {
		i := slices.IndexFunc(s.slots, func(o *slot) bool { return o.Period == want.Period })
		var sl *slot
		if i >= 0 {
			sl = s.slots[i]
		} else if sl = s.newSlot(want); sl == nil {
			continue
		}
		sl.Slot = want
		slots = append(slots, sl)
	}
	for _, old := range s.slots {
		if !slices.Contains(slots, old) {
			s.past = &old.credential
			s.cancel(func(u *upload) bool { return u.slot == old })
		}
	}
	s.slots = slots
	for _, sl := range s.slots {
		s.reviewDirectories(sl)
	}
	// The one that clients look for comes first.
	fetch := s.view.Fetch().Period
	slices.SortStableFunc(s.slots, func(a, b *slot) int { return boolInt(b.Period == fetch) - boolInt(a.Period == fetch) })
}

func (s *Service) newSlot(at onion.Slot) *slot {
	blinded, err := s.address.Blind(at.Period)
	if err != nil {
		return nil // New refuses such an address
	}
	return &slot{
		Slot: at, credential: credential{at.Period, blinded, s.address.Subcredential(blinded)},
		known: make(map[[32]byte]*directory),
	}
}

// reviewDirectories keeps what is known of directories, for one that comes back has
// what it was sent.
func (s *Service) reviewDirectories(sl *slot) {
	ids := s.view.Ring(sl.Slot).Responsible(sl.blinded, s.view.Replicas, s.view.SpreadStore)
	directories := make([]*directory, len(ids))
	for i, id := range ids {
		if sl.known[id] == nil {
			sl.known[id] = &directory{id: id}
		}
		directories[i] = sl.known[id]
	}
	s.cancel(func(u *upload) bool { return u.slot == sl && !slices.Contains(directories, u.to) })
	sl.directories = directories
}

func (s *Service) cancel(which func(*upload) bool) {
	for _, id := range sortedKeys(s.uploads) {
		if u := s.uploads[id]; which(u) {
			u.to.flying = false
			delete(s.uploads, id)
			s.do(CancelUpload{id})
		}
	}
}

// set is the points to list, ascending: those that were up and are not given up.
// A circuit that is being made again does not take its point out.
func (s *Service) set() (ids []PointID, complete bool) {
	others := false
	for _, p := range s.inUse() {
		if p.since.IsZero() {
			others = true
		} else {
			ids = append(ids, p.id)
		}
	}
	slices.Sort(ids)
	return ids, len(ids) >= s.config.Points || len(ids) > 0 && !others && s.noPick
}

// listed: does a descriptor that a directory has, or will, name the point?
func (s *Service) listed(id PointID) bool {
	for _, sl := range s.slots {
		if slices.Contains(sl.listed, id) {
			return true
		}
		for _, d := range sl.directories {
			if slices.Contains(d.held, id) {
				return true
			}
		}
	}
	return false
}

func (s *Service) tendSlots(now time.Time) {
	s.tendUploads(now)
	ids, complete := s.listing(now)
	if complete || len(ids) == 0 {
		s.unsettled = time.Time{}
	} else if s.unsettled.IsZero() {
		s.unsettled = now
	}
	if s.view == nil {
		return
	}
	if !s.publishing(now) {
		s.hush()
		return
	}
	if err := s.cannot(now); err != nil {
		for _, sl := range s.slots {
			s.unpublishable(sl, err)
		}
		return
	}
	s.relieve()
	if s.waitsForTurn(now) {
		return
	}
	if len(ids) > 0 && (complete || s.due(s.unsettled.Add(patience), now) || s.hasten(ids)) {
		for _, sl := range s.slots {
			if because, ok := s.needs(sl, ids, now); ok {
				s.build(sl, ids, because, now)
			}
		}
	}
	for _, sl := range s.slots {
		s.send(sl, now)
	}
}

// cannot says why nothing is published at all.
func (s *Service) cannot(now time.Time) error {
	switch {
	case !s.publishable():
		return ErrNoClients
	case s.due(s.view.Until, now):
		return ErrStale
	case s.shared.ahead(now):
		return ErrAhead
	}
	return nil
}

// relieve: what kept everything from being published is over.
func (s *Service) relieve() {
	for _, sl := range s.slots {
		if errors.Is(sl.told, ErrNoClients) || errors.Is(sl.told, ErrStale) || errors.Is(sl.told, ErrAhead) {
			sl.told = nil
		}
	}
}

func (s *Service) unpublishable(sl *slot, why error) {
	if !errors.Is(sl.told, why) {
		sl.told = why
		s.tell(Unpublishable{sl.Period, why})
	}
}

// needs says why a slot's descriptor is to be made, if it is.
func (s *Service) needs(sl *slot, ids []PointID, now time.Time) (Because, bool) {
	if !s.due(sl.retryAt, now) {
		return 0, false
	}
	switch {
	case sl.text == nil:
		return First, sl.urgent || sl.dirty == Access || s.due(sl.begins, now)
	case sl.dirty == Access:
		return Access, true
	case sl.dirty == Work && s.config.PoW != nil:
		return Work, s.due(sl.built.Add(s.config.PoW.gap()), now)
	case sl.dirty != 0:
		return sl.dirty, sl.urgent || s.due(sl.built.Add(minGap), now)
	case !slices.Equal(sl.listed, ids):
		return PointsMoved, sl.urgent || s.moveDue(sl, ids, now)
	}
	sl.moving = time.Time{}
	return Refresh, s.due(sl.next, now)
}

// build makes a slot's descriptor.
func (s *Service) build(sl *slot, ids []PointID, because Because, now time.Time) {
	text, revision, err := s.describe(sl, ids, now)
	for errors.Is(err, descriptor.ErrTooLarge) && s.fewer(len(ids)) {
		ids = s.union(now)
		text, revision, err = s.describe(sl, ids, now)
	}
	if errors.Is(err, errBeyond) {
		return
	}
	if err != nil {
		sl.retryAt = now.Add(buildAgain)
		s.due(sl.retryAt, now)
		s.unpublishable(sl, err)
		return
	}
	floor := Floor{sl.Period, revision}
	s.floors.Raise(floor)
	s.do(Keep{floor})
	sl.text, sl.revision, sl.listed, sl.built, sl.dirty, sl.urgent, sl.told = text, revision, ids, now, 0, false, nil
	sl.moving = time.Time{}
	sl.next = now.Add(s.rand.between(minRefresh, maxRefresh))
	if s.queue != nil {
		sl.effort = s.queue.Suggested()
	}
	for _, d := range sl.directories {
		d.failures, d.retryAt, d.doubtful = 0, time.Time{}, false
	}
	s.tell(Described{sl.Period, revision, len(ids), because})
	s.due(sl.next, now)
}

func (s *Service) describe(sl *slot, ids []PointID, now time.Time) ([]byte, uint64, error) {
	keys, err := s.keys.Period(s.rand, sl.Period, now)
	if err != nil {
		return nil, 0, err
	}
	signer := descriptor.Signer{
		Blinded: sl.blinded, Subcredential: sl.subcredential, SigningKey: keys.Signing, SigningCert: keys.Cert,
		Revision:    s.revision(keys.Revision, sl, now),
		Lifetime:    descriptor.DefaultLifetime,
		CertExpires: now.Add(descriptor.CertLifetime),
	}
	if signer.Revision == 0 {
		return nil, 0, errBeyond
	}
	if s.config.Restricted {
		signer.Clients = s.config.Clients
		if s.visits != nil {
			signer.Clients = append(slices.Clone(signer.Clients), *s.visits)
		}
	}
	d := descriptor.Descriptor{Handshakes: []uint16{2}, FlowControl: s.view.FlowControl}
	if s.gate != nil {
		params := s.gate.Params(s.queue.Suggested())
		d.PoW = &params
	}
	for _, id := range ids {
		d.Intros = append(d.Intros, s.intro(id))
	}
	text, err := signer.Build(s.rand, &d)
	return text, signer.Revision, err
}

// send begins the uploads that are due.
func (s *Service) send(sl *slot, now time.Time) {
	if sl.text == nil {
		return
	}
	for _, d := range sl.directories {
		if d.flying || d.revision == sl.revision || !s.due(d.retryAt, now) {
			continue
		}
		if len(s.uploads) >= maxUploads {
			return // the next to end looks again
		}
		id := UploadID(s.newID())
		d.flying = true
		s.uploads[id] = &upload{slot: sl, to: d, revision: sl.revision, listed: sl.listed, began: now}
		s.do(Upload{id, sl.Period, d.id, sl.text})
		s.due(now.Add(queueTimeout), now)
	}
}

// Uploaded says how an upload ended; cause nil: the directory took it.
func (s *Service) Uploaded(id UploadID, cause error, now time.Time) {
	if !s.publishing(now) {
		s.hush() // the answer is of interest to nobody
	}
	if _, ok := s.uploads[id]; ok {
		s.uploaded(id, cause, now)
		s.settle(now)
	}
}

func (s *Service) uploaded(id UploadID, cause error, now time.Time) {
	u := s.uploads[id]
	delete(s.uploads, id)
	u.to.flying = false
	if errors.Is(cause, ErrRefused) && u.to.doubtful {
		cause = nil // it has this revision already; that is how a directory says so
	}
	s.tell(Stored{u.slot.Period, u.to.id, cause})
	if errors.Is(cause, ErrQueued) { // the directory was not asked
		u.to.retryAt = now.Add(firstUpload)
		return
	}
	if cause != nil {
		u.to.doubtful = u.revision == u.slot.revision && !errors.Is(cause, ErrRefused)
		u.to.failures++
		s.overtaken(u, cause)
		u.to.retryAt = now.Add(s.rand.backoff(u.to.failures, firstUpload, longestUpload))
		return
	}
	u.to.revision, u.to.held, u.to.failures, u.to.refusals = u.revision, u.listed, 0, 0
	sl := u.slot
	everywhere := !slices.ContainsFunc(sl.directories, func(d *directory) bool { return d.revision != sl.revision })
	if everywhere && sl.announced != sl.revision {
		sl.announced = sl.revision
		s.tell(Published{sl.Period, sl.revision, len(sl.directories)})
	}
}

// tendWork renews the seeds and the effort that is suggested.
func (s *Service) tendWork(now time.Time) {
	if s.gate == nil {
		return
	}
	if renewed, err := s.gate.Rotate(now); err != nil {
		panic(err) // of the source alone, which does not fail
	} else if renewed {
		s.dirty(Work)
	}
	s.due(s.gate.NextRotation(), now)
	if s.due(s.effortAt, now) {
		s.queue.Update()
		s.effortAt = now.Add(s.config.PoW.period())
		s.due(s.effortAt, now)
		for _, sl := range s.slots {
			if sl.text != nil && sl.dirty == 0 && pow.WorthPublishing(sl.effort, s.queue.Suggested()) {
				sl.dirty = Work
			}
		}
	}
}

func sortedKeys[K ~uint64, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
