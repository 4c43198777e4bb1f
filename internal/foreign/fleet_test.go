package foreign

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chive/internal/testnet"
)

// spaces are what differs between a command on one line and on two.
var spaces = regexp.MustCompile(`(\s|\\\n)+`)

// TestFirstFleet runs the first section of docs/fleet.md, word for word but for its folders,
// ports and network, in one shell.
func TestFirstFleet(t *testing.T) {
	blocks := firstFleet(t)
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Relays: 4, Exits: 2})
	p := here(t)
	binary := filepath.Join(p.dir, "bin", "chive")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "chive/cmd/chive")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	network := filepath.Join(p.dir, "network.torrc")
	if err := os.WriteFile(network, []byte(strings.Join(n.ClientTorrc(), "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pid := os.Getpid()
	s := &Shell{Tool: binary, Dir: p.dir, Instead: strings.NewReplacer(
		"/tmp/fleet", filepath.Join(p.dir, "fleet"),
		"bin/chive testnet ", ": ",
		"~/.local/share/chive-testnet/network.torrc", network,
		"127.0.0.1:4222", p.nats,
		"127.0.0.1:905", fmt.Sprintf("127.%d.%d.%d:905", 200+pid>>16&15, pid>>8&255, pid&255|1),
		"wait $nats", "wait $nats || :", // which says 1 when it is told to end
	)}
	// What a reader waits for.
	ready := "until [ $({ " + strings.TrimSpace(blocks[2]) + "; } | grep -c '^n[12] .* 100 %') = 2 ]; do sleep 0.2; done\n"
	blocks[2] = ready + blocks[2]
	script := "nats= n1= n2=\ntrap 'kill $n2 $n1 $nats; cat /tmp/fleet/*.log' EXIT\n" + strings.Join(blocks, "") + "trap - EXIT\n"
	ctx, cancel := context.WithTimeout(t.Context(), waits)
	defer cancel()
	out, err := s.Run(ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`revision 1 is publication 1\n(  n[12] +applied\n){2}fleet +f, 2 nodes\n(.*\n){2}  n1 +applied\n  n2 +applied\n5 minutes\n`,
		`first: n1\nrevision 2 is publication 2\n  n1 +trying, .*\nrevision 3 is publication 3\n(  n[12] +applied, 100 % .*\n){2}`,
		`4f502ed8929c282ca58ecfdd5c56e5b188ba6d5b9af5be0bb45832e44969d773  -\n`,
		`n2 takes nothing new; 0 streams are open\n`,
		`n1 .* 3 applied  .*\nn2 .* 3 applied draining .*\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if _, err := os.Stat(filepath.Join(p.dir, "fleet")); !os.IsNotExist(err) {
		t.Errorf("the files are there still: %v", err)
	}
}

// Each command that README has of a fleet is one of that section.
func TestReadmeOnFleets(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	section := spaces.ReplaceAllString(strings.Join(firstFleet(t), ""), " ")
	commands := regexp.MustCompile(`(?m)^\$ (bin/chive fleet (.*\\\n)*.*)$`).FindAllStringSubmatch(string(readme), -1)
	if len(commands) < 4 {
		t.Errorf("README has %q", commands)
	}
	for _, c := range commands {
		if !strings.Contains(section, spaces.ReplaceAllString(c[1], " ")) {
			t.Errorf("docs/fleet.md does not begin with README's %s", c[1])
		}
	}
}

// firstFleet is the commands of docs/fleet.md's first section.
func firstFleet(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	_, first, _ := strings.Cut(string(page), "\n## Two nodes on this machine\n")
	first, _, _ = strings.Cut(first, "\n## ")
	blocks := Blocks(first, "sh")
	if len(blocks) != 7 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	return blocks
}
