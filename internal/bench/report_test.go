package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportIsWrittenIntoThePage(t *testing.T) {
	r := report{setting: "Two cores."}
	r.add("rate, MiB/s", true, []float64{3, 1, 2}, []float64{1})
	r.add("time <of> all, s", false, []float64{1}, []float64{4})
	page, plot := filepath.Join(t.TempDir(), "page.md"), filepath.Join(t.TempDir(), "plot.svg")
	if err := os.WriteFile(page, []byte("before\n"+begins("")+"old\n"+ends("")+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.write(page, plot); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + begins("") + "Two cores.\n\n| | chive | C tor | ratio |\n|---|---|---|---|\n" +
		"| rate, MiB/s | 2 | 1 | 2.00 |\n| time <of> all, s | 1 | 4 | 0.25 |\n" + ends("") + "after\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	drawn, err := os.ReadFile(plot)
	if err != nil {
		t.Fatal(err)
	}
	if bars := strings.Count(string(drawn), `fill="#2a6"`); bars != 2 {
		t.Errorf("%d bars say that chive is better, want 2", bars)
	}
	for d := xml.NewDecoder(strings.NewReader(string(drawn))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestReportKeepsAPageWithoutItsPlace(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&report{}).write(page, page+".svg"); err == nil || !strings.Contains(err.Error(), "are not there") {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != "mine\n" {
		t.Errorf("the page is %q, %v", got, err)
	}
}

func TestQuantile(t *testing.T) {
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile([]float64{5, 4, 3, 2, 1}, q); got != want {
			t.Errorf("%g: %g, want %g", q, got, want)
		}
	}
}
