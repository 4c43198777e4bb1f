package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Services as a C tor torrc has them: options belong to the folder above them.
func TestHostedServices(t *testing.T) {
	c, err := written(t, `
HiddenServiceDir /var/lib/tor/a/
HiddenServicePort 80
HiddenServicePort 443 127.0.0.1:8443
HiddenServiceVersion 3
SocksPort 9150
HiddenServiceNumIntroductionPoints 5
HiddenServiceDir /var/lib/tor/b
HiddenServicePort 22 unix:/run/ssh.sock
HiddenServicePort 22 unix:"/run/a \"b\".sock"
HiddenServicePort 23 2300
HiddenServicePort 24 192.0.2.1
HiddenServicePort 25 [2001:db8::1]:26
HiddenServicePort 27 localhost:28
HiddenServiceMaxStreams 10
HiddenServiceMaxStreamsCloseCircuit 1
HiddenServiceAllowUnknownPorts 1
HiddenServiceEnableIntroDoSDefense 1
HiddenServiceEnableIntroDoSRatePerSec 10
HiddenServiceEnableIntroDoSBurstPerSec 20
HiddenServicePoWDefensesEnabled 1
HiddenServiceDirGroupReadable 1
HiddenServiceExportCircuitID HAProxy
HiddenServiceOnionBalanceInstance 1
`)
	if err != nil {
		t.Fatal(err)
	}
	tcp := func(port uint16, target string) OnionPort {
		return OnionPort{Port: port, Target: netip.MustParseAddrPort(target)}
	}
	a := serviceDefaults
	a.Dir, a.IntroductionPoints = "/var/lib/tor/a", 5
	a.Ports = []OnionPort{tcp(80, "127.0.0.1:80"), tcp(443, "127.0.0.1:8443")}
	b := serviceDefaults
	b.Dir, b.DirGroupReadable, b.MaxStreams, b.MaxStreamsCloseClient, b.AllowUnknownPorts = "/var/lib/tor/b", true, 10, true, true
	b.IntroDoS, b.IntroDoSRate, b.IntroDoSBurst, b.PoW, b.ExportCircuitID, b.OnionBalance = true, 10, 20, true, true, true
	b.Ports = []OnionPort{
		{Port: 22, Path: "/run/ssh.sock"},
		{Port: 22, Path: `/run/a "b".sock`},
		tcp(23, "127.0.0.1:2300"),
		tcp(24, "192.0.2.1:24"), tcp(25, "[2001:db8::1]:26"), tcp(27, "127.0.0.1:28"),
	}
	a.From, b.From = FromFile, FromFile
	if diff := cmp.Diff([]OnionService{a, b}, c.OnionServices, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
	// As they are shown they are read again, from a place where lines have no order.
	s := Source{Environment: []string{"CHIVE_HIDDEN_SERVICE_DIR=" + strings.Join(Find(serviceDir).Values(c), "\n")}}
	again, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	for i := range again.OnionServices {
		if s := &again.OnionServices[i]; s.From != FromEnvironment {
			t.Errorf("%s is from %v", s.Dir, s.From)
		} else {
			s.From = FromFile
		}
	}
	if diff := cmp.Diff(c.OnionServices, again.OnionServices, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
	if d := Diff(c, again.Config); len(d) != 1 || d[0].Option.Name != "SocksPort" {
		t.Errorf("%+v", d)
	}
	fixed, err := Fixed(c).Load()
	if err != nil || len(Diff(c, fixed.Config)) > 0 {
		t.Errorf("%v", err)
	}
}

func TestHostedServiceMistakes(t *testing.T) {
	const a, port = "HiddenServiceDir /a\n", "HiddenServicePort 80\n"
	for torrc, kind := range map[string]error{
		port: ErrConflict, port + a: ErrConflict, a: ErrConflict,
		a + port + "HiddenServiceDir /a/\n" + port:                 ErrConflict,
		a + port + "HiddenServiceVersion 2\n":                      ErrValue,
		a + "HiddenServicePort\n":                                  ErrValue,
		a + "HiddenServicePort 0\n":                                ErrValue,
		a + "HiddenServicePort 80 example.test:80\n":               ErrValue,
		a + "HiddenServicePort 80 127.0.0.1:0\n":                   ErrValue,
		a + "HiddenServicePort 80 unix:\n":                         ErrValue,
		a + "HiddenServicePort 80 unix:\"/x\" y\n":                 ErrValue,
		a + port + "HiddenServiceNumIntroductionPoints 21\n":       ErrValue,
		a + port + "HiddenServiceNumIntroductionPoints 0\n":        ErrValue,
		a + port + "HiddenServiceMaxStreams 65536\n":               ErrValue,
		a + port + "HiddenServiceAllowUnknownPorts yes\n":          ErrValue,
		a + port + "HiddenServiceEnableIntroDoSRatePerSec 300\n":   ErrConflict,
		a + port + "HiddenServicePoWQueueBurst 3\n":                ErrConflict,
		"HiddenServiceDir /a; HiddenServicePort 80; SocksPort 1\n": ErrUnknown,
		"HiddenServiceDir /a; HiddenServicePort 80;\n":             ErrUnknown,
		a + port + "HiddenServiceNonAnonymousMode 1\n":             ErrUnsupported,
		a + port + "HiddenServiceSingleHopMode 1\n":                ErrUnsupported,
		a + port + "HiddenServiceExportCircuitID socks\n":          ErrValue,
		"HiddenServiceDir\n":                                       ErrValue,
		a + port + "HiddenServiceShared 1\n":                       ErrConflict,
		a + port + "HiddenServiceShared yes\n":                     ErrValue,
	} {
		_, err := written(t, torrc)
		var errs Errors
		if !errors.As(err, &errs) || !errors.Is(errs[0].Kind, kind) {
			t.Errorf("%q: %v", torrc, err)
		}
	}
	for _, fine := range []string{a + port + "HiddenServiceShared 0\n", a + port + "HiddenServiceShared 1\nNatsUrl nats://127.0.0.1:4222\n", "HiddenServiceNonAnonymousMode 0\n", "HiddenServiceSingleHopMode 0\n"} {
		if _, err := written(t, fine); err != nil {
			t.Error(err)
		}
	}
}

// A layer that has services has all of them; a lone option of one belongs to none.
func TestHostedServicesOfLayers(t *testing.T) {
	s := Source{
		File: "torrc", Flags: []Override{{Name: "+HiddenServiceDir", Value: "/c; HiddenServicePort 3"}},
		files: oneFile("HiddenServiceDir /a\nHiddenServicePort 1\n"),
	}
	l, err := s.Load()
	if err != nil || len(l.OnionServices) != 2 || l.OnionServices[1].Dir != "/c" {
		t.Errorf("%v", err)
	}
	s.Flags = []Override{{Name: "HiddenServiceDir", Value: "/c; HiddenServicePort 3"}}
	if l, err = s.Load(); err != nil || len(l.OnionServices) != 1 {
		t.Errorf("%v", err)
	}
	s.Flags = []Override{{Name: "HiddenServiceMaxStreams", Value: "3"}}
	if _, err = s.Load(); err == nil {
		t.Error("an option of the command line changes a service of the file")
	}
}
