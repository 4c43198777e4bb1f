package stream

import (
	"testing"
	"time"

	"chive/internal/rawio"
	"chive/messages/chivev1"
)

// waitsOn has the test go on when what the application did has arrived.
func waitsOn(t *testing.T, spec *Spec) {
	t.Helper()
	raw, err := spec.Conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(func(fd uintptr) bool { return rawio.Look(fd) != rawio.Open }); err != nil {
		t.Fatal(err)
	}
}

// What is known of an application that waits, by what it did.
func TestLeft(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for name, tt := range map[string]struct {
		early    string // what came with the request
		does     func(*rig) error
		at, then bool // it has left: as soon as it is seen, and after halfClosedTime
	}{
		"closes":                 {"", func(r *rig) error { return r.app.Close() }, true, true},
		"half-closes":            {"", func(r *rig) error { return r.app.CloseWrite() }, true, true},
		"half-closes after data": {"question", func(r *rig) error { return r.app.CloseWrite() }, false, true},
		"half-closes after later data": {"", func(r *rig) error {
			_, err := r.app.Write([]byte("question"))
			if err == nil {
				err = r.app.CloseWrite()
			}
			return err
		}, false, true},
		"resets after data": {"question", func(r *rig) error {
			_ = r.app.SetLinger(0)
			return r.app.Close()
		}, true, true},
	} {
		r := &rig{t: t}
		spec := &Spec{Conn: r.sockets(), Early: []byte(tt.early)}
		if spec.Left(now) {
			t.Errorf("%s: left before it did anything", name)
		}
		if err := tt.does(r); err != nil {
			t.Fatal(err)
		}
		waitsOn(t, spec)
		if got := spec.Left(now); got != tt.at {
			t.Errorf("%s: left %v, want %v", name, got, tt.at)
		}
		if got := spec.Left(now.Add(halfClosedTime - 1)); got != tt.at {
			t.Errorf("%s: left a moment before its time %v, want %v", name, got, tt.at)
		}
		if got := spec.Left(now.Add(halfClosedTime)); got != tt.then {
			t.Errorf("%s: left after its time %v, want %v", name, got, tt.then)
		}
		_ = r.app.Close()
		_ = spec.Conn.Close()
		if !spec.Left(now) {
			t.Errorf("%s: closed here, and not left", name)
		}
	}
}

// An application goes while its BEGIN is on its way: the stream ends, and the exit is told.
func TestApplicationLeavesBeforeConnected(t *testing.T) {
	r := newRig(t, nil)
	r.tell(&look{n: 1})
	r.handled() // it is there
	if err := r.app.Close(); err != nil {
		t.Fatal(err)
	}
	waitsOn(t, r.spec)
	r.tell(&look{n: 2})
	r.finished(chivev1.Outcome_OUTCOME_CANCELLED, true, false)
}

// Optimistic data and then FIN: both reach the far end, and its answer the application.
func TestHalfClosedBeforeConnected(t *testing.T) {
	r := newRig(t, func(s *Spec) { s.Early, s.Optimistic = []byte("question "), true })
	r.hears("question ")
	if _, err := r.app.Write([]byte("and more")); err != nil {
		t.Fatal(err)
	}
	if err := r.app.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	waitsOn(t, r.spec)
	r.tell(&look{n: 1})
	r.connect()
	r.hears("and more")
	r.data("answer", 1)
	r.read("answer")
	r.tell(&quietTick{}) // data came
	r.tell(&quietTick{})
	r.finished(chivev1.Outcome_OUTCOME_OK, true, false)
}

// Looking goes on until the exit has had its time, and no longer.
func TestLooksUntilTooSlow(t *testing.T) {
	var total time.Duration
	for n := 0; ; n++ {
		d, last := until(n)
		if total += d; last {
			break
		}
		if d != lookEvery {
			t.Errorf("look %d after %v", n+1, d)
		}
	}
	if total != connectTimeout {
		t.Errorf("the exit has %v, want %v", total, connectTimeout)
	}
}
