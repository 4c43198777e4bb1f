package netdoc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chive/tor/netdoc"
)

func TestItems(t *testing.T) {
	text := "first a  b\nsecond\n-----BEGIN X-----\naGVs\nbG8=\n-----END X-----\n\nlast c"
	got, err := netdoc.Items("letter", []byte(text), 100, 3)
	want := []netdoc.Item{
		{Keyword: "first", Args: []string{"a", "b"}},
		{Keyword: "second", Start: 11, ObjectType: "X", Object: []byte("hello")},
		{Keyword: "last", Args: []string{"c"}, Start: strings.Index(text, "last")},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for name, tt := range map[string]struct {
		text    string
		size, n int
		want    error
	}{
		"too long":      {text, 10, 3, netdoc.ErrTooLarge},
		"too many":      {text, 100, 2, netdoc.ErrTooLarge},
		"not base64":    {"a\n-----BEGIN X-----\n!\n-----END X-----\n", 100, 3, netdoc.ErrMalformed},
		"not a keyword": {"-\n", 100, 3, netdoc.ErrMalformed},
		"NUL":           {"a\x00\n", 100, 3, netdoc.ErrMalformed},
	} {
		if _, err := netdoc.Items("letter", []byte(tt.text), tt.size, tt.n); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long, err := netdoc.Items("letter", []byte("a"+strings.Repeat(" b", 1000)), 5000, 1)
	if err != nil || len(long[0].Args) != 64 {
		t.Errorf("%d arguments, %v", len(long[0].Args), err)
	}
}
