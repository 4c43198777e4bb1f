package main

import (
	"bytes"
	"strings"
	"testing"

	"chive/actors/hosting"
)

func TestShowSharedService(t *testing.T) {
	for want, s := range map[string]hosting.SharedStatus{
		"this node publishes the introduction points of all, epoch 7": {Publishes: true, Epoch: 7, Publisher: "n1"},
		"n2 publishes, epoch 9":         {Epoch: 9, Publisher: "n2"},
		"no node is known to publish":   {Epoch: 9},
		"other node     n3, 2 introduc": {Others: map[string]int{"n3": 2}},
	} {
		var out bytes.Buffer
		printService(streams{out: &out}, hosting.Status{Shared: &s})
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	var out bytes.Buffer
	printService(streams{out: &out}, hosting.Status{})
	if strings.Contains(out.String(), "shared") {
		t.Errorf("one that is not shared:\n%s", out.String())
	}
}
