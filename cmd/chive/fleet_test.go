package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A question that is not answered in time is told with what that means, not as a deadline.
func TestQuestionOfAFleetInTime(t *testing.T) {
	other := errors.New("no configuration was published yet")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("n1 in chive-f-nodes: %w", context.DeadlineExceeded), "did not answer in time"},
		{context.Canceled, "interrupted"},
		{other, other.Error()},
	} {
		got := inTime(tt.err)
		if got == nil || !strings.Contains(got.Error(), tt.want) || strings.Contains(got.Error(), "context") {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
	if err := inTime(nil); err != nil {
		t.Error(err)
	}
}
