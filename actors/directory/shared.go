package directory

import (
	"context"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
)

// sharedTime bounds asking the fleet for its directory: authorities can be asked, too.
const sharedTime = 15 * time.Second

// fromOthers takes the directory that other nodes of the fleet have left, when this one
// starts without one that is current. Each document is verified as one from a stranger.
// Later on the node asks directories itself, so that nobody who withholds a newer
// consensus is believed for long.
func (w *worker) fromOthers(ctx context.Context) {
	if w.o.Shared == nil || w.consensus != nil && w.o.Now().Before(w.consensus.ValidUntil) {
		return
	}
	start := w.o.Now()
	asking, cancel := context.WithTimeout(ctx, sharedTime)
	defer cancel()
	c, err := w.o.Shared.FetchDirectory(asking)
	if err != nil {
		w.o.Log.Debug("no directory from the fleet", "err", err)
		return
	}
	if err := w.useShared(c, start); err != nil {
		w.o.Log.Info("the fleet's directory is of no use", "err", err)
	}
}

func (w *worker) useShared(c messages.DirectoryCopy, start time.Time) error {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS
	certs, err := netdoc.ParseAuthCerts(c.Certs)
	if err != nil {
		return w.reject(chivev1.DocumentKind_DOCUMENT_KIND_CERTIFICATES, err)
	}
	w.addCerts(certs)
	consensus, missing, err := w.accept(c.Consensus)
	if err == nil && len(missing) > 0 {
		err = netdoc.ErrTooFewSignatures
	}
	if err == nil { // a cache may be a little old; what others say may not
		err = consensus.CheckTime(w.o.Now(), 0, 0)
	}
	if err != nil {
		return w.reject(kind, err)
	}
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CONSENSUS, 20, "the fleet has a consensus")
	w.consensus = consensus
	w.fetchedShared(kind, len(c.Consensus), start)
	w.saveConsensus(c.Consensus)
	w.checkProtocols()
	w.saveCerts()
	w.takeMicrodescs(c.Microdescs, start)
	w.publish()
	return nil
}

// takeMicrodescs keeps those that the consensus names.
func (w *worker) takeMicrodescs(text []byte, start time.Time) {
	const kind = chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS
	if !w.cacheRead {
		w.loadMicrodescs()
	}
	wanted := map[netdoc.MDDigest]bool{}
	for _, d := range w.missing() {
		wanted[d] = true
	}
	var raws []byte
	got := 0
	err := w.reader.Read(text, func(md *netdoc.Microdesc, raw []byte) {
		if wanted[md.Digest] && w.mds[md.Digest] == nil {
			w.mds[md.Digest] = md
			raws = append(raws, raw...)
			got++
		}
	})
	if err != nil {
		_ = w.reject(kind, err) // the good ones were taken
	}
	w.fetchedShared(kind, len(text), start)
	w.emit(kind, got, 0, time.Time{})
	w.append(fileMicrodescs, raws)
}

func (w *worker) fetchedShared(kind chivev1.DocumentKind, bytes int, start time.Time) {
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", &chivev1.DocumentFetched{
		Kind: kind, Bytes: uint64(bytes), Took: messages.Took(w.o.Now().Sub(start)), Shared: true,
	}))
}

// offer leaves the directory for other nodes, once it is complete.
func (w *worker) offer() {
	if w.o.Shared == nil || w.consensus == nil || w.offered.Equal(w.consensus.ValidAfter) || len(w.missing()) > 0 {
		return
	}
	consensus, ok := w.cached(fileConsensus)
	certs, ok2 := w.cached(fileCerts)
	microdescs, ok3 := w.cached(fileMicrodescs)
	if ok && ok2 && ok3 {
		w.offered = w.consensus.ValidAfter
		w.o.Shared.OfferDirectory(messages.DirectoryCopy{
			ValidAfter: w.consensus.ValidAfter, Consensus: consensus, Certs: certs, Microdescs: microdescs,
		})
	}
}
