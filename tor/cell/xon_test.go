package cell

import (
	"errors"
	"testing"
)

func TestXonAndXoff(t *testing.T) {
	if err := ParseXoff(AppendXoff(nil)); err != nil {
		t.Error(err)
	}
	for _, rate := range []uint32{0, 1, 1 << 31} {
		if got, err := ParseXon(AppendXon(nil, rate)); got != rate || err != nil {
			t.Errorf("rate %d: %d, %v", rate, got, err)
		}
	}
	if _, err := ParseXon(append(AppendXon(nil, 7), 1, 2)); err != nil {
		t.Errorf("bytes behind the rate: %v", err)
	}
	for _, bad := range []error{ParseXoff(nil), second(ParseXon([]byte{0, 0, 0, 0}))} {
		if !errors.Is(bad, ErrTruncated) {
			t.Errorf("cut short: %v", bad)
		}
	}
	for _, bad := range []error{ParseXoff([]byte{1}), second(ParseXon([]byte{1, 0, 0, 0, 0}))} {
		if !errors.Is(bad, ErrMalformed) {
			t.Errorf("another version: %v", bad)
		}
	}
}

func second(_ uint32, err error) error { return err }
