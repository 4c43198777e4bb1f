package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"chive/internal/cores"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/consdiff"
	"chive/tor/dirproto"
	"chive/tor/netdoc"
)

// errDiff: a diff did not lead to a good consensus. The whole consensus may.
var errDiff = errors.New("consensus diff")

// errNotNewer: what directories have is what is here.
var errNotNewer = errors.New("no newer consensus yet")

// fetchConsensus asks for a consensus, and for a diff if the one at hand is recent. A
// directory may answer with either.
func (w *worker) fetchConsensus(ctx context.Context) error {
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CONNECTING, 5, "connecting to a directory")
	err := w.askConsensus(ctx, w.diffFrom())
	if errors.Is(err, errDiff) && ctx.Err() == nil {
		w.o.Log.Info("asking for the whole consensus", "err", err)
		err = w.askConsensus(ctx, consdiff.Digest{})
	}
	return err
}

// diffFrom names the consensus that a diff may start from: the newest one, as long as
// its text is in the cache and caches can be expected to have diffs from it. Its text
// is not kept in memory, where it would lie about for hours.
func (w *worker) diffFrom() consdiff.Digest {
	if w.consensus == nil {
		return consdiff.Digest{}
	}
	newer := time.Duration(w.consensus.Params.Get("try-diff-for-consensus-newer-than", 72, 0, 8192)) * time.Hour
	if w.o.Now().Sub(w.consensus.ValidAfter) > newer {
		return consdiff.Digest{}
	}
	return w.base
}

func (w *worker) askConsensus(ctx context.Context, base consdiff.Digest) error {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS
	from, start := w.source(), w.o.Now()
	var since time.Time
	if w.consensus != nil {
		since = w.consensus.ValidAfter
	}
	res, err := w.get(ctx, from, dirproto.ConsensusRequest(w.o.V3Idents, since, base))
	if err != nil {
		w.shunFor(from, err)
		return w.reject(kind, err)
	}
	if res.Status == 304 {
		if w.consensus != nil && w.o.Now().Before(w.consensus.ValidUntil) {
			return errNotNewer
		}
		w.shun(from)
		return w.reject(kind, fmt.Errorf("%w 304", errStatus))
	}
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CONSENSUS, 20, "verifying the consensus")
	fetched := &chivev1.DocumentFetched{Kind: kind, Bytes: uint64(len(res.Body)), Took: messages.Took(w.o.Now().Sub(start))}
	text := res.Body
	if consdiff.Looks(text) {
		text, err = w.patched(base, text)
		fetched.Diff, fetched.Whole = true, uint64(len(text))
	}
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", fetched))
	if err == nil {
		err = w.useConsensus(ctx, from, text)
	} else if !errors.Is(err, errCacheLost) { // else it's no fault of the directory's
		w.shun(from)
		err = w.reject(kind, err)
	}
	if err != nil && fetched.GetDiff() {
		err = fmt.Errorf("%w: %w", errDiff, err)
	}
	return err
}

// errCacheLost: the cache no longer has what it had.
var errCacheLost = errors.New("the cached consensus is another one")

// patched applies a diff to the cached consensus.
func (w *worker) patched(base consdiff.Digest, diff []byte) ([]byte, error) {
	if base.IsZero() {
		return nil, fmt.Errorf("%w: not asked for", consdiff.ErrBase)
	}
	defer cores.Wide()()
	d, err := consdiff.Parse(diff)
	if err != nil {
		return nil, err
	}
	if d.From != base {
		return nil, consdiff.ErrBase
	}
	text, err := w.store.read(fileConsensus)
	var out []byte
	if err == nil {
		out, err = d.Apply(text)
	}
	if errors.Is(err, consdiff.ErrBase) || errors.Is(err, fs.ErrNotExist) {
		w.base = consdiff.Digest{}
		return nil, errCacheLost
	}
	return out, err
}

// useConsensus verifies the text of a consensus, with certificates that from is asked
// for if they are missing, and takes it into use.
func (w *worker) useConsensus(ctx context.Context, from Target, text []byte) error {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS
	c, missing, err := w.accept(text)
	if err == nil && len(missing) > 0 {
		if err = w.fetchCerts(ctx, from, missing); err != nil {
			w.shunFor(from, err)
			return err
		}
		c, missing, err = w.accept(text)
		if err == nil && len(missing) > 0 {
			err = netdoc.ErrTooFewSignatures
		}
	}
	if err != nil {
		w.shun(from)
		return w.reject(kind, err)
	}
	if w.consensus != nil && !c.ValidAfter.After(w.consensus.ValidAfter) {
		w.shun(from) // it was told what we have, and there should be another by now
		if w.o.Now().Before(w.consensus.ValidUntil) {
			return errNotNewer
		}
		return w.reject(kind, fmt.Errorf("%w: no newer one", netdoc.ErrExpired))
	}
	w.consensus = c
	w.saveConsensus(text)
	if !w.cacheRead {
		w.loadMicrodescs() // the consensus that was cached with them was no good
	}
	w.forgetOldMicrodescs()
	w.checkProtocols()
	w.publish()
	return nil
}

// saveConsensus writes the cache, from which diffs can start then.
func (w *worker) saveConsensus(text []byte) {
	w.base = consdiff.Digest{}
	if w.save(fileConsensus, text) {
		w.base, _ = consdiff.SignedDigest(text)
	}
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

// addCerts keeps certificates of trusted authorities only, and of each key the one that was
// made last.
func (w *worker) addCerts(certs []*netdoc.AuthCert) {
	for _, c := range certs {
		if !slices.Contains(w.o.V3Idents, c.Identity) {
			continue
		}
		i := slices.IndexFunc(w.certs, func(o *netdoc.AuthCert) bool { return o.KeyID() == c.KeyID() })
		switch {
		case i < 0:
			w.certs = append(w.certs, c)
		case w.certs[i].Published.Before(c.Published):
			w.certs[i] = c
		}
	}
}
