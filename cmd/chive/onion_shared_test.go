package main

import (
	"bytes"
	"strings"
	"testing"

	"chive/actors/hosting"
	"chive/messages/fold/story"
)

// The story of a service that several nodes host is one node's, and says so.
func TestWhySharedService(t *testing.T) {
	for want, st := range map[string]story.Service{
		"this is the view of node n1: it publishes the introduction points of all; ": {Node: "n1", Shared: true, Publisher: "n1"},
		"this is the view of node n1: node n2 publishes it; ":                        {Node: "n1", Shared: true, Publisher: "n2"},
		"this is the view of node n1: which node publishes it is not known; ":        {Node: "n1", Shared: true},
	} {
		var out bytes.Buffer
		if err := printServiceStory(streams{out: &out}, serviceView{Service: &st}, hosting.Status{}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	var out bytes.Buffer
	if err := printServiceStory(streams{out: &out}, serviceView{Service: &story.Service{Node: "n1"}}, hosting.Status{}); err != nil || strings.Contains(out.String(), "view") {
		t.Errorf("one that is not shared:\n%s", out.String())
	}
}

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
