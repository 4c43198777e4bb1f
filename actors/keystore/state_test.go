package keystore

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"chive/tor/onion"
	"chive/tor/onion/host"
)

func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hs")
	s := open(t, dir)
	if b, err := s.TakeState(); b != nil || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := s.SaveState([]byte("points")); err != nil {
		t.Fatal(err)
	}
	if mode := modeOf(t, filepath.Join(dir, stateFile)); mode != 0o600 {
		t.Errorf("keys with mode %v", mode)
	}
	if b, err := open(t, dir).TakeState(); !bytes.Equal(b, []byte("points")) || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := s.TakeState(); b != nil || err != nil {
		t.Errorf("taken twice: %q, %v", b, err)
	}
	if err := s.SaveState(make([]byte, host.MaxState+1)); err != nil {
		t.Fatal(err)
	}
	if b, err := s.TakeState(); b != nil || err == nil {
		t.Error("a state that is too large is taken")
	}
	if b, err := s.TakeState(); b != nil || err != nil {
		t.Errorf("and stays: %d, %v", len(b), err)
	}
}

func TestFloors(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "hs"))
	if f, err := s.Floors(); f != nil || err != nil {
		t.Errorf("%v, %v", f, err)
	}
	want := host.Floors{{Period: onion.Period{Number: 20000, Minutes: 1440}, Revision: 1 << 60}, {Period: onion.Period{Number: 20001, Minutes: 1440}, Revision: 7}}
	if err := s.SaveFloors(want); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Floors(); err != nil || !slices.Equal(f, want) {
		t.Errorf("%v, %v", f, err)
	}
	if err := os.WriteFile(s.path(floorsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Floors(); err == nil {
		t.Error("a damaged file is read")
	}
}
