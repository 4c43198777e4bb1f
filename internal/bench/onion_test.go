package main

import (
	"testing"

	"chive/actors/hosting"
)

// A service is published when each directory of both periods has it.
func TestStored(t *testing.T) {
	all, some, none := hosting.Period{Directories: 8, Stored: 8}, hosting.Period{Directories: 8, Stored: 7}, hosting.Period{}
	for _, tt := range []struct {
		periods []hosting.Period
		want    bool
	}{
		{nil, false},
		{[]hosting.Period{all}, false},
		{[]hosting.Period{all, some}, false},
		{[]hosting.Period{all, none}, false},
		{[]hosting.Period{all, all}, true},
	} {
		if got := stored(hosting.Status{Periods: tt.periods}); got != tt.want {
			t.Errorf("%+v: %t", tt.periods, got)
		}
	}
}

func TestLoadNamesItsService(t *testing.T) {
	if got := (load{streams: 1, onion: "x.onion"}).String(); got != "1 onion download" {
		t.Errorf("%q: want no address in it", got)
	}
}
