package keccak

import (
	"errors"
	"testing"
)

// Without AVX-512 it is the standard library's.
func TestWithout(t *testing.T) {
	if !hasWide {
		t.Skip("this processor has no AVX-512")
	}
	hasWide = false
	defer func() { hasWide = true }()
	if _, ok := New256().(*digest); ok {
		t.Error("instructions that are not there are used")
	}
	TestVectors(t)
	TestAsStandard(t)
}

func TestForeignState(t *testing.T) {
	d := new(digest)
	state, err := d.AppendBinary(nil)
	if err != nil || len(state) != saved {
		t.Fatalf("%d bytes, %v", len(state), err)
	}
	for name, b := range map[string][]byte{
		"short": state[1:], "long": append(state, 0), "more than a block": append(state[:saved-1:saved-1], rate), "nothing": nil,
	} {
		if err := d.UnmarshalBinary(b); !errors.Is(err, errState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
