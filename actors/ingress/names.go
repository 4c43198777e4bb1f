package ingress

import (
	crand "crypto/rand"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"

	"chive/tor/addrmap"
	"chive/tor/cell"
)

// Names are the virtual addresses that stand for names, at all listeners of a node
// alike: a program may ask at a DNSPort and connect at a SocksPort.
type Names struct {
	mu    sync.Mutex // protects table
	table *addrmap.Table
}

// NewNames makes an empty one.
func NewNames(nets addrmap.Networks) *Names { return &Names{table: addrmap.NewTable(nets)} }

// Move changes where new virtual addresses are from.
func (n *Names) Move(nets addrmap.Networks) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.table.Move(nets)
}

// Mapping is what the configuration says about hosts that stand for others.
type Mapping struct {
	Rules    addrmap.Rules
	Automap  bool     // AutomapHostsOnResolve
	Suffixes []string // AutomapHostsSuffixes
}

// automaps: is the name one to give a virtual address?
func (m Mapping) automaps(name string) bool {
	for _, s := range m.Suffixes {
		if s == "." || strings.HasSuffix(name, s) {
			return m.Automap
		}
	}
	return false
}

func random() uint64 {
	var b [8]byte
	crand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	return binary.BigEndian.Uint64(b[:])
}

// meant turns what was asked into what it stands for. The answers are those that
// the node itself has; false refuses the request.
func (n *Names) meant(m Mapping, a *asked) (own []cell.Answer, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case a.reverse:
		name, virtual := n.table.Name(a.addr)
		if name != "" {
			return []cell.Answer{{Name: name}}, true
		}
		return nil, !virtual
	case a.resolve && !a.addr.IsValid() && m.automaps(a.host):
		v6 := a.family.v6 && (!a.family.v4 || a.family.prefer6)
		addr, ok := n.table.Address(a.host, v6, random)
		return []cell.Answer{{Addr: addr}}, ok
	case a.resolve && a.addr.IsValid():
		if _, virtual := n.table.Name(a.addr); virtual {
			return []cell.Answer{{Addr: a.addr}}, true // what was told before, told again
		}
	}
	host, isIP, _, err := n.table.Rewrite(m.Rules, a.host)
	if err != nil {
		return nil, false
	}
	a.host, a.addr = host, netip.Addr{}
	if isIP {
		a.addr, _ = netip.ParseAddr(host) // it is canonical
	}
	return nil, true
}
