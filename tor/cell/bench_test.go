package cell_test

import (
	"testing"

	"chive/tor/cell"
)

// The hot path runs for every cell of a connection.
func TestHotPathAllocatesNothing(t *testing.T) {
	wire := cell.AppendFixed(nil, 1, cell.Relay, nil)
	header := cell.RelayHeader{Cmd: cell.RelayData, Stream: 7, Length: cell.MaxRelayData}
	allocs := testing.AllocsPerRun(100, func() {
		cell.PutHeader(wire, 2, cell.Relay)
		_, _, body, n, err := cell.Next(wire)
		if n == 0 || err != nil {
			t.Fatal(n, err)
		}
		cell.PutRelayHeader(body, header)
		if got, err := cell.ParseRelayHeader(body); got != header || err != nil {
			t.Fatal(got, err)
		}
		for _, f := range []cell.RelayFormat{cell.RelayV0, cell.RelayV1} {
			header := cell.RelayHeader{Cmd: cell.RelayData, Stream: 7, Length: f.MaxData(cell.RelayData)}
			f.Put(body, header)
			if got, _, err := f.Parse(body); got != header || err != nil {
				t.Fatal(got, err)
			}
		}
	})
	if allocs != 0 {
		t.Fatalf("%v allocations a cell", allocs)
	}
}

func BenchmarkNext(b *testing.B) {
	wire := cell.AppendFixed(nil, 1, cell.Relay, nil)
	b.ReportAllocs()
	b.SetBytes(cell.FixedLen)
	for b.Loop() {
		if _, _, _, n, err := cell.Next(wire); n != cell.FixedLen || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkPutHeader(b *testing.B) {
	wire := make([]byte, cell.FixedLen)
	b.ReportAllocs()
	for b.Loop() {
		cell.PutHeader(wire, 1, cell.Relay)
	}
}

func BenchmarkRelayHeader(b *testing.B) {
	body := make([]byte, cell.BodyLen)
	header := cell.RelayHeader{Cmd: cell.RelayData, Stream: 7, Length: cell.MaxRelayData}
	b.ReportAllocs()
	for b.Loop() {
		cell.PutRelayHeader(body, header)
		if got, err := cell.ParseRelayHeader(body); got != header || err != nil {
			b.Fatal(got, err)
		}
	}
}

func BenchmarkRelayV0(b *testing.B) { benchmarkFormat(b, cell.RelayV0) }
func BenchmarkRelayV1(b *testing.B) { benchmarkFormat(b, cell.RelayV1) }

// benchmarkFormat writes and reads the header of a full DATA cell.
func benchmarkFormat(b *testing.B, f cell.RelayFormat) {
	body := make([]byte, cell.BodyLen)
	header := cell.RelayHeader{Cmd: cell.RelayData, Stream: 7, Length: f.MaxData(cell.RelayData)}
	b.ReportAllocs()
	for b.Loop() {
		f.Put(body, header)
		if got, _, err := f.Parse(body); got != header || err != nil {
			b.Fatal(got, err)
		}
	}
}

func BenchmarkParseV1(b *testing.B) {
	body := make([]byte, cell.BodyLen)
	cell.RelayV1.Put(body, cell.RelayHeader{Cmd: cell.RelayData, Stream: 7, Length: cell.MaxRelayDataV1})
	b.ReportAllocs()
	for b.Loop() {
		if _, data, err := cell.RelayV1.Parse(body); len(data) != cell.MaxRelayDataV1 || err != nil {
			b.Fatal(err)
		}
	}
}
