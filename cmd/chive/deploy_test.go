package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The examples are taken by the programs that they are for.
func TestDeployment(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if code, _, errOut := cli(t, "fleet", "credentials", keys, "--fleet", "f", "--nodes", "n1,n2,n3"); code != exitOK {
		t.Fatal(errOut)
	}
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write := func(name, text string) string {
		file := filepath.Join(keys, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	torrc := write("torrc", read("../../deploy/node.torrc")+read(filepath.Join(keys, "node-n1.torrc")))
	if code, out, errOut := cli(t, "check", "-f", torrc); code != exitOK {
		t.Errorf("chive check: %s%s", out, errOut)
	}
	conf := read("../../deploy/nats-server.conf")
	for from, to := range map[string]string{"/etc/nats/": keys + "/", "/var/lib/nats": filepath.Join(dir, "store")} {
		conf = strings.ReplaceAll(conf, from, to)
	}
	for i, block := range strings.Split(conf, "tls {") { // certificates are the place's own
		if i == 0 {
			conf = block
			continue
		}
		_, rest, _ := strings.Cut(block, "}")
		conf += rest
	}
	out, err := exec.Command("/usr/sbin/nats-server", "-t", "-c", write("nats.conf", conf)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "is valid") {
		t.Errorf("nats-server -t: %s, %v", out, err)
	}
	for _, file := range []string{"ExecStart=/usr/local/bin/chive run -f", "DynamicUser=yes", "ProtectSystem=strict"} {
		if !strings.Contains(read("../../deploy/chive.service"), file) {
			t.Errorf("no %s in the unit", file)
		}
	}
}
