package foreign

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/freeport"
	"chive/internal/leak"
	"github.com/bufbuild/protocompile"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"chive/actors/node"
	"chive/config"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

func TestMain(m *testing.M) { leak.Main(m) }

// waits bounds a failure, never a success.
const waits = 3 * time.Minute

// visitor follows the documentation.
type visitor struct {
	t        *testing.T
	shell    *Shell
	blocks   []string // that were not run yet
	envelope protoreflect.MessageDescriptor
	channels []string // addresses in asyncapi.yaml
}

// block is the commands of the page that hold a text.
func (v *visitor) block(mark string) string {
	v.t.Helper()
	for i, b := range v.blocks {
		if strings.Contains(b, mark) {
			v.blocks = append(v.blocks[:i:i], v.blocks[i+1:]...)
			return b
		}
	}
	v.t.Fatalf("docs/events.md has no (more) commands with %q", mark)
	return ""
}

func (v *visitor) run(commands string) string {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), waits)
	defer cancel()
	out, err := v.shell.Run(ctx, commands)
	if err != nil {
		v.t.Fatal(err)
	}
	return out
}

// follow runs commands that wait for something, and makes it happen until they end.
func (v *visitor) follow(commands string, happen func()) string {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), waits)
	defer cancel()
	var out string
	ended := make(chan error, 1)
	go func() {
		var err error
		out, err = v.shell.Run(ctx, commands)
		ended <- err
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				v.t.Fatal(err)
			}
			return out
		case <-tick.C:
			happen()
		}
	}
}

// read decodes an event with nothing but what asyncapi.yaml says.
func (v *visitor) read(wire []byte) *dynamicpb.Message {
	v.t.Helper()
	m := dynamicpb.NewMessage(v.envelope)
	if err := proto.Unmarshal(wire, m); err != nil {
		v.t.Fatal(err)
	}
	if len(m.GetUnknown()) > 0 || m.WhichOneof(v.envelope.Oneofs().ByName("event")) == nil {
		v.t.Errorf("an event that the document does not know: %v", m)
	}
	return m
}

