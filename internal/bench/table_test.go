package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Every part of the page has its own lines.
func TestTableIsWrittenIntoItsPart(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	text := begins("") + "kept\n" + ends("") + begins(" x") + "old\n" + ends(" x") + "after\n"
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tab := table{name: " x", setting: "One core.", columns: []string{"", "a", "b"}}
	tab.add("what", number(1234.5), "")
	if err := writePart(page, tab.name, tab.markdown()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := begins("") + "kept\n" + ends("") + begins(" x") +
		"One core.\n\n|  | a | b |\n|---|---|---|\n| what | 1234 |  |\n" + ends(" x") + "after\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The fastest run of each benchmark counts, by the cell where it says what a cell takes.
func TestResults(t *testing.T) {
	out := `goos: linux
BenchmarkNext-2          	100000000	         3.483 ns/op	147565.45 MB/s
BenchmarkNext-2          	100000000	         3.1 ns/op	147565.45 MB/s
BenchmarkOpen/tor1/hops=3-2         	  444124	       533.0 ns/op	 955.03 MB/s	       1 B/op	       0 allocs/op
BenchmarkTLSRead-2            	   16212	      3679 ns/op	       118.7 ns/cell
BenchmarkTLSRead 	   16212	      3679 ns/op	       120.7 ns/cell	 0 B/op
PASS
`
	found := map[string]float64{}
	if err := results("./p", []byte(out), found); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"./p BenchmarkNext": 3.1, "./p BenchmarkOpen/tor1/hops=3": 533, "./p BenchmarkTLSRead": 118.7}
	if !maps.Equal(found, want) {
		t.Errorf("%v, want %v", found, want)
	}
}
