package node

import (
	"context"
	"errors"
	"path/filepath"

	"chive/bridge/journal"
	"chive/messages"
	"chive/messages/chivev1"
)

// journalFolder is the journal's, in the data directory.
const journalFolder = "journal"

// openJournal opens the journal. Without one the node runs: it says so, and keeps what it
// must in mirrors.
func (n *Node) openJournal() {
	dir := n.o.Config.DataDirectory
	j, rec, err := journal.Open(journal.Options{
		Dir: filepath.Join(dir, journalFolder), Log: n.o.Log, Now: n.o.Now,
		OnState: n.journalState, OnRecovery: n.journalRecovered,
	})
	n.journalRecovered(rec)
	if err != nil {
		n.o.Log.Warn("the journal cannot be opened; the node runs without it", "err", err)
		n.journalTrouble(err)
		return
	}
	n.journal = j
}

// durable is the journal; nil if there is none.
func (n *Node) durable() messages.Journal {
	if n.journal == nil {
		return nil
	}
	return n.journal
}

// openKept loads what is kept in the journal.
func (n *Node) openKept() error {
	j := n.durable()
	n.breakers = openBreakers(j, n.o.Log, n.o.Now)
	n.newest = openDirectory(j, n.o.Log)
	n.times = openTimes(j, n.o.Log)
	n.bias = openBias(j, n.recorder, n.o.Log, n.o.Now, biasSettings(n.Config()))
	n.vanguards = openVanguards(j, vanguardSettingsOf(n.Config()), n.recorder, n.o.Log, newRand())
	var err error
	n.guards, err = newGuards(j, n.o.Config.DataDirectory, n.recorder, n.o.Log, n.journalTrouble, newRand())
	n.guards.now = n.o.Now
	n.guards.onRemoved(n.bias.forget)
	n.guards.configure(guardSettings(n.Config()), reachRules(n.Config()), n.o.Now())
	return err
}

// closeKept returns when all is on disk, or ctx is done.
func (n *Node) closeKept(ctx context.Context) error {
	var err error
	if n.guards != nil {
		err = n.guards.close(ctx)
		soon, cancel := context.WithTimeout(ctx, flushTime)
		defer cancel()
		for _, lane := range []messages.JournalLane{n.breakers.lane, n.newest.lane, n.times.lane, n.bias.last(), n.vanguards.last()} {
			closeLane(soon, lane, n.o.Log)
		}
	}
	if n.journal != nil {
		closing := n.journal.Close()
		if errors.Is(closing, messages.ErrJournalUnavailable) {
			// What was acknowledged is on disk; its checks at the next start say less.
			n.o.Log.Warn("the journal was not closed in full", "err", closing)
			closing = nil
		}
		err = errors.Join(err, closing)
	}
	return err
}

func (n *Node) journalRecovered(rec journal.Recovery) {
	if rec.Err != nil {
		n.o.Log.Warn("the journal was damaged", "err", rec.Err)
		n.journalEvent("damaged", rec.Err)
	}
}

func (n *Node) journalState(s messages.JournalState, err error) {
	if s == messages.JournalReady {
		n.o.Log.Info("the journal can be written again")
		n.journalEvent("ready", nil)
		return
	}
	n.o.Log.Warn("the journal cannot be written; what is to be kept waits", "err", err)
	n.journalEvent("degraded", err)
}

// journalTrouble tells of a part that goes on without the journal.
func (n *Node) journalTrouble(err error) { n.journalEvent("unused", err) }

// journalEvent says what the journal's state is, and of what kind its failure; files are in
// the log.
func (n *Node) journalEvent(state string, err error) {
	n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, n.recorder.Node(), &chivev1.JournalChanged{
		State: state, Reason: journalReason(err),
	}))
}

func journalReason(err error) string {
	for reason, is := range map[string]error{
		"conflict": messages.ErrJournalConflict, "full": messages.ErrJournalFull, "corrupt": messages.ErrJournalCorrupt,
		"newer": messages.ErrJournalNewer, "invalid": messages.ErrJournalInvalid, "closed": messages.ErrJournalClosed,
	} {
		if errors.Is(err, is) {
			return reason
		}
	}
	if err == nil {
		return ""
	}
	return "unavailable"
}
