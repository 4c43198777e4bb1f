package directory

import (
	"context"
	"errors"
	"slices"
	"time"

	"chive/actors/kernel"
	"chive/internal/cores"
	"chive/messages/chivev1"
	"chive/tor/dirproto"
	"chive/tor/netdoc"
)

const (
	// parallel is how many requests for microdescriptors run at once.
	parallel = 4
	// minBatch is how many microdescriptors are not worth dividing among several
	// directories; C tor's MIN_DL_PER_REQUEST.
	minBatch = 32
	// minRequests is among how many directories more than that are divided, if
	// there are so many (dir-spec §5.2).
	minRequests = 3
	// maxFailures is how many requests in a row may fail before there is a pause.
	maxFailures = 4
)

// again is when a microdescriptor that a directory did not have is asked for again,
// elsewhere (dir-spec §5.2; the day of its last step is cut to the hour after which
// clients forget failures).
var again = []time.Duration{0, time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour}

// miss is what is known of a microdescriptor that directories did not have. It says
// nothing of the relay, which is as good as any once somebody has it: a cache that
// withholds microdescriptors takes no relay away (TROVE-2026-034).
type miss struct {
	times int
	next  time.Time       // not to be asked for before
	by    []netdoc.Digest // the last directories that did not have it
}

// maxBy is how many directories that did not have it are avoided.
const maxBy = 4

func (w *worker) missed(d netdoc.MDDigest, by netdoc.Digest) {
	m := w.misses[d]
	m.next = w.o.Now().Add(again[min(m.times, len(again)-1)])
	m.times++
	m.by = append(m.by[max(0, len(m.by)-maxBy+1):], by)
	w.misses[d] = m
}

// missing lists the microdescriptors that the consensus names and are not here.
func (w *worker) missing() []netdoc.MDDigest {
	var out []netdoc.MDDigest
	for i := range w.consensus.Relays {
		d := w.consensus.Relays[i].MD
		if !d.IsZero() && w.mds[d] == nil {
			out = append(out, d)
		}
	}
	return out
}

// downloadable lists those that may be asked for now, in random order, those that were
// missed last. As long as there are not enough to build circuits, none has to wait.
func (w *worker) downloadable() []netdoc.MDDigest {
	now := w.o.Now()
	want := slices.DeleteFunc(w.missing(), func(d netdoc.MDDigest) bool { return w.enough && now.Before(w.misses[d].next) })
	w.o.Rand.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	if len(w.misses) == 0 {
		return want
	}
	slices.SortStableFunc(want, func(a, b netdoc.MDDigest) int { return w.misses[a].times - w.misses[b].times })
	return want
}

// nextMicrodescs is when one of those that are missing may be asked for again; zero when
// there are none.
func (w *worker) nextMicrodescs() time.Time {
	var first time.Time
	if w.consensus == nil || w.unusable {
		return first
	}
	for _, d := range w.missing() {
		if m, ok := w.misses[d]; ok && (first.IsZero() || m.next.Before(first)) {
			first = m.next
		}
	}
	return first
}

type batch struct {
	from Target
	want []netdoc.MDDigest
	body []byte
	took time.Duration
	err  error
}

// fetchMicrodescs fetches what is missing, some requests at a time from different
// sources, and publishes as it goes. What one source fails to give, the next is asked
// for.
func (w *worker) fetchMicrodescs(ctx context.Context) error {
	want := w.downloadable()
	if len(want) == 0 {
		return nil
	}
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_MICRODESCRIPTORS, 50, "fetching microdescriptors")
	size := min(max(minBatch, (len(want)+minRequests-1)/minRequests), dirproto.MaxMicrodescs)
	results := make(chan batch, parallel)
	running, failures := 0, 0
	var failed error
	for {
		for ; running < parallel && len(want) > 0 && failures < maxFailures && ctx.Err() == nil; running++ {
			n := min(len(want), size)
			w.ask(ctx, want[:n:n], results)
			want = want[n:]
		}
		if running == 0 {
			break
		}
		b := <-results
		running--
		if err := w.take(b); err != nil {
			failed = err
			failures++
			want = append(want, b.want...)
			continue
		}
		failures, failed = 0, nil
		for _, d := range b.want { // at once elsewhere, if only one did not have it
			if w.mds[d] == nil && w.misses[d].times == 1 {
				want = append(want, d)
			}
		}
		w.publishSome()
	}
	w.publish()
	if failed == nil && !w.enough && len(w.missing()) > 0 {
		failed = errors.New("too many microdescriptors are still missing")
	}
	return failed
}

