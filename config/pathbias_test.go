package config

import (
	"errors"
	"testing"
)

func TestPathBias(t *testing.T) {
	b := &builder{}
	for _, tt := range []struct {
		option, value string
		ok            bool
	}{
		{"PathBiasCircThreshold", "-1", true},
		{"PathBiasCircThreshold", "5", true},
		{"PathBiasCircThreshold", "4", false},
		{"PathBiasUseThreshold", "3", true},
		{"PathBiasScaleThreshold", "9", false},
		{"PathBiasScaleUseThreshold", "10.5", false},
		{"PathBiasNoticeRate", "0", true},
		{"PathBiasNoticeRate", ".7", true},
		{"PathBiasWarnRate", "1.01", false},
		{"PathBiasExtremeRate", "-0.5", false},
		{"PathBiasNoticeUseRate", "NaN", false},
		{"PathBiasExtremeUseRate", "1e-1", true},
		{"PathBiasExtremeUseRate", "60%", false},
	} {
		b.errs = nil
		o := Find(tt.option)
		o.apply(b, Line{Key: tt.option, Value: tt.value})
		if ok := len(b.errs) == 0; ok != tt.ok || !ok && !errors.Is(b.errs, ErrValue) {
			t.Errorf("%s %s: %v", tt.option, tt.value, b.errs)
		}
	}
}