func (v *visitor) readSchema() {
	v.t.Helper()
	text, err := os.ReadFile("../../docs/asyncapi.yaml")
	if err != nil {
		v.t.Fatal(err)
	}
	var doc struct {
		Channels map[string]struct {
			Address string `yaml:"address"`
		} `yaml:"channels"`
		Components struct {
			Schemas struct {
				Envelope struct {
					Schema string `yaml:"schema"`
				} `yaml:"Envelope"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		v.t.Fatal(err)
	}
	for _, c := range doc.Channels {
		v.channels = append(v.channels, c.Address)
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"envelope.proto": doc.Components.Schemas.Envelope.Schema}),
	})}
	files, err := compiler.Compile(v.t.Context(), "envelope.proto")
	if err != nil {
		v.t.Fatal(err)
	}
	v.envelope = files[0].Messages().ByName("Envelope")
}

// tool builds nats while the network starts.
func tool(t *testing.T) func() string {
	var path string
	var err error
	built := make(chan struct{})
	go func() {
		defer close(built)
		path, err = Build(t.Context(), "../..")
	}()
	t.Cleanup(func() { <-built })
	return func() string {
		<-built
		if errors.Is(err, ErrNoModules) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// place is where things are on this machine.
type place struct{ dir, nats string }

func here(t *testing.T) place {
	t.Helper()
	nats, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return place{dir, nats}
}

// start runs a node with the torrc of the page.
func start(t *testing.T, n *testnet.Network, torrc string, log *bytes.Buffer) (*node.Node, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "torrc")
	text := torrc + "SocksPort 127.0.0.1:auto\n" + strings.Join(n.ClientTorrc(), "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	done := make(chan struct{})
	c, err := node.Start(t.Context(), node.Options{
		Config: cfg, Version: "test", Log: slog.New(slog.NewTextHandler(log, nil)),
		OnEvent: func(e *chivev1.Envelope) {
			if e.GetBootstrapAdvanced().GetPhase() == chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE {
				once.Do(func() { close(done) })
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waits)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	late := time.After(waits)
	var socks string
	for ready := done; ready != nil || socks == ""; {
		select {
		case a := <-c.Listening():
			socks = a.String()
		case <-ready:
			ready = nil
		case <-late:
			t.Fatalf("not ready: %+v", c.Status())
		}
	}
	return c, socks
}

// connects opens a stream that shares no circuit with those of other users.
func connects(t *testing.T, socks, user string, target netip.AddrPort) {
	t.Helper()
	conn, err := net.Dial("tcp", socks)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(waits)); err != nil {
		t.Fatal(err)
	}
	hello := append([]byte{5, 1, 2, 1, byte(len(user))}, user...)
	hello = append(hello, 1, 'x', 5, 1, 0, 1)
	hello = append(hello, target.Addr().AsSlice()...)
	hello = binary.BigEndian.AppendUint16(hello, target.Port())
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	var answers [2 + 2 + 10]byte // method, password, connected
	if _, err := io.ReadFull(conn, answers[:]); err != nil || answers[5] != 0 {
		t.Fatalf("%v, %v", answers, err)
	}
}

func setting(t *testing.T, n *node.Node, name string) string {
	t.Helper()
	view, err := n.Control().ConfigView(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range view.Settings {
		if s.Option == name {
			return s.Origin + ": " + strings.Join(s.Values, " ")
		}
	}
	return ""
}

// TestNatsCommandLine runs every command of docs/events.md against a node on a network
// of real relays.
func TestNatsCommandLine(t *testing.T) {
	built := tool(t)
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Relays: 4, Exits: 2})
	page, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	p := here(t)
	v := &visitor{t: t, blocks: Blocks(string(page), "sh"), shell: &Shell{Tool: built(), Dir: t.TempDir()}}
	v.readSchema()
	v.shell.Instead = strings.NewReplacer("127.0.0.1:4222", p.nats, "/var/lib/chive", p.dir)

	key := strings.TrimSpace(v.run(v.block("nkey gen user")))
	key = key[strings.LastIndexByte(key, '\n')+1:]
	torrc := strings.ReplaceAll(v.shell.Instead.Replace(strings.Join(Blocks(string(page), "torrc"), "")), "UA…", key)
	c, socks := start(t, n, torrc, &bytes.Buffer{})
	v.run(v.block("context save"))

	v.watch(socks, netip.AddrPortFrom(n.Target().IP, uint16(n.Target().HTTPPort)))
	v.ask(c)
	v.configure(c)
	for _, b := range v.blocks {
		t.Errorf("no test runs this:\n%s", b)
	}
}

func (v *visitor) watch(socks string, target netip.AddrPort) {
	t, users := v.t, 0
	subjects, dumps, _ := strings.Cut(v.block("--subjects-only"), "\n")
	happen := func() {
		users++
		connects(t, socks, "user"+strconv.Itoa(users), target)
	}
	lines := regexp.MustCompile(`chive\.v1\.f\.n1\.evt\.circuit\.[a-z2-7]{13}\.[a-z]+`).FindAllString(v.follow(subjects, happen), -1)
	if len(lines) != 5 {
		t.Errorf("subjects %q", lines)
	}
	v.follow(dumps, happen)
	files, err := os.ReadDir(filepath.Join(v.shell.Dir, "events"))
	if err != nil || len(files) != 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(v.shell.Dir, "events", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Subject string
			Data    []byte
		}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		e := v.read(m.Data)
		if id := e.Get(v.envelope.Fields().ByName("actor_id")).String(); !strings.Contains(m.Subject, ".circuit."+id+".") {
			t.Errorf("an event about %s at %s", id, m.Subject)
		}
	}
}

func (v *visitor) ask(c *node.Node) {
	t := v.t
	answers := v.run(v.block("micro ls"))
	for _, want := range []string{"a chive node", `"node": "n1"`, "chive.v1.f.n1.ctl.history", `"bootstrap_percent":100`} {
		if !strings.Contains(answers, want) {
			t.Errorf("no %s in\n%s", want, answers)
		}
	}
	verbs := regexp.MustCompile(`chive\.v1\.f\.n1\.ctl\.[^"]*`).FindAllString(answers, -1)
	if len(verbs) < 3 {
		t.Errorf("verbs %q", verbs)
	}
	for _, subject := range verbs {
		if address := strings.Replace(subject, "f.n1", "{fleet}.{node}", 1); !slices.Contains(v.channels, address) {
			t.Errorf("asyncapi.yaml does not have %s", address)
		}
	}
	v.run(v.block("ctl.history"))
	history, err := os.ReadFile(filepath.Join(v.shell.Dir, "history"))
	if err != nil {
		t.Fatal(err)
	}
	events, last := 0, uint64(0)
	for len(history) >= 4 {
		size := int(binary.BigEndian.Uint32(history))
		if size > len(history)-4 {
			t.Fatalf("%d bytes of %d", len(history)-4, size)
		}
		e := v.read(history[4 : 4+size])
		if seq := e.Get(v.envelope.Fields().ByName("sequence")).Uint(); seq <= last {
			t.Errorf("event %d after %d", seq, last)
		} else {
			last = seq
		}
		events++
		history = history[4+size:]
	}
	if events < 20 {
		t.Errorf("%d events", events)
	}
	drains := v.run(v.block("ctl.drain"))
	if !strings.Contains(drains, `"draining":true`) || !strings.Contains(drains, `"draining":false`) || c.Status().Draining {
		t.Errorf("drain: %s; %+v", drains, c.Status())
	}
}

func (v *visitor) configure(c *node.Node) {
	t := v.t
	var m messages.FleetMember
	if out := v.run(v.block("chive-f-nodes")); json.Unmarshal([]byte(out), &m) != nil || m.Node != "n1" || m.Version != "test" {
		t.Errorf("member %s", out)
	}
	const option, want = "MaxCircuitDirtiness", "fleet: 5 minutes"
	sign := v.block("printf")
	v.run(sign)
	put := v.block("kv put")
	v.run(put)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(waits)
	for setting(t, c, option) != want {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s is %s", option, setting(t, c, option))
		}
	}
	// Until somebody listens, and after, there are further revisions.
	var a messages.FleetAck
	revision := 1
	told := v.follow(v.block("cfg.>"), func() {
		revision++
		next := strings.Replace(sign, "' 1 \\", "' "+strconv.Itoa(revision)+" \\", 1)
		if next == sign {
			t.Fatalf("no revision in %s", sign)
		}
		v.run(next + put)
	})
	if err := json.Unmarshal([]byte(told), &a); err != nil || a.State != messages.FleetApplied || a.Revision == 0 || a.Node != "n1" {
		t.Errorf("acknowledged %s, %v", told, err)
	}
	if now := setting(t, c, option); now != want {
		t.Errorf("%s is %s", option, now)
	}
	kept := v.run(v.block("chive-f-acks"))
	if !strings.Contains(kept, `"publication":1,"revision":1,"node":"n1","state":"applied"`) || !strings.Contains(kept, "chive-f-config > all") {
		t.Errorf("kept %s", kept)
	}
}
