package node

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/pathbias"
)

var likeConsensus = pathbias.Settings{
	Circuits: -1, Notice: -1, Warn: -1, Extreme: -1, ScaleCircuits: -1, Uses: -1, NoticeUse: -1, ExtremeUse: -1, ScaleUses: -1,
}

// Counts survive a restart; what they tell is one line without the guard's name, and an
// event that only the forensic tier has it in.
func TestBiasCountsAreKeptAndTold(t *testing.T) {
	dir, guard := t.TempDir(), netdoc.Digest{0xab, 1}
	var told []*chivev1.PathBiasSuspected
	var logged bytes.Buffer
	recorder := messages.NewRecorder("test", time.Now, 8)
	defer recorder.Observe(func(e *chivev1.Envelope) {
		if b := e.GetPathBiasSuspected(); b != nil {
			told = append(told, b)
		}
	})()
	now := time.Now()
	open := func() (*biasLog, func()) {
		j := openTestJournal(t, dir)
		b := openBias(j, recorder, slog.New(slog.NewTextHandler(&logged, nil)), func() time.Time { return now }, likeConsensus)
		return b, func() {
			closeLane(t.Context(), b.last(), quiet())
			closeJournal(t, j)
		}
	}
	b, shut := open()
	for i := range 100 {
		b.Built(fmt.Sprint(i), guard)
	}
	b.Tick()
	now = now.Add(biasEvery)
	b.Tick()
	shut()
	b, shut = open()
	for range 60 {
		b.Unbuilt(guard)
	}
	if len(told) != 1 || told[0].GetLevel() != "notice" || told[0].GetOf() != "circuits" || told[0].GetSuccesses() != 100 || told[0].GetAttempts() != 151 {
		t.Fatalf("told %v", told)
	}
	text := logged.String()
	if strings.Count(text, "\n") != 1 || strings.Contains(strings.ToLower(text), hex.EncodeToString(guard[:2])) {
		t.Errorf("logged %q", text)
	}
	stricter := likeConsensus
	stricter.Warn = 0.65
	b.configure(stricter)
	b.Unbuilt(guard)
	if len(told) != 2 || told[1].GetLevel() != "warn" {
		t.Fatalf("told %v", told)
	}
	b.Update(netdoc.Params{"pb_extremepct": 64})
	b.Unbuilt(guard)
	if len(told) != 3 || told[2].GetLevel() != "extreme" {
		t.Fatalf("told %v", told)
	}
	b.forget(guard)
	shut()
	b, shut = open()
	defer shut()
	if n := len(b.book.Counts()); n != 0 {
		t.Errorf("%d guards are counted after the only one was removed", n)
	}
}

// What cannot be counts is no history.
func TestImpossibleBiasCounts(t *testing.T) {
	b := openBias(nil, nil, quiet(), time.Now, likeConsensus)
	for _, data := range []string{
		`[]`, `{"ab":{}}`, `{"` + strings.Repeat("zz", 20) + `":{}}`, `{"` + strings.Repeat("ab", 20) + `":{"built":-1}}`,
	} {
		if err := b.apply(messages.JournalEntry{Event: messages.JournalEvent{Kind: kindBias, Data: []byte(data)}}); err == nil {
			t.Errorf("%s was taken", data)
		}
	}
}
