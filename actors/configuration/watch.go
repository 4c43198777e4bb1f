package configuration

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"chive/config"
)

// Waits of the file watch.
const (
	// settleTime is how long a content must stay before it is proposed: editors and
	// copies write in several steps.
	settleTime = 250 * time.Millisecond
	// pollTime is how often the files are read in any case: notifications do not
	// come from every file system, nor for folders that links lead through.
	pollTime = 5 * time.Second
)

// watcher looks for files that change. What counts is the content that a load
// would read.
type watcher struct {
	source *config.Source
	seen   string        // hash of the content that was proposed last
	poll   time.Duration // how often to look in any case
	settle time.Duration // how long a content must stay
	tell   func()        // called when it has changed
	log    func(msg string, err error)

	folders []string
	files   []string
	almost  string // a content that was seen once
}

// run watches until ctx ends. Without notifications it polls.
func (w *watcher) run(ctx context.Context) {
	notify, err := fsnotify.NewWatcher()
	var events chan fsnotify.Event
	var errs chan error
	if err != nil {
		w.log("no notifications of changed files: looking every few seconds", err)
	} else {
		defer notify.Close()
		events, errs = notify.Events, notify.Errors
	}
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	again := time.NewTimer(0) // once at the start: something may have changed since it was read
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if !w.matters(e) {
				continue
			}
			again.Reset(w.settle)
		case <-errs: // lost notifications: the content tells
			again.Reset(w.settle)
		case <-poll.C:
			if w.look(notify) {
				again.Reset(w.settle)
			}
		case <-again.C:
			if w.look(notify) {
				again.Reset(w.settle)
			}
		}
	}
}

// matters: can the event change what a load reads? Written files that are not
// among those read (a log in the same folder) can't.
func (w *watcher) matters(e fsnotify.Event) bool {
	switch {
	case e.Has(fsnotify.Create), e.Has(fsnotify.Remove), e.Has(fsnotify.Rename):
		return true
	case e.Has(fsnotify.Write):
		return slices.Contains(w.files, filepath.Base(e.Name))
	default:
		return false
	}
}

// look reads the files and tells of a content that is new and was the same the
// look before. It asks for another look when it is new.
func (w *watcher) look(notify *fsnotify.Watcher) (again bool) {
	now := w.source.Look()
	w.follow(notify, now)
	switch {
	case now.Hash == w.seen:
		w.almost = ""
		return false
	case now.Hash != w.almost:
		w.almost = now.Hash
		return true
	}
	w.seen, w.almost = now.Hash, ""
	w.tell()
	return false
}

// follow watches the folders that count now, and no others.
func (w *watcher) follow(notify *fsnotify.Watcher, now config.Looked) {
	w.files = now.Files
	if notify == nil {
		return
	}
	watched := notify.WatchList()
	for _, f := range watched {
		if !slices.Contains(now.Folders, f) {
			_ = notify.Remove(f) // gone already: then there is nothing to remove
		}
	}
	for _, f := range now.Folders {
		if slices.Contains(watched, f) {
			continue
		}
		if err := notify.Add(f); err != nil && !slices.Contains(w.folders, f) {
			w.log("a folder of the configuration cannot be watched: looking every few seconds", err)
		}
	}
	w.folders = now.Folders
}
