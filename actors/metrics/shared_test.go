package metrics

import (
	"strings"
	"testing"

	"chive/actors/hosting"
)

func TestSharedRoles(t *testing.T) {
	for role, s := range map[string]*hosting.SharedStatus{
		"publisher": {Publishes: true, Publisher: "n1"}, "standby": {Publisher: "n2"}, "nobody": {}, "away": {Away: true, Publisher: "n2"}, "": nil,
	} {
		text := told(t, &hostingCollector{func() ([]hosting.Status, error) {
			return []hosting.Status{{Address: "abc.onion", State: "standby", Shared: s}}, nil
		}})
		want := `chive_onion_shared{onion="abc",role="` + role + `"} 1` + "\n"
		if role == "" {
			if strings.Contains(text, "chive_onion_shared") {
				t.Errorf("one that is not shared:\n%s", text)
			}
		} else if !strings.Contains(text, want) || strings.Count(text, "chive_onion_shared{") != 1 {
			t.Errorf("want %s in\n%s", want, text)
		}
	}
}
