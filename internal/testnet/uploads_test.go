package testnet

import (
	"errors"
	"io"
	"testing"
)

// An upload that had begun before anybody listened does not stand for one that is under way.
func TestUploadsThatBeganBefore(t *testing.T) {
	const unseen, last = "HS_DESC UPLOADED a UNKNOWN D1", "HS_DESC UPLOADED b UNKNOWN D2"
	begun := []string{"HS_DESC UPLOAD b UNKNOWN D1 x", "HS_DESC UPLOAD b UNKNOWN D2 x", "HS_DESC UPLOADED b UNKNOWN D1"}
	for _, tt := range []struct {
		before, after []string
		all           bool
	}{
		{[]string{unseen}, nil, false},
		{[]string{unseen}, []string{last}, true},
		{nil, []string{last}, false},
		{nil, []string{last, unseen}, true},
	} {
		var events []string
		events = append(append(append(events, tt.before...), begun...), tt.after...)
		left := events
		err := waitUploads(func() (string, error) {
			if len(left) == 0 {
				return "", io.EOF
			}
			e := left[0]
			left = left[1:]
			return e, nil
		}, 2)
		if tt.all && err != nil || !tt.all && !errors.Is(err, io.EOF) || len(left) > 0 {
			t.Errorf("%q: %v with %q left", events, err, left)
		}
	}
}
