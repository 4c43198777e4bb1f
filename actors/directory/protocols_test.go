package directory

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

func list(t *testing.T, text string) netdoc.Protocols {
	t.Helper()
	p, err := netdoc.ParseProtocols(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What C tor's authorities of 0.4.9 require of clients is there; what they recommend is,
// but for what onion services need.
func TestSupported(t *testing.T) {
	if lacks := list(t, "Cons=2 Desc=2 FlowCtrl=1 Link=4 Microdesc=2 Relay=2").Missing(supported); !lacks.IsEmpty() {
		t.Errorf("lacks %v, which is required", lacks)
	}
	recommended := list(t, "Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4 HSRend=2 Link=4-5 Microdesc=2 Relay=2-4")
	for _, name := range []netdoc.Protocol{netdoc.ProtoHSDir, netdoc.ProtoHSIntro, netdoc.ProtoHSRend} {
		if has, lacks := supports(supported, name), supports(recommended.Missing(supported), name); has == lacks {
			t.Errorf("%s: there %v, missing %v", name, has, lacks)
		}
	}
	for _, p := range []struct {
		name    netdoc.Protocol
		version uint
	}{{netdoc.ProtoLink, 3}, {netdoc.ProtoLink, 6}, {netdoc.ProtoRelay, 1}, {netdoc.ProtoRelay, 7}, {netdoc.ProtoFlowCtrl, 3}, {netdoc.ProtoCons, 3}} {
		if supported.Supports(p.name, p.version) {
			t.Errorf("%s=%d is claimed", p.name, p.version)
		}
	}
	// What is used of a relay that has it, the client has.
	relay := &path.Relay{RouterStatus: &netdoc.RouterStatus{Protocols: supported}}
	if !relay.CongestionControl() || !relay.CGO() {
		t.Error("a relay with the same protocols would be used otherwise than the client can")
	}
}

// supports: does a list name any version of a protocol?
func supports(p netdoc.Protocols, name netdoc.Protocol) bool {
	for v := range uint(64) {
		if p.Supports(name, v) {
			return true
		}
	}
	return false
}

// Parts of the core whose protocols are had when, and only when, some actor runs them.
func TestSupportedIsWhatActorsRun(t *testing.T) {
	used := map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			what, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			used[what] = true
		}
		return nil
	})
	if err != nil || !used["chive/tor/circuit"] {
		t.Fatalf("%v, %d imports", err, len(used))
	}
	for part, protocols := range map[string][]netdoc.Protocol{
		"chive/tor/conflux":         {netdoc.ProtoConflux},
		"chive/tor/padding/circuit": {netdoc.ProtoPadding},
		"chive/tor/onion/client":    {netdoc.ProtoHSDir, netdoc.ProtoHSIntro, netdoc.ProtoHSRend},
	} {
		for _, p := range protocols {
			if claimed := supports(supported, p); claimed != used[part] {
				t.Errorf("%s: claimed %v, but an actor uses %s: %v; see supported", p, claimed, part, used[part])
			}
		}
	}
}
