package circuits

import (
	"slices"
	"testing"

	"chive/actors/stream"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// A request that waits for its guard to have room keeps that guard when exits are not to be used
// any more, and as long as the guard may be used; when no exit is left there is no path.
func TestPlansKeepTheirGuard(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		guards := d.o.Guards.Candidates(d.now)
		second, err := d.pathBy(guards[1:2], path.Want{Port: 443}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &waiting{Request: &Request{Spec: &stream.Spec{}}, want: path.Want{Port: 443}, plan: second}
		for n := range 6 {
			got, err := d.planFor(w)
			if err != nil || got[0].Identity != guards[1] || slices.Contains(w.Spec.Avoid, got[2].Identity) {
				t.Fatalf("without %d exits: %v, %v", n, got, err)
			}
			if n == 0 && !slices.Equal(got, second) {
				t.Error("the plan changed for nothing")
			}
			w.plan = got
			w.Spec.Avoid = append(w.Spec.Avoid, got[2].Identity)
		}
		if got, err := d.planFor(w); err == nil {
			t.Errorf("without any exit: %v", got)
		}
		d.o.Guards = these{list: []netdoc.Digest{guards[0]}}
		w.Spec.Avoid = nil
		if got, err := d.planFor(w); err != nil || got[0].Identity != guards[0] {
			t.Errorf("when its guard may not be used any more: %v, %v", got, err)
		}
	})
}
