package execmem

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// permissions is what the kernel says of the mapping an address is in.
func permissions(t *testing.T, address uintptr) string {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var how string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &how); err == nil && from <= address && address < to {
			return how
		}
	}
	return ""
}

func TestCodeIsNeverWritable(t *testing.T) {
	p, err := New(5000)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range [][]byte{{0xc3}, bytes.Repeat([]byte{0x90}, 5000)} {
		entry, err := p.Load(code)
		if err != nil {
			t.Fatal(err)
		}
		if how := permissions(t, entry); how != "r-xp" {
			t.Errorf("%d bytes of code are mapped %q, want readable and executable alone", len(code), how)
		}
		if !bytes.Equal(p.pages[:len(code)], code) {
			t.Errorf("the %d bytes of code are not there", len(code))
		}
	}
	for _, n := range []int{0, 1 << 20} {
		if _, err := p.Load(make([]byte, n)); err == nil {
			t.Errorf("%d bytes of code are taken", n)
		}
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Load([]byte{0xc3}); err == nil {
		t.Error("code is taken after Close")
	}
}
