package config

import (
	"math"
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "17": 17, "17 bytes": 17, "1 KByte": 1 << 10, "20 KB": 20 << 10, "1.5 MBytes": 3 << 19, "8 kbits": 1 << 10,
		"2 GByte": 2 << 30, "3 tbytes": 3 << 40, "512MB": 512 << 20, "1e3 bytes": 1000, "1e30 TBytes": math.MaxInt64,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1 parsec", "0x10", "1_000", "NaN", "Inf bytes", "1 MB 2", "1.2.3"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("1.5 MBytes")
	f.Add("17")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		if again, err := parseSize(Size(n)); err != nil || n < 0 || again != n && n < 1<<53 {
			t.Errorf("%q is %d, written %q, read %d, %v", text, n, Size(n), again, err)
		}
	})
}

func TestBurstAndRate(t *testing.T) {
	c, err := loadFrom(oneFile("BandwidthRate 2 GBytes\n"), "torrc", nil)
	if err != nil || c.BandwidthBurst != 2<<30 {
		t.Errorf("burst %d, %v: want it to follow the rate", c.BandwidthBurst, err)
	}
	c, err = loadFrom(oneFile("BandwidthBurst 2 MBytes\n"), "torrc", nil)
	if err != nil || c.BandwidthRate != 2<<20 {
		t.Errorf("rate %d, %v: want it to follow the burst", c.BandwidthRate, err)
	}
	if _, err := loadFrom(oneFile("BandwidthRate 2 MBytes\nBandwidthBurst 1 MByte\n"), "torrc", nil); err == nil {
		t.Error("a burst below the rate is taken")
	}
}