// ask makes one request, of a source that is not known to lack what is wanted.
func (w *worker) ask(ctx context.Context, want []netdoc.MDDigest, results chan<- batch) {
	var lacking []netdoc.Digest
	for _, d := range want {
		for _, by := range w.misses[d].by {
			if !slices.Contains(lacking, by) {
				lacking = append(lacking, by)
			}
		}
	}
	b := batch{from: w.source(lacking...), want: want}
	start := w.o.Now()
	kernel.Go("microdescriptor fetch", func() {
		var res *dirproto.Response
		if res, b.err = w.get(ctx, b.from, dirproto.MicrodescsRequest(b.want)); b.err == nil {
			b.body = res.Body
		}
		b.took = w.o.Now().Sub(start)
		results <- b
	}, func(p *kernel.Panic) { b.err = p; results <- b })
}

// take keeps what was asked for. A directory that sends nothing of it is not asked
// again soon, unless another had nothing either; one that lacks some is not asked for
// those. No relay suffers for it.
func (w *worker) take(b batch) error {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS
	if b.err != nil && !errors.Is(b.err, errNotFound) { // not found: it has none of them
		w.shunFor(b.from, b.err)
		return w.reject(kind, b.err)
	}
	w.fetched(kind, len(b.body), b.took, false)
	asked := map[netdoc.MDDigest]bool{}
	for _, d := range b.want {
		asked[d] = true
	}
	var raws []byte
	got := 0
	defer cores.Wide()()
	err := w.reader.Read(b.body, func(md *netdoc.Microdesc, raw []byte) {
		if !asked[md.Digest] || w.mds[md.Digest] != nil {
			return
		}
		w.mds[md.Digest] = md
		delete(w.misses, md.Digest)
		raws = append(raws, raw...)
		got++
	})
	w.emit(kind, got, 0, time.Time{})
	w.append(fileMicrodescs, raws)
	first := false
	for _, d := range b.want {
		if w.mds[d] == nil {
			first = first || w.misses[d].times == 0
			w.missed(d, b.from.Identity)
		}
	}
	err = errors.Join(b.err, err)
	if got > 0 && err == nil || got == 0 && !first {
		return nil
	}
	w.shun(b.from)
	if got > 0 { // the good ones were taken
		return nil
	}
	if err == nil {
		err = errors.New("nothing of what was asked for")
	}
	return w.reject(kind, err)
}

// publishSome publishes when there is much that is new: an index of thousands of relays
// is not made for every answer.
func (w *worker) publishSome() {
	share := len(w.consensus.Relays) / 20
	if w.enough {
		share *= 5
	}
	if len(w.mds)-w.published > share {
		w.publish()
	}
}

// forgetOldMicrodescs drops those that no relay of the consensus has.
func (w *worker) forgetOldMicrodescs() {
	named := make(map[netdoc.MDDigest]bool, len(w.consensus.Relays))
	for i := range w.consensus.Relays {
		named[w.consensus.Relays[i].MD] = true
	}
	for d := range w.mds {
		if !named[d] {
			delete(w.mds, d)
			w.dead++
		}
	}
	for d := range w.misses {
		if !named[d] {
			delete(w.misses, d)
		}
	}
	w.compact()
}
