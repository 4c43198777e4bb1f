package circuits

import (
	"testing"
	"time"

	"chive/messages"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// noGuards knows no guard.
type noGuards struct{}

func (noGuards) Update(*path.Index, netdoc.Params, time.Time) {}
func (noGuards) Candidates(time.Time) []netdoc.Digest         { return nil }
func (noGuards) Uses(netdoc.Digest) bool                      { return false }
func (noGuards) Launched(string, netdoc.Digest, time.Time)    {}
func (noGuards) Opened(string, time.Time) bool                { return true }
func (noGuards) Gone(string)                                  {}
func (noGuards) Settle(time.Time) (usable, tooLong []string)  { return nil, nil }
func (noGuards) Connected(netdoc.Digest, time.Time)           {}

// Once this version must not use the network, no circuit takes another stream; those
// that are there may end.
func TestUnusableNetwork(t *testing.T) {
	x := path.NewIndex(&netdoc.Consensus{}, nil, path.Options{})
	for _, tt := range []struct {
		dir  Netdir
		want bool
	}{
		{Netdir{Index: x, Enough: true}, false},
		{Netdir{Index: x}, false}, // too old, perhaps: what is built may be used
		{Netdir{Index: x, Unusable: true}, true},
	} {
		r := &record{open: true, streams: 1}
		c := &circuits{
			o:       Options{Guards: noGuards{}, Vanguards: noVanguards{}, Bias: noBias{}, Now: time.Now, Recorder: messages.NewRecorder("test", time.Now, 8)},
			dir:     Netdir{Index: x, Enough: true},
			records: map[string]*record{"a": r},
			places:  newPlaces(),
		}
		c.recall()
		c.netdir(nil, &tt.dir)
		if r.tired != tt.want {
			t.Errorf("%+v: takes no new streams: %v", tt.dir, r.tired)
		}
	}
}
