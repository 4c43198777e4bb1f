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
		"this is the view of node n1: it publishes the introduction points of all; ":                                                    {Node: "n1", Shared: true, Publisher: "n1"},
		"this is the view of node n1: node n2 publishes it; ":                                                                           {Node: "n1", Shared: true, Publisher: "n2"},
		"this is the view of node n1: which node publishes it is not known; ":                                                           {Node: "n1", Shared: true},
		"this is the view of node n1: it takes no part now, being drained or about to end; when it left, node n2 published it; ":        {Node: "n1", Shared: true, Publisher: "n2", Away: true},
		"this is the view of node n1: it takes no part now, being drained or about to end, and does not hear which node publishes it; ": {Node: "n1", Shared: true, Away: true},
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

// What the running node knows is newer than its events, unless it takes no part any more.
func TestWhySharedNow(t *testing.T) {
	for want, now := range map[string]*hosting.SharedStatus{
		"n0": nil, "n1": {Publishes: true, Publisher: "n1"}, "n2": {Publisher: "n2"}, "": {}, "n0 away": {Away: true},
	} {
		st := &story.Service{Node: "n1", Shared: true, Publisher: "n0"}
		sharedNow(st, now)
		got := st.Publisher
		if st.Away {
			got += " away"
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", now, got, want)
		}
	}
}

func TestShowSharedService(t *testing.T) {
	for want, s := range map[string]hosting.SharedStatus{
		"this node publishes the introduction points of all, epoch 7": {Publishes: true, Epoch: 7, Publisher: "n1"},
		"n2 publishes, epoch 9":                      {Epoch: 9, Publisher: "n2"},
		"no node is known to publish":                {Epoch: 9},
		"this node takes no part, for it is drained": {Epoch: 9, Away: true},
		"other node     n3, 2 introduc":              {Others: map[string]int{"n3": 2}},
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
