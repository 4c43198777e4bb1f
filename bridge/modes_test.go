package bridge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	shared "chive/bridge/fleet"
	"chive/internal/freeport"
	"chive/messages"
	"chive/messages/chivev1"
)

// waits bounds a failure, never a success.
const waits = 3 * time.Minute

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// joins starts a bridge with the given options completed.
func joins(t *testing.T, node string, o Options) *running {
	t.Helper()
	r := messages.NewRecorder(node, time.Now, 1024)
	if o.DataDir == "" {
		o.DataDir = shortDir(t)
	}
	o.Fleet, o.Version, o.Recorder = "f", "1", r
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CredentialFile == "" {
		o.CredentialFile = filepath.Join(o.DataDir, "observer.nk")
	}
	b, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop(b) })
	return &running{b, r, o.DataDir}
}

// as connects with the credential in a file.
func as(t *testing.T, url, file string, options ...nats.Option) *nats.Conn {
	t.Helper()
	user, key, err := readSeed(file)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(url, append(credential(user, key), append(options, nats.NoReconnect(), nats.Timeout(waits))...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// eventually tries until it works.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(waits)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// seed writes a new credential and gives file and public key.
func seed(t *testing.T, dir, name string) (file, key string) {
	t.Helper()
	file = filepath.Join(dir, name)
	key, err := KeptKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, key
}

// hub is Debian's nats-server with the configuration that chive writes for it.
type hub struct {
	url       string
	dir, text string
	cmd       *exec.Cmd
	keys      map[string]string // file by name
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := freeport.Take(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func startHub(t *testing.T, nodes ...string) *hub {
	t.Helper()
	h := &hub{dir: shortDir(t), keys: map[string]string{}}
	u := Users{Fleet: "f", Nodes: map[string]string{}, Clients: map[Role]string{}}
	for _, n := range nodes {
		h.keys[n], u.Nodes[n] = seed(t, h.dir, n+".nk")
	}
	for _, r := range Roles {
		h.keys[string(r)], u.Clients[r] = seed(t, h.dir, string(r)+".nk")
	}
	port := freePort(t)
	h.url = fmt.Sprintf("nats://127.0.0.1:%d", port)
	h.text = fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q, max_mem: 8MB, max_file: 128MB }\n%s", port, h.dir, u.ServerConfig())
	h.start(t)
	t.Cleanup(h.kill)
	return h
}

func (h *hub) start(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("nats-server")
	if err != nil {
		program = "/usr/sbin/nats-server"
	}
	file := filepath.Join(h.dir, "nats.conf")
	if err := os.WriteFile(file, []byte(h.text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	h.cmd = exec.Command(program, "-c", file)
	h.cmd.Stdout, h.cmd.Stderr = &said, &said
	if err := h.cmd.Start(); err != nil {
		t.Fatalf("%v (make deps installs it)", err)
	}
	cmd := h.cmd
	eventually(t, "Debian's nats-server", func() error {
		nc, err := nats.Connect(h.url)
		if nc != nil {
			nc.Close()
		}
		if errors.Is(err, nats.ErrAuthorization) {
			return nil // it answers
		}
		if cmd.ProcessState != nil {
			return fmt.Errorf("%w: %s", err, said.Bytes())
		}
		return err
	})
}

func (h *hub) kill() {
	if h.cmd != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		h.cmd = nil
	}
}

// tries is what a role may be asked to do.
type attempt struct {
	what    string
	allowed []Role
	try     func(nc *nats.Conn) error
}

// refusals collects what the server says no to.
type refusals chan error

func publishes(subject string) func(*nats.Conn) error {
	return func(nc *nats.Conn) error { return nc.Publish(subject, []byte("x")) }
}

func subscribes(subject string) func(*nats.Conn) error {
	return func(nc *nats.Conn) error { _, err := nc.SubscribeSync(subject); return err }
}

var attempts = []attempt{
	{"watch events", Roles, subscribes("chive.v1.*.*.evt.circuit.>")},
	{"watch acknowledgements", Roles, subscribes("chive.v1.f.*.cfg.>")},
	{"ask for status", Roles, publishes("chive.v1.f.n1.ctl.status")},
	{"ask for history", Roles, publishes("chive.v1.f.n1.ctl.history")},
	{"ask who is there", Roles, publishes("$SRV.PING")},
	{"drain", []Role{RoleOperate}, publishes("chive.v1.f.n1.ctl.drain")},
	{"have guards retried", []Role{RoleOperate}, publishes("chive.v1.f.n1.ctl.guards-retry")},
	{"have timeouts forgotten", []Role{RoleOperate}, publishes("chive.v1.f.n1.ctl.timeouts-forget")},
	{"publish a configuration", []Role{RoleConfigure}, publishes("$KV.chive-f-config.all")},
	{"read a configuration", []Role{RoleOperate, RoleConfigure}, publishes("$JS.FLEET.API.DIRECT.GET.KV_chive-f-config.$KV.chive-f-config.all")},
	{"read acknowledgements", []Role{RoleOperate, RoleConfigure}, publishes("$JS.FLEET.API.STREAM.INFO.KV_chive-f-acks")},
	{"read members", Roles, publishes("$JS.FLEET.API.STREAM.INFO.KV_chive-f-nodes")},
	{"pretend to be a node", nil, publishes("chive.v1.f.n1.evt.circuit.c1.opened")},
	{"see what is told of shared onion services", nil, subscribes("$KV.chive-f-onions.>")},
	{"read it", nil, publishes("$JS.FLEET.API.STREAM.INFO.KV_chive-f-onions")},
	{"take their leases", nil, publishes("$KV.chive-f-onions.t.lease")},
	{"acknowledge", nil, publishes("$KV.chive-f-acks.1.n1")},
	{"acknowledge as an event", nil, publishes("chive.v1.f.n1.cfg.acknowledged")},
	{"be a member", nil, publishes("$KV.chive-f-nodes.n1")},
	{"propose to a node itself", nil, publishes("chive.v1.f.n1.ctl.config-propose")},
	{"see a node's options", nil, publishes("chive.v1.f.n1.ctl.config-show")},
	{"ask for why", nil, publishes("chive.v1.f.n1.ctl.why")},
	{"answer for a node", nil, subscribes("chive.v1.f.n1.ctl.status")},
	{"answer as a service", nil, subscribes("$SRV.>")},
	{"see all", nil, subscribes(">")},
	{"see every answer", nil, subscribes("_INBOX.>")},
	{"see another's answers", nil, subscribes("_INBOX.UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.>")},
	{"see answers on their way", nil, subscribes("_R_.>")},
	{"see what is configured", nil, subscribes("$KV.>")},
	{"answer anybody", nil, publishes("_INBOX.other")},
	{"delete a bucket", nil, publishes("$JS.API.STREAM.DELETE.KV_chive-f-config")},
	{"empty a bucket", nil, publishes("$JS.API.STREAM.PURGE.KV_chive-f-config")},
	{"make a stream", nil, publishes("$JS.API.STREAM.CREATE.other")},
	{"have a stream sent elsewhere", nil, publishes("$JS.API.CONSUMER.CREATE.KV_chive-f-config")},
	{"list streams", nil, publishes("$JS.API.STREAM.LIST")},
	{"command the server", nil, publishes("$SYS.REQ.SERVER.PING")},
}

// Each role does what it is for and is refused everything else, on the embedded
// server and on Debian's.
func TestRolesAreRefusedEverythingElse(t *testing.T) {
	embedded := joins(t, "n1", Options{Listen: "127.0.0.1:0", InFleet: true})
	h := startHub(t, "n1")
	for _, place := range []struct {
		name, url string
		file      func(Role) string
	}{
		{"embedded", embedded.ClientURL(), embedded.o.credentialOf},
		{"Debian", h.url, func(r Role) string { return h.keys[string(r)] }},
	} {
		for _, role := range Roles {
			t.Run(place.name+"/"+string(role), func(t *testing.T) { tryAll(t, role, place.url, place.file(role)) })
		}
	}
}

func tryAll(t *testing.T, role Role, url, file string) {
	refused := make(refusals, 16)
	nc := as(t, url, file, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	for _, a := range attempts {
		may := false
		for _, r := range a.allowed {
			may = may || r == role
		}
		if err := a.try(nc); err != nil {
			t.Fatalf("%s: %v", a.what, err)
		}
		if err := nc.FlushTimeout(waits); err != nil { // the server's refusal comes before its PONG
			t.Fatalf("%s: %v", a.what, err)
		}
		if may {
			select {
			case err := <-refused:
				t.Errorf("%s: refused: %v", a.what, err)
			default:
			}
			continue
		}
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", a.what, err)
			}
		case <-time.After(waits):
			t.Errorf("%s: not refused", a.what)
		}
	}
}

// A client may name any subject as where its answer goes. It goes nowhere but to
// its own inbox: not into a bucket, and not to those who delete one.
func TestAnswersCannotBeSentElsewhere(t *testing.T) {
	embedded := joins(t, "n1", Options{Listen: "127.0.0.1:0", InFleet: true})
	js, err := jetstream.New(embedded.fleet.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: shared.ConfigBucket("f")})
	if err != nil {
		t.Fatal(err)
	}
	nc := as(t, embedded.ClientURL(), embedded.o.credentialOf(RoleObserve))
	for _, reply := range []string{"$KV.chive-f-config.all", "$JS.API.STREAM.DELETE.KV_chive-f-config", "chive.v1.f.n1.evt.circuit.c1.opened"} {
		for _, ask := range []string{"chive.v1.f.n1.ctl.status", "chive.v1.f.n1.ctl.history", "$SRV.PING", "$JS.FLEET.API.STREAM.INFO.KV_chive-f-nodes"} {
			if err := nc.PublishRequest(ask, reply, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := nc.Request("chive.v1.f.n1.ctl.history", nil, waits); err != nil { // those before it were answered
		t.Fatal(err)
	}
	if err := embedded.fleet.nc.FlushTimeout(waits); err != nil {
		t.Fatal(err)
	}
	if entry, err := kv.Get(t.Context(), "all"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("entry %v, %v", entry, err)
	}
}

// What the operator of one node may do does not cross a route.
func TestOperatorsOfNodesAreApart(t *testing.T) {
	nodes := cluster(t, 2)
	for _, n := range nodes {
		if err := n.Handle("config-show", func([]byte) ([]byte, error) { return []byte(n.recorder.Node()), nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nodes[0].fleet.nc.Request("chive.v1.f.n2.ctl.config-show", nil, waits); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("one node of a cluster asks for another's options: %v", err)
	}
	eventually(t, "history over a route", func() error { // interest has to get around
		m, err := nodes[0].fleet.nc.Request("chive.v1.f.n2.ctl.history", nil, waits)
		if err == nil && len(m.Data) > 0 {
			t.Error("an event that nobody emitted")
		}
		return err
	})
}

// cluster starts nodes whose embedded servers are one cluster.
func cluster(t *testing.T, n int) (nodes []*running) {
	t.Helper()
	secret := filepath.Join(shortDir(t), "secret")
	if err := os.WriteFile(secret, []byte("a-secret-of-all-servers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var routes []string
	for i := range n {
		where := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		o := Options{Listen: "127.0.0.1:0", InFleet: true, Replicas: n, ClusterListen: where, ClusterCredentialFile: secret, Routes: routes}
		node := joins(t, fmt.Sprintf("n%d", i+1), o)
		routes = append(routes, node.ClusterAddress())
		nodes = append(nodes, node)
	}
	eventually(t, "cluster", func() error {
		for _, node := range nodes {
			if got := node.server.NumRoutes(); got < n-1 {
				return fmt.Errorf("%d routes", got)
			}
		}
		return nil
	})
	return nodes
}

// Events of a node reach who watches at another, in each way to take part.
func TestEventsReachTheFleet(t *testing.T) {
	see := func(t *testing.T, nc *nats.Conn, from *running) {
		t.Helper()
		sub, err := nc.SubscribeSync("chive.v1.*.*.evt.circuit.>")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		if err := nc.FlushTimeout(waits); err != nil {
			t.Fatal(err)
		}
		eventually(t, "event of "+from.recorder.Node(), func() error { // interest has to get around
			from.emit(1)
			m, err := sub.NextMsg(200 * time.Millisecond)
			if err == nil && !strings.Contains(m.Subject, "."+from.recorder.Node()+".evt.circuit.c1.opened") {
				err = fmt.Errorf("subject %s", m.Subject)
			}
			return err
		})
		eventually(t, "status of "+from.recorder.Node(), func() error {
			_, err := nc.Request("chive.v1.f."+from.recorder.Node()+".ctl.history", nil, time.Second)
			return err
		})
	}
	t.Run("cluster", func(t *testing.T) {
		nodes := cluster(t, 3)
		see(t, as(t, nodes[0].ClientURL(), nodes[0].o.CredentialFile), nodes[2])
	})
	t.Run("other server", func(t *testing.T) {
		h := startHub(t, "n1")
		n := joins(t, "n1", Options{InFleet: true, URLs: []string{h.url}, NodeCredentialFile: h.keys["n1"]})
		see(t, as(t, h.url, h.keys["observe"]), n)
		h.kill()
		n.emit(100)
		operator := n.client(t)
		eventually(t, "events with the server dead", func() error { // the publisher has to come to them
			history, err := operator.History(t.Context())
			if err == nil && len(history) < 100 {
				err = fmt.Errorf("the operator is told of %d", len(history))
			}
			return err
		})
		h.start(t)
		see(t, as(t, h.url, h.keys["observe"]), n)
	})
}

// A node of Debian's server is refused what is another node's.
func TestNodesSpeakForThemselves(t *testing.T) {
	h := startHub(t, "n1", "n2")
	refused := make(refusals, 16)
	nc := as(t, h.url, h.keys["n1"], nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	for _, try := range []func(*nats.Conn) error{
		publishes("chive.v1.f.n2.evt.circuit.c1.opened"), publishes("$KV.chive-f-nodes.n2"), publishes("$KV.chive-f-acks.1.n2"),
		publishes("$KV.chive-f-config.all"), publishes("$KV.chive-f-onions.t.node.n2"), publishes("chive.v1.f.n2.ctl.drain"), publishes("$JS.API.STREAM.DELETE.KV_chive-f-config"),
		subscribes("chive.v1.f.n2.ctl.>"), subscribes("_INBOX.>"), subscribes("_R_.>"),
	} {
		if err := try(nc); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Error(err)
			}
		case <-time.After(waits):
			t.Fatal("not refused")
		}
	}
}

// certificates writes a CA and a certificate of it for loopback.
func certificates(t *testing.T) (files TLSFiles, pool *x509.CertPool) {
	t.Helper()
	dir := shortDir(t)
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	make := func(serial int64, ca bool, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("chive test ", serial)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if parent == nil {
			parent, signer = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return c, key, der
	}
	ca, caKey, caDER := make(1, true, nil, nil)
	_, key, der := make(2, false, ca, caKey)
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files = TLSFiles{Cert: write("cert", "CERTIFICATE", der), Key: write("key", "EC PRIVATE KEY", private), CA: write("ca", "CERTIFICATE", caDER)}
	if pool, err = authorities(files.CA); err != nil {
		t.Fatal(err)
	}
	return files, pool
}

// With a certificate the listener speaks TLS only, a node of another server checks
// it, and a cluster's servers check each other.
func TestTLS(t *testing.T) {
	files, pool := certificates(t)
	r := joins(t, "n1", Options{Listen: "127.0.0.1:0", TLS: files})
	where := strings.TrimPrefix(strings.TrimPrefix(r.ClientURL(), "nats://"), "tls://")
	plain, err := nats.Connect("tls://"+where, nats.NoReconnect(), nats.Timeout(waits), nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
	if err == nil {
		plain.Close()
		t.Error("a client believes a certificate of nobody")
	}
	nc := as(t, "tls://"+where, r.o.CredentialFile, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	if state, err := nc.TLSConnectionState(); err != nil || state.Version < tls.VersionTLS12 {
		t.Errorf("TLS: %v", err)
	}
	if _, err := nc.Request("chive.v1.f.n1.ctl.history", nil, waits); err != nil {
		t.Error(err)
	}
	if _, err := r.client(t).History(t.Context()); err != nil { // the operator's socket goes on
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waits)
	defer cancel()
	other := joins(t, "n2", Options{URLs: []string{"tls://" + where}, InFleet: true, TLS: TLSFiles{CA: files.CA}, NodeCredentialFile: r.o.CredentialFile})
	eventually(t, "node over TLS", func() error {
		if !other.fleet.nc.IsConnected() {
			return errors.Join(other.fleet.nc.LastError(), ctx.Err(), errors.New("not connected"))
		}
		return nil
	})
}

// What is missing or wrong is named, with the remedy.
func TestStartSaysWhatIsMissing(t *testing.T) {
	dir := shortDir(t)
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	account, err := stranger.Seed()
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "account")
	if err := os.WriteFile(wrong, account, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"chive fleet credentials makes it, once":             {InFleet: true, ClusterListen: "127.0.0.1:0", ClusterCredentialFile: filepath.Join(dir, "none")},
		"16 to 128 letters":                                  {InFleet: true, ClusterListen: "127.0.0.1:0", ClusterCredentialFile: bad},
		"NatsNodeCredentialFile: open":                       {InFleet: true, URLs: []string{"nats://127.0.0.1:1"}, NodeCredentialFile: filepath.Join(dir, "none")},
		"not the seed (SU…)":                                 {InFleet: true, URLs: []string{"nats://127.0.0.1:1"}, NodeCredentialFile: bad},
		"NatsTLSCA " + bad + ": no certificate":              {InFleet: true, URLs: []string{"nats://127.0.0.1:1"}, NodeCredentialFile: "seed", TLS: TLSFiles{CA: bad}},
		"NatsClusterListen 192.0.2.1:1: an address beyond":   {InFleet: true, ClusterListen: "192.0.2.1:1"},
		"NatsCredentialFile " + bad + ": neither the seed":   {Listen: "127.0.0.1:0", CredentialFile: bad},
		"NatsCredentialFile " + wrong + ": not a user's key": {Listen: "127.0.0.1:0", CredentialFile: wrong},
	} {
		o.Fleet, o.DataDir, o.Log = "f", shortDir(t), slog.New(slog.DiscardHandler)
		o.Recorder = messages.NewRecorder("n1", time.Now, 1)
		if o.NodeCredentialFile == "seed" {
			o.NodeCredentialFile, _ = seed(t, dir, "node.nk")
		}
		b, err := Start(o)
		if err == nil {
			_ = stop(b)
			t.Errorf("%s: started", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A lone node has neither JetStream nor an account that others are in.
func TestLoneNodeRunsNoFleet(t *testing.T) {
	b := joins(t, "n1", Options{})
	if b.fleet != nil || b.server.JetStreamEnabled() || b.server.NumLoadedAccounts() > 2 {
		t.Errorf("fleet %v, %d accounts", b.fleet, b.server.NumLoadedAccounts())
	}
	if _, err := os.Stat(filepath.Join(b.dir, fleetSeed)); err == nil {
		t.Error("a credential of a fleet is written")
	}
	// Who asks for its fleet is told why there is none, be others let in or not.
	if _, err := ConnectFleet(t.Context(), FleetAccess{DataDir: b.dir}); !errors.Is(err, ErrElsewhere) {
		t.Errorf("the fleet of a lone node: %v", err)
	}
	listens := joins(t, "n2", Options{Listen: "127.0.0.1:0"})
	c, err := ConnectFleet(t.Context(), FleetAccess{DataDir: listens.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Members(t.Context()); !errors.Is(err, shared.ErrUnshared) {
		t.Errorf("the members of no fleet: %v", err)
	}
	b.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitOpened{Hops: 3}))
	if history, err := b.client(t).History(t.Context()); err != nil || len(history) > 1 {
		t.Errorf("%d events, %v", len(history), err)
	}
}
