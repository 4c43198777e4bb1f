package hosting

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Directories that take every descriptor and give none cost a service that works nothing but one
// more descriptor or two: no introduction point is given up, and it is not told to be broken.
func TestMeanDirectories(t *testing.T) {
	for _, n := range []int{1, 2, 4, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorld(t, 1, verifyPeriod, nil, func(w *world) {
				w.run(10 * time.Minute)
				mean := map[[32]byte]bool{}
				for _, p := range w.probes() {
					if len(mean) < n {
						mean[[32]byte(p.GetDirectory())] = true
					}
				}
				w.events()
				w.set(func() { w.mean = mean })
				w.run(5 * time.Hour)
				ups := 0
				w.set(func() {
					for _, e := range w.log {
						if e.GetHostingPointUp() != nil {
							ups++
						}
						if b := e.GetHostingBroken(); b != nil && !b.GetPartly() {
							t.Error("told to be broken")
						}
					}
				})
				got := w.events()
				t.Log(got)
				if ups > 0 || strings.Contains(got, "rotate") || strings.Contains(got, "rebuild") || strings.Count(got, "republish") > 4 {
					t.Errorf("%d introduction points came up, told %q", ups, got)
				}
				if h := w.health(); h.Verdict != "up" {
					t.Errorf("%+v", h)
				}
			})
		})
	}
}
