package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"chive/tor/cell"
)

// layer is one part of a cell's way through the client, with a benchmark of it and one of
// what no client in Go can do without. Both are of this module, as package and name.
type layer struct {
	what, is, floor string
}

const (
	here      = "./internal/bench "
	floorTor1 = "./tor/relaycrypto BenchmarkArithmetic"
	floorCGO  = "./tor/cgo BenchmarkArithmetic"
	floorTLS  = here + "BenchmarkFloorTLS"
	floorRead = here + "BenchmarkFloorSocketRead"
	floorSend = here + "BenchmarkFloorSocketWrite"
)

var layers = []layer{
	{"a cell found in the stream", "./tor/cell BenchmarkNext", ""},
	{"tor1, 3 hops, opened", "./tor/relaycrypto BenchmarkOpen/tor1/hops=3", floorTor1},
	{"tor1, 3 hops, sealed", "./tor/relaycrypto BenchmarkSeal/tor1/hops=3", floorTor1},
	{"the same by the standard library alone", here + "BenchmarkStandardTor1", floorTor1},
	{"CGO, 3 hops, opened", "./tor/relaycrypto BenchmarkOpen/CGO/hops=3", floorCGO},
	{"CGO, 3 hops, sealed", "./tor/relaycrypto BenchmarkSeal/CGO/hops=3", floorCGO},
	{"a circuit's DATA cell, tor1", "./tor/circuit BenchmarkReceiveData", floorTor1},
	{"a circuit's DATA cell, CGO", "./tor/circuit BenchmarkReceiveDataCGO", floorCGO},
	{"TLS, read in records of 31 cells", here + "BenchmarkTLSRead", floorTLS},
	{"TLS, written in records of 31 cells", here + "BenchmarkTLSWrite", floorTLS},
	{"a batch of 31 cells through two actors", "./actors/kernel BenchmarkBatchHop", here + "BenchmarkFloorBatchHop"},
	{"socket, 64 KiB a read", "", floorRead},
	{"socket, 64 KiB a write", "", floorSend},
}

// Each is run often and shortly; the fastest counts, for what disturbs only slows down. Runs
// of a millisecond pass between two turns of another program on a busy machine, longer ones
// have caches that are warm.
var layerRuns = []struct {
	time  string
	count int
}{{"1ms", 50}, {"20ms", 20}}

// cellsPerGiB is how many DATA cells a GiB takes, by scheme.
var cellsPerGiB = map[string]float64{
	"tor1": (1 << 30) / float64(cell.MaxRelayData),
	"CGO":  (1 << 30) / float64(cell.MaxRelayDataV1),
}

// floors are the least that a client takes, in CPU s/GiB, by scheme.
type floors map[string]float64

// measureLayers runs the benchmarks and adds a row for each layer, in ns a cell.
func measureLayers(ctx context.Context, t *table) (floors, error) {
	names := map[string][]string{}
	for _, l := range layers {
		for _, b := range []string{l.is, l.floor} {
			if pkg, name, ok := strings.Cut(b, " "); ok {
				top, _, _ := strings.Cut(name, "/")
				names[pkg] = append(names[pkg], top)
			}
		}
	}
	found := map[string]float64{}
	for pkg, all := range names {
		if err := runBenchmarks(ctx, pkg, all, found); err != nil {
			return nil, err
		}
	}
	for _, l := range layers {
		is, floor := found[l.is], found[l.floor]
		cells := []string{l.what, "", "", ""}
		if l.is != "" {
			cells[1] = number(is)
		}
		if l.floor != "" {
			cells[2] = number(floor)
		}
		if l.is != "" && l.floor != "" {
			cells[3] = fmt.Sprintf("%.2f", is/floor)
		}
		t.add(cells...)
	}
	least := floors{}
	for scheme, crypto := range map[string]string{"tor1": floorTor1, "CGO": floorCGO} {
		cell := found[crypto] + found[floorTLS] + found[floorRead] + found[floorSend]
		least[scheme] = cell * cellsPerGiB[scheme] / 1e9
	}
	return least, nil
}

// result is a benchmark's line: the name without the number of cores, ns/op, and the ns of
// a cell if it is of more.
var result = regexp.MustCompile(`^(Benchmark\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:.*\s([\d.]+) ns/cell)?`)

// runBenchmarks puts what a cell takes, in ns, into found.
func runBenchmarks(ctx context.Context, pkg string, names []string, found map[string]float64) error {
	for _, run := range layerRuns {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^("+strings.Join(names, "|")+")$",
			"-benchtime", run.time, "-count", strconv.Itoa(run.count), pkg)
		out, err := cmd.CombinedOutput()
		if err == nil {
			err = results(pkg, out, found)
		}
		if err != nil {
			return fmt.Errorf("benchmarks of %s: %w\n%s", pkg, err, out)
		}
	}
	for _, name := range names {
		if !hasPrefixed(found, pkg+" "+name) {
			return fmt.Errorf("benchmarks of %s: no result of %s", pkg, name)
		}
	}
	return nil
}

// results reads what the benchmarks of a package printed; the smallest counts.
func results(pkg string, out []byte, found map[string]float64) error {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		m := result.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		text := m[2]
		if m[3] != "" {
			text = m[3]
		}
		ns, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		key := pkg + " " + m[1]
		if old, ok := found[key]; !ok || ns < old {
			found[key] = ns
		}
	}
	return nil
}

func hasPrefixed(found map[string]float64, prefix string) bool {
	for key := range found {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
