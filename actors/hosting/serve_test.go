package hosting

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chive/config"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("chive/actors/kernel.(*pool).work"))
}

// What becomes of a stream, by the options of the service, as they are now.
func TestServe(t *testing.T) {
	ports := []config.OnionPort{{Port: 80, Target: netip.MustParseAddrPort("127.0.0.1:1")}}
	for name, tt := range map[string]struct {
		service             config.OnionService
		port                uint16
		open                int
		served, closeClient bool
	}{
		"a port of ours":                  {config.OnionService{Ports: ports}, 80, 1000, true, false},
		"an unknown port":                 {config.OnionService{Ports: ports}, 81, 0, false, true},
		"an unknown port, allowed":        {config.OnionService{Ports: ports, AllowUnknownPorts: true}, 81, 0, false, false},
		"one stream less than too many":   {config.OnionService{Ports: ports, MaxStreams: 2}, 80, 1, true, false},
		"too many streams":                {config.OnionService{Ports: ports, MaxStreams: 2}, 80, 2, false, false},
		"too many, which costs a circuit": {config.OnionService{Ports: ports, MaxStreams: 2, MaxStreamsCloseClient: true}, 80, 2, false, true},
	} {
		r := newRules(config.OnionService{}, new(meter), time.Now)
		r.set(tt.service)
		got := r.serve(tt.port, tt.open)
		if (got.Dial != nil) != tt.served || got.Close != tt.closeClient {
			t.Errorf("%s: served %v, closed %v", name, got.Dial != nil, got.Close)
		}
	}
}

// twoServers are what a service's streams can go to.
func twoServers(t *testing.T) (unix, tcp net.Listener) {
	t.Helper()
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close() })
	tcp, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	return unix, tcp
}

// Several targets of a port share its streams; each is reached.
func TestTargets(t *testing.T) {
	unix, tcp := twoServers(t)
	path := unix.Addr().String()
	r := newRules(config.OnionService{Ports: []config.OnionPort{
		{Port: 80, Path: path}, {Port: 80, Target: tcp.Addr().(*net.TCPAddr).AddrPort()}, {Port: 81, Path: path + "-none"},
	}}, new(meter), time.Now)
	reached := map[string]bool{}
	for range 200 {
		conn, err := r.serve(80, 0).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reached[conn.RemoteAddr().Network()] = true
		_ = conn.Close()
		if len(reached) == 2 {
			break
		}
	}
	if len(reached) != 2 {
		t.Errorf("200 streams went to %v alone", reached)
	}
	if _, err := r.serve(81, 0).Dial(t.Context()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a socket that is not there: %v", err)
	}
}
