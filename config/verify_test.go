package config

import (
	"errors"
	"testing"
	"time"
)

func TestOnionVerifyPeriod(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"": 40 * time.Second, "OnionVerifyPeriod 0": 0, "OnionVerifyPeriod 10": 10 * time.Second,
		"OnionVerifyPeriod 5 minutes": 5 * time.Minute, "OnionVerifyPeriod 1 hour": time.Hour,
	} {
		c, err := written(t, line+"\n")
		if err != nil || c.OnionVerifyPeriod != want {
			t.Errorf("%q: %v", line, err)
		}
	}
	for _, value := range []string{"9 seconds", "1", "61 minutes", "-1", "often"} {
		_, err := written(t, "OnionVerifyPeriod "+value+"\n")
		var errs Errors
		if !errors.As(err, &errs) || !errors.Is(errs[0].Kind, ErrValue) {
			t.Errorf("%q: %v", value, err)
		}
	}
}
