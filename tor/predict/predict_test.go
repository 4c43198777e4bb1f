package predict

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

func port(n uint16) Port { return Port{Number: n} }

// Tor predicts web ports at the start, and each port for as long as it was told after its use.
func TestPredictedPortsAge(t *testing.T) {
	p := New(start)
	for _, tt := range []struct {
		name string
		use  uint16
		at   time.Duration
		want []Port
	}{
		{"at the start", 0, 0, []Port{port(443), port(80)}},
		{"one more is used", 22, 10 * time.Minute, []Port{port(22), port(443), port(80)}},
		{"a known one is used again", 80, 50 * time.Minute, []Port{port(80), port(22), port(443)}},
		{"443 was used an hour ago", 0, time.Hour, []Port{port(80), port(22)}},
		{"22 was used an hour ago", 0, 70 * time.Minute, []Port{port(80)}},
		{"an idle client predicts nothing", 0, 2 * time.Hour, []Port{}},
		{"a port is used tomorrow", 25, 24 * time.Hour, []Port{port(25)}},
		{"and the clock goes back", 0, 3 * time.Hour, []Port{port(25)}},
		{"it is kept no longer for that", 0, 4 * time.Hour, []Port{}},
	} {
		p.Used(port(tt.use), at(tt.at))
		if diff := cmp.Diff(tt.want, p.Predicted(at(tt.at), time.Hour)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestLifeMayChange(t *testing.T) {
	p := New(start)
	p.Used(port(22), start)
	if got := p.Predicted(start, 0); len(got) != 0 {
		t.Errorf("without life predicted %v", got)
	}
	if got := p.Predicted(at(time.Minute), time.Hour); len(got) != 3 {
		t.Errorf("with life again predicted %v", got)
	}
}

func TestPortsAreBounded(t *testing.T) {
	p := New(start)
	for n := range 5000 {
		p.Used(port(uint16(n+1000)), at(time.Duration(n)*time.Second))
	}
	got := p.Predicted(at(time.Minute), 24*time.Hour)
	if len(got) != maxPorts || len(p.used) != maxPorts {
		t.Errorf("%d ports are remembered", len(got))
	}
}

// exit is a circuit by the ports it carries.
type exit []Port

func carries(c exit, p Port) bool { return slices.Contains(c, p) }

func TestNext(t *testing.T) {
	web := exit{port(80), port(443)}
	six := Port{Number: 443, IPv6: true}
	for _, tt := range []struct {
		name        string
		predicted   []Port
		clean       []exit
		least, most int
		want        Port
		missing     bool
	}{
		{"nothing is there", []Port{port(443), port(80)}, nil, 2, 10, port(443), true},
		{"one more for both", []Port{port(443), port(80)}, []exit{web}, 2, 10, port(443), true},
		{"two that carry both are enough", []Port{port(443), port(80)}, []exit{web, web}, 2, 10, Port{}, false},
		{"a port that one carries", []Port{port(443), port(80)}, []exit{web, {port(443)}}, 2, 10, port(80), true},
		{"IPv6 is another need", []Port{six, port(443)}, []exit{web, web}, 2, 10, six, true},
		{"the most that may be", []Port{port(25)}, []exit{web, web, web}, 2, 3, Port{}, false},
		{"none may be", []Port{port(25)}, nil, 0, 0, Port{}, false},
		{"the least, for the port used last", []Port{port(80), port(443)}, []exit{web, web}, 3, 10, port(80), true},
		{"the least when nothing is predicted", nil, []exit{web}, 2, 10, port(443), true},
		{"nothing is predicted, nothing is asked", nil, nil, 0, 10, Port{}, false},
	} {
		got, missing := Next(tt.predicted, tt.clean, carries, tt.least, tt.most)
		if got != tt.want || missing != tt.missing {
			t.Errorf("%s: %v, %v", tt.name, got, missing)
		}
	}
}

// Building what is missing ends, never beyond most, and with every port carried twice
// unless there was no more room.
func TestNextConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anyPort := rapid.Custom(func(t *rapid.T) Port {
			return Port{rapid.Uint16Range(1, 6).Draw(t, "port"), rapid.Bool().Draw(t, "ipv6")}
		})
		predicted := rapid.SliceOfDistinct(anyPort, func(p Port) Port { return p }).Draw(t, "predicted")
		most := rapid.IntRange(0, 20).Draw(t, "most")
		least := rapid.IntRange(0, most).Draw(t, "least")
		var clean []exit
		for {
			next, missing := Next(predicted, clean, carries, least, most)
			if !missing {
				break
			}
			also := rapid.SliceOf(anyPort).Draw(t, "also")
			clean = append(clean, append(exit{next}, also...))
			if len(clean) > most {
				t.Fatalf("%d circuits of at most %d", len(clean), most)
			}
		}
		if len(clean) == most {
			return
		}
		if len(clean) < least {
			t.Fatalf("%d circuits of at least %d", len(clean), least)
		}
		for _, p := range predicted {
			n := 0
			for _, c := range clean {
				if carries(c, p) {
					n++
				}
			}
			if n < PerPort {
				t.Fatalf("%d circuits carry %v, and there is room for more", n, p)
			}
		}
	})
}
