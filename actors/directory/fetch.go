package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/actors/kernel"
	"chive/internal/cores"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/dirproto"
	"chive/tor/netdoc"
)

const (
	// fetchTime bounds one request with everything, headers included, so that
	// a directory cannot hold us by dripping.
	fetchTime = 60 * time.Second
	// shunTime is how long a source that failed is not asked again, while
	// there is another.
	shunTime = 10 * time.Minute
	// parallel is how many requests for microdescriptors run at once.
	parallel = 3
)

// errStatus is an answer that is not 200.
var errStatus = errors.New("directory answered with status")

// source chooses whom to ask: a directory guard if there is one, else a
// fallback, else an authority.
func (w *worker) source() Target {
	var lists [][]Target
	if w.o.Guards != nil {
		lists = append(lists, w.o.Guards())
	}
	lists = append(lists, w.o.Fallbacks, w.o.Authorities)
	now := w.o.Now()
	for _, l := range lists {
		good := slices.DeleteFunc(slices.Clone(l), func(t Target) bool { return now.Before(w.shunned[t.Identity]) })
		if len(good) > 0 {
			return good[w.o.Rand.IntN(len(good))]
		}
	}
	clear(w.shunned) // every one failed: likelier the network than all of them
	last := lists[len(lists)-1]
	return last[w.o.Rand.IntN(len(last))]
}

func (w *worker) shun(t Target) { w.shunned[t.Identity] = w.o.Now().Add(shunTime) }

// get makes one request.
func (w *worker) get(ctx context.Context, t Target, r dirproto.Request) (*dirproto.Response, error) {
	w.o.Limits.Fetches().Spend(1, ctx.Done())
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	conn, err := w.o.Dialer.DialDir(ctx, t)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(r.Append(nil)); err != nil {
		return nil, fmt.Errorf("directory request: %w", errors.Join(ctx.Err(), err))
	}
	res, err := dirproto.ReadResponse(conn, dirproto.DefaultLimits)
	if err != nil {
		return nil, errors.Join(ctx.Err(), err) // when the time is over, that is why
	}
	if res.Status != 200 && res.Status != 304 {
		return nil, fmt.Errorf("%w %d", errStatus, res.Status)
	}
	return res, nil
}

func (w *worker) fetched(kind chivev1.DocumentKind, bytes int, took time.Duration, cached bool) {
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", &chivev1.DocumentFetched{
		Kind: kind, Bytes: uint64(bytes), Took: messages.Took(took), Cached: cached,
	}))
}

func (w *worker) fetchConsensus(ctx context.Context) error {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CONNECTING, 5, "connecting to a directory")
	from, start := w.source(), w.o.Now()
	var since time.Time
	if w.consensus != nil {
		since = w.consensus.ValidAfter
	}
	res, err := w.get(ctx, from, dirproto.ConsensusRequest(w.o.V3Idents, since))
	if err != nil {
		w.shun(from)
		return w.reject(kind, err)
	}
	if res.Status == 304 {
		if w.consensus != nil && w.o.Now().Before(w.consensus.ValidUntil) {
			return errors.New("no newer consensus yet")
		}
		w.shun(from)
		return w.reject(kind, fmt.Errorf("%w 304", errStatus))
	}
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CONSENSUS, 20, "verifying the consensus")
	w.fetched(kind, len(res.Body), w.o.Now().Sub(start), false)
	c, missing, err := w.accept(res.Body)
	if err == nil && len(missing) > 0 {
		if err = w.fetchCerts(ctx, from, missing); err != nil {
			w.shun(from)
			return err
		}
		c, missing, err = w.accept(res.Body)
		if err == nil && len(missing) > 0 {
			err = netdoc.ErrTooFewSignatures
		}
	}
	if err != nil {
		w.shun(from)
		return w.reject(kind, err)
	}
	w.consensus = c
	w.save(fileConsensus, res.Body)
	if !w.cacheRead {
		w.loadMicrodescs() // the consensus that was cached with them was no good
	}
	w.forgetOldMicrodescs()
	w.publish()
	return nil
}

