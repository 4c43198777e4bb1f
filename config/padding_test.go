package config

import "testing"

func TestConnectionPadding(t *testing.T) {
	for text, want := range map[string]string{"": "auto", "ConnectionPadding AUTO": "auto", "ConnectionPadding 0": "0", "ConnectionPadding 1": "1"} {
		if got := load(t, text); got.ConnectionPadding != want || got.ReducedConnectionPadding {
			t.Errorf("%q: %q", text, got.ConnectionPadding)
		}
	}
}
