package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// asking is a request at a listener. Its zero value at is not one; what else is not given
// is as plain's.
type asking struct {
	at             string
	from           string // the client's address
	user, password string
	socks4         bool
	host           string
	port           uint16
}

// do asks, and has a line come back if the port echoes.
func (a asking) do() error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a.from)}}
	c, err := d.Dial("tcp", a.at)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	port := string([]byte{byte(a.port >> 8), byte(a.port)})
	say, want := "\x04\x01"+port+"\x00\x00\x00\x01"+a.user+"\x00"+a.host+"\x00", "\x00\x5a"
	if !a.socks4 {
		hello := "\x05\x01\x00"
		want = "\x05\x00\x05\x00"
		if a.user != "" || a.password != "" {
			hello = "\x05\x01\x02\x01" + string([]byte{byte(len(a.user))}) + a.user + string([]byte{byte(len(a.password))}) + a.password
			want = "\x05\x02\x01\x00\x05\x00"
		}
		say = hello + "\x05\x01\x00\x03" + string([]byte{byte(len(a.host))}) + a.host + port
	}
	if _, err := io.WriteString(c, say); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("%q, %w", got, err)
	}
	if string(got) != want {
		return fmt.Errorf("SOCKS replies % x", got)
	}
	return nil
}

// Each flag of a SocksPort that isolates keeps apart what it says and nothing else, and
// without it the same requests share a circuit; over relays of C tor. What no circuit
// may have carried is checked over the whole log at the end.
func TestIsolationFlags(t *testing.T) {
	n := network(t)
	var base []string
	port := func(flags string) string {
		at := freePort(t)
		base = append(base, "SocksPort "+at+" "+flags)
		return at
	}
	const none = "NoIsolateClientAddr NoIsolateSOCKSAuth"
	tests := []struct {
		name  string
		at    string
		other string // another listener, which the second request is made at
		// second makes the first request the second one.
		second func(*asking)
		apart  bool
	}{
		{"nothing differs", port(""), "", func(*asking) {}, false},
		{"IsolateClientAddr", port(none + " IsolateClientAddr"), "", func(a *asking) { a.from = "127.0.0.2" }, true},
		{"NoIsolateClientAddr", port("NoIsolateClientAddr"), "", func(a *asking) { a.from = "127.0.0.2" }, false},
		{"IsolateSOCKSAuth, user", port(none + " IsolateSOCKSAuth"), "", func(a *asking) { a.user = "bob" }, true},
		{"IsolateSOCKSAuth, password", port(none + " IsolateSOCKSAuth"), "", func(a *asking) { a.password = "other" }, true},
		{"IsolateSOCKSAuth, anonymous", port(none + " IsolateSOCKSAuth"), "", func(a *asking) { a.user, a.password = "", "" }, true},
		{"NoIsolateSOCKSAuth", port("NoIsolateSOCKSAuth"), "", func(a *asking) { a.user = "bob" }, false},
		{"extended format, other token", port(""), "", func(a *asking) { a.password = "other" }, true},
		{"IsolateClientProtocol", port(none + " IsolateClientProtocol"), "", func(a *asking) { a.socks4 = true }, true},
		{"NoIsolateClientProtocol", port(none), "", func(a *asking) { a.socks4 = true }, false},
		{"IsolateDestPort", port("IsolateDestPort"), "", func(a *asking) { a.port = uint16(n.Target().HTTPPort) }, true},
		{"NoIsolateDestPort", port(""), "", func(a *asking) { a.port = uint16(n.Target().HTTPPort) }, false},
		{"IsolateDestAddr", port("IsolateDestAddr"), "", func(a *asking) { a.host = n.Target().IP.String() }, true},
		{"IsolateDestAddr, other port", port("IsolateDestAddr"), "", func(a *asking) { a.port = uint16(n.Target().HTTPPort) }, false},
		{"NoIsolateDestAddr", port(""), "", func(a *asking) { a.host = n.Target().IP.String() }, false},
		{"two listeners", port(""), port(""), func(*asking) {}, true},
		{"one SessionGroup", port("SessionGroup=3"), port("SessionGroup=3"), func(*asking) {}, false},
		{"two SessionGroups", port("SessionGroup=4"), port("SessionGroup=5"), func(*asking) {}, true},
		{
			"one SessionGroup, one isolates", port("SessionGroup=6 IsolateDestPort"), port("SessionGroup=6"),
			func(a *asking) { a.port = uint16(n.Target().HTTPPort) }, true,
		},
		{
			"one SessionGroup, the other isolates", port("SessionGroup=7"), port("SessionGroup=7 IsolateDestPort"),
			func(a *asking) { a.port = uint16(n.Target().HTTPPort) }, true,
		},
	}
	keeps, forgets := port("KeepAliveIsolateSOCKSAuth"), port("")
	l := &lab{reloadable: startReloadable(t, n, nil, base...), n: n, base: base}
	plain := asking{
		from: "127.0.0.1", user: "alice", password: "x", host: "target.test", port: uint16(n.Target().EchoPort),
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			one := plain
			one.at = tt.at
			if strings.HasPrefix(tt.name, "extended format") {
				one.user = "<torS0X>0"
			}
			two := one
			tt.second(&two)
			if tt.other != "" {
				two.at = tt.other
			}
			first, second := l.carrier(t, one.do), l.carrier(t, two.do)
			if (first != second) != tt.apart {
				t.Errorf("on two circuits: %v, want %v", first != second, tt.apart)
			}
			if l.carrier(t, one.do) != first && !tt.apart {
				t.Error("the first request, made again, is on another circuit")
			}
		})
	}
	t.Run("extended format, unknown", func(t *testing.T) {
		for _, user := range []string{"<torS0X>", "<torS0X>1", "<torS0X>0abc"} {
			a := plain
			a.at, a.user = forgets, user
			if err := a.do(); err == nil || !strings.Contains(err.Error(), `"\x05\x02\x01`) && !strings.Contains(err.Error(), "replies 05 02 01") {
				t.Errorf("%s: %v, want a refused authentication", user, err)
			}
		}
	})
	t.Run("KeepAliveIsolateSOCKSAuth", func(t *testing.T) { keepAlive(t, l, plain, keeps, forgets) })
}

// keepAlive: with the flag a user stays on the circuit that is in use, without it only
// while that is young; and who gives no name is not kept.
func keepAlive(t *testing.T, l *lab, plain asking, keeps, forgets string) {
	const most = 10 * time.Second
	l.set(t, fmt.Sprintf("MaxCircuitDirtiness %d seconds", int(most.Seconds())))
	named, elsewhere, anonymous := plain, plain, plain
	named.at, elsewhere.at, anonymous.at = keeps, forgets, keeps
	anonymous.user, anonymous.password = "", ""
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for range 5 { // a machine that stood still for too long proves nothing
		last, gap := time.Now(), time.Duration(0)
		kept, left, nobody := l.carrier(t, named.do), l.carrier(t, elsewhere.do), l.carrier(t, anonymous.do)
		began := time.Now()
		same := true
		for time.Since(began) < most+2*time.Second {
			<-tick.C
			now := time.Now()
			gap, last = max(gap, now.Sub(last)), now
			same = same && l.carrier(t, named.do) == kept
		}
		if gap > most/2 {
			continue
		}
		if !same {
			t.Error("a user is on another circuit though it was in use")
		}
		if l.carrier(t, elsewhere.do) == left || l.carrier(t, anonymous.do) == nobody {
			t.Error("an old circuit takes streams")
		}
		return
	}
	t.Skip("the machine is too slow to tell")
}
