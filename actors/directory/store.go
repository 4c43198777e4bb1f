package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"chive/internal/cores"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/consdiff"
	"chive/tor/netdoc"
)

// The cache: the documents as they came, in C tor's file names.
const (
	fileConsensus  = "cached-microdesc-consensus"
	fileCerts      = "cached-certs"
	fileMicrodescs = "cached-microdescs"
	maxCache       = 64 << 20 // bytes of one file that are read
)

type store struct{ dir string }

func (s store) read(name string) ([]byte, error) {
	p := filepath.Join(s.dir, name)
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCache {
		return nil, fmt.Errorf("%s: %d bytes, more than %d", p, info.Size(), maxCache)
	}
	return os.ReadFile(p)
}

// write replaces a file as a whole: after a crash there is the old or the new.
func (s store) write(name string, content []byte) error {
	tmp, err := os.CreateTemp(s.dir, name+".new")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(s.dir, name))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(tmp.Name()))
	}
	return err
}

func (s store) append(name string, content []byte) error {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// save and append go on without the disk when it refuses: what is in memory is
// verified, and the event tells.
func (w *worker) save(name string, content []byte) bool {
	return w.stored(w.store.write(name, content))
}

func (w *worker) append(name string, content []byte) {
	if len(content) > 0 {
		w.stored(w.store.append(name, content))
	}
}

func (w *worker) stored(err error) bool {
	if err == nil {
		return true
	}
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", &chivev1.DocumentRejected{
		Outcome: chivev1.Outcome_OUTCOME_STORAGE, Reason: "cannot write the cache",
	}))
	w.o.Log.Warn("cannot write the directory cache; going on without", "err", err)
	return false
}

// load takes from the cache what still verifies.
func (w *worker) load() {
	start := w.o.Now()
	if text, ok := w.cached(fileCerts); ok {
		certs, err := netdoc.ParseAuthCerts(text)
		if err != nil {
			_ = w.reject(chivev1.DocumentKind_DOCUMENT_KIND_CERTIFICATES, err) // an event is all there is to do
		}
		w.addCerts(certs)
	}
	text, ok := w.cached(fileConsensus)
	if !ok {
		return
	}
	c, missing, err := w.accept(text)
	if err == nil && len(missing) > 0 {
		err = netdoc.ErrTooFewSignatures
	}
	if err != nil {
		_ = w.reject(chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS, err) // it will be fetched
		return
	}
	w.consensus = c
	w.base, _ = consdiff.SignedDigest(text)
	w.checkProtocols()
	w.fetched(chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS, len(text), w.o.Now().Sub(start), true)
	w.loadMicrodescs()
	w.publish()
}

// loadMicrodescs takes those that the consensus names. A file with a broken place
// is written anew: what is appended to a broken end would be lost with it.
func (w *worker) loadMicrodescs() {
	w.cacheRead = true
	text, ok := w.cached(fileMicrodescs)
	if !ok {
		return
	}
	named := map[netdoc.MDDigest]bool{}
	for i := range w.consensus.Relays {
		named[w.consensus.Relays[i].MD] = true
	}
	start := w.o.Now()
	var keep []byte
	defer cores.Wide()()
	err := w.reader.Read(text, func(md *netdoc.Microdesc, raw []byte) {
		if named[md.Digest] && w.mds[md.Digest] == nil {
			w.mds[md.Digest] = md
			keep = append(keep, raw...)
		}
	})
	if err != nil {
		_ = w.reject(chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS, err) // the good ones were taken
	}
	w.fetched(chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS, len(text), w.o.Now().Sub(start), true)
	if err != nil || len(keep) < len(text)/2 {
		w.save(fileMicrodescs, keep)
		return
	}
	w.dead = len(w.mds) * (len(text) - len(keep)) / max(1, len(keep))
}

// compact writes the cached microdescriptors anew when most of the file is of relays as
// they were: a node that runs for months would fill the disk.
func (w *worker) compact() {
	if w.dead <= len(w.mds) {
		return
	}
	w.dead = 0 // whatever comes of it: not again soon
	text, ok := w.cached(fileMicrodescs)
	if !ok {
		return
	}
	var keep []byte
	seen := make(map[netdoc.MDDigest]bool, len(w.mds))
	defer cores.Wide()()
	err := w.reader.Read(text, func(md *netdoc.Microdesc, raw []byte) {
		if w.mds[md.Digest] != nil && !seen[md.Digest] {
			seen[md.Digest] = true
			keep = append(keep, raw...)
		}
	})
	if err != nil {
		_ = w.reject(chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS, err) // what is good stays
	}
	w.save(fileMicrodescs, keep)
}

func (w *worker) cached(name string) ([]byte, bool) {
	text, err := w.store.read(name)
	if err == nil {
		return text, true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		w.o.Log.Warn("cannot read the directory cache", "err", err)
	}
	return nil, false
}