func (w *worker) fetchCerts(ctx context.Context, from Target, keys []netdoc.KeyID) error {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_CERTIFICATES
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CERTIFICATES, 30, "fetching authority certificates")
	start := w.o.Now()
	res, err := w.get(ctx, from, dirproto.CertsRequest(keys))
	if err != nil {
		return w.reject(kind, err)
	}
	w.fetched(kind, len(res.Body), w.o.Now().Sub(start), false)
	certs, err := netdoc.ParseAuthCerts(res.Body)
	if err != nil {
		return w.reject(kind, err)
	}
	w.addCerts(certs)
	w.emit(kind, len(certs), 0, time.Time{})
	w.saveCerts()
	return nil
}

func (w *worker) saveCerts() {
	var all []byte
	for _, c := range w.certs {
		all = append(all, c.Raw...)
	}
	w.save(fileCerts, all)
}

// addCerts keeps certificates of trusted authorities only.
func (w *worker) addCerts(certs []*netdoc.AuthCert) {
	for _, c := range certs {
		if !slices.Contains(w.o.V3Idents, c.Identity) {
			continue
		}
		known := slices.ContainsFunc(w.certs, func(o *netdoc.AuthCert) bool { return o.KeyID() == c.KeyID() })
		if !known {
			w.certs = append(w.certs, c)
		}
	}
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

type batch struct {
	from Target
	want []netdoc.MDDigest
	body []byte
	took time.Duration
	err  error
}

// fetchMicrodescs fetches what is missing, some requests at a time from
// different sources, and publishes as it goes.
func (w *worker) fetchMicrodescs(ctx context.Context) error {
	want := w.missing()
	if len(want) == 0 {
		return nil
	}
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_MICRODESCRIPTORS, 50, "fetching microdescriptors")
	w.o.Rand.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	var failed error
	for len(want) > 0 && ctx.Err() == nil && failed == nil {
		results := make(chan batch, parallel)
		running := 0
		for ; running < parallel && len(want) > 0; running++ {
			n := min(len(want), dirproto.MaxMicrodescs)
			b := batch{from: w.source(), want: want[:n]}
			want = want[n:]
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
		for ; running > 0; running-- {
			if err := w.take(<-results); err != nil {
				failed = err
			}
		}
		w.publish()
	}
	if failed == nil && len(w.missing()) > 0 {
		failed = errors.New("some microdescriptors are still missing")
	}
	return failed
}

// take keeps what was asked for; a directory that sends less or other things
// is not asked again soon, and no relay suffers for it.
func (w *worker) take(b batch) error {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS
	if b.err != nil {
		w.shun(b.from)
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
		raws = append(raws, raw...)
		got++
	})
	w.emit(kind, got, 0, time.Time{})
	w.append(fileMicrodescs, raws)
	if err != nil || got < len(b.want) {
		w.shun(b.from)
	}
	if got == 0 {
		return w.reject(kind, errors.Join(errors.New("nothing of what was asked for"), err))
	}
	return nil
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
		}
	}
}

func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

// documentOutcome names why a document was not had.
func documentOutcome(err error) chivev1.Outcome {
	var refused *DialError
	switch {
	case errors.As(err, &refused):
		return refused.Outcome
	case errors.Is(err, context.DeadlineExceeded):
		return chivev1.Outcome_OUTCOME_TIMEOUT
	case errors.Is(err, context.Canceled):
		return chivev1.Outcome_OUTCOME_SHUTDOWN
	case errors.Is(err, errStatus):
		return chivev1.Outcome_OUTCOME_DIRECTORY_STATUS
	case errors.Is(err, dirproto.ErrTooLarge), errors.Is(err, dirproto.ErrBomb), errors.Is(err, netdoc.ErrTooLarge):
		return chivev1.Outcome_OUTCOME_DOCUMENT_TOO_LARGE
	case errors.Is(err, netdoc.ErrTooFewSignatures), errors.Is(err, netdoc.ErrNoAuthorities):
		return chivev1.Outcome_OUTCOME_DOCUMENT_UNTRUSTED
	case errors.Is(err, netdoc.ErrExpired), errors.Is(err, netdoc.ErrNotYetValid):
		return chivev1.Outcome_OUTCOME_DOCUMENT_STALE
	case errors.Is(err, syscall.ENOSPC):
		return chivev1.Outcome_OUTCOME_STORAGE
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return chivev1.Outcome_OUTCOME_CONNECTION_LOST
	default:
		return chivev1.Outcome_OUTCOME_DOCUMENT_INVALID
	}
}

// DialError is what a Dialer returns when there is no stream.
type DialError struct{ Outcome chivev1.Outcome }

func (e *DialError) Error() string { return "no directory stream: " + messages.OutcomeName(e.Outcome) }
