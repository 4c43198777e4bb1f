package circuits

import (
	"fmt"
	"slices"
	"testing"

	"chive/actors/circuit"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/pathbias"
)

// counted notes what is told.
type counted struct {
	noBias
	told []string
}

func (b *counted) Built(string, netdoc.Digest) { b.told = append(b.told, "built") }
func (b *counted) Unbuilt(netdoc.Digest)       { b.told = append(b.told, "unbuilt") }
func (b *counted) TimedOut(netdoc.Digest)      { b.told = append(b.told, "timed out") }
func (b *counted) Ended(_ string, how pathbias.End) {
	b.told = append(b.told, fmt.Sprint("ended ", how))
}

// What is counted of circuits to and for onion services: never what a relay does to them that
// the other side chose.
func TestBiasOfOnions(t *testing.T) {
	t.Parallel()
	const directory, ours = chivev1.Purpose_PURPOSE_ONION_DIRECTORY, chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION
	destroyed := func(hops int) *circuit.Gone {
		return &circuit.Gone{Outcome: chivev1.Outcome_OUTCOME_DESTROYED, Hops: hops}
	}
	open := func(g *circuit.Gone) *circuit.Gone { g.WasOpen = true; return g }
	byUs, lost := fmt.Sprint("ended ", pathbias.ByUs), fmt.Sprint("ended ", pathbias.Lost)
	for name, tt := range map[string]struct {
		purpose chivev1.Purpose
		opens   bool
		becomes *Open
		gone    *circuit.Gone
		want    []string
	}{
		"directory":                      {purpose: directory, opens: true, gone: open(destroyed(4)), want: []string{"built", lost}},
		"directory that never opened":    {purpose: directory, gone: destroyed(2), want: []string{"unbuilt"}},
		"before the second hop":          {purpose: directory, gone: destroyed(1)},
		"our introduction point":         {purpose: ours, opens: true, gone: open(destroyed(4)), want: []string{"built", lost}},
		"introduction point of theirs":   {purpose: introduction, gone: destroyed(3)},
		"and it opened":                  {purpose: introduction, opens: true, gone: open(destroyed(4))},
		"a client's rendezvous point":    {purpose: chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS, gone: destroyed(3)},
		"rendezvous point of ours":       {purpose: rendezvous, opens: true, gone: open(destroyed(3)), want: []string{"built", lost}},
		"stem":                           {purpose: stem, opens: true, gone: open(destroyed(3)), want: []string{"built", lost}},
		"stem that never opened":         {purpose: stem, gone: destroyed(2), want: []string{"unbuilt"}},
		"stem that becomes a rendezvous": {purpose: stem, opens: true, becomes: &Open{Purpose: rendezvous}, gone: open(destroyed(3)), want: []string{"built", lost}},
		"stem that is extended":          {purpose: stem, opens: true, becomes: &Open{Purpose: introduction, Target: target(20)}, gone: destroyed(3), want: []string{"built", byUs}},
		"that timed out":                 {purpose: rendezvous, gone: &circuit.Gone{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Hops: 2}, want: []string{"unbuilt", "timed out"}},
	} {
		atStems(t, func(d *desk, _ *shifting) {
			b := &counted{}
			d.o.Bias, d.o.Settings.Prebuild = b, false
			r := &record{id: "c", pid: d.quiet, purpose: tt.purpose, first: netdoc.Digest{1}, hops: 3, launched: d.o.Now()}
			if tt.purpose == stem {
				r.stem = []netdoc.Digest{{1}, {5}, {21}}
				d.stems.spare = append(d.stems.spare, r)
			} else {
				r.wish = &Open{Owner: d.quiet, Token: 1, Purpose: tt.purpose}
			}
			d.began(r)
			if tt.opens {
				d.isOpen(r)
			}
			if tt.becomes != nil {
				tt.becomes.Owner = d.quiet
				if !d.takeStem(d.ctx, tt.becomes) {
					t.Errorf("%s: not taken", name)
				}
			}
			tt.gone.ID = r.id
			d.gone(d.ctx, tt.gone)
			if !slices.Equal(b.told, tt.want) {
				t.Errorf("%s: %v, want %v", name, b.told, tt.want)
			}
		})
	}
}
