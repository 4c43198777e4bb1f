package main

import (
	"bytes"
	"strings"
	"testing"

	"chive/messages"
)

// Each port is said to lead where the configuration has it lead to.
func TestAddedPorts(t *testing.T) {
	for value, want := range map[string]string{
		"80":                  "80 to 127.0.0.1:80",
		"80 8080":             "80 to 127.0.0.1:8080",
		"80 127.0.0.2":        "80 to 127.0.0.2:80",
		"80 [::1]:8080":       "80 to [::1]:8080",
		"80 unix:/run/a.sock": "80 to unix:/run/a.sock",
	} {
		var out bytes.Buffer
		c := onionAdd{Ports: []string{value}, DryRun: true}
		if err := c.print(streams{out: &out}, t.TempDir(), messages.ConfigResult{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "\nport     "+want+"\n") {
			t.Errorf("%q: %s", value, out.String())
		}
	}
}
