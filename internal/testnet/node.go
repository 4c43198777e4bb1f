package testnet

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"syscall"
	"time"

	"chive/internal/freeport"
)

// Role is what a node is for.
type Role string

const (
	RoleAuth  Role = "auth"  // directory authority; also a relay
	RoleRelay Role = "relay" // relay that does not exit
	RoleExit  Role = "exit"  // relay with the policy accept *:*
	RoleOnion Role = "onion" // C tor that hosts an onion service; not in the consensus
)

// Node is one process of the network.
type Node struct {
	Name        string     `json:"name"`
	Role        Role       `json:"role"`
	Fingerprint string     `json:"fingerprint,omitempty"` // RSA identity, 40 upper-case hex digits; none for an onion
	Ed25519     string     `json:"ed25519,omitempty"`     // identity, base64 without padding; none for an onion
	V3Ident     string     `json:"v3ident,omitempty"`     // an authority's, as Fingerprint
	IP          netip.Addr `json:"ip"`
	ORPort      int        `json:"orport,omitempty"`
	ORPort6     int        `json:"orport6,omitempty"` // on [::1]; 0: none
	DirPort     int        `json:"dirport,omitempty"` // authorities only
	PID         int        `json:"pid"`               // of the process started last
	Guard       bool       `json:"guard,omitempty"`   // flags as planned; Start checks the consensus against them
	Exit        bool       `json:"exit,omitempty"`
	Bandwidth   int        `json:"bandwidth,omitempty"` // as measured, kilobytes/s; the consensus weight
	Dir         string     `json:"dir"`                 // data directory, with torrc and notice.log
	Address     string     `json:"address,omitempty"`   // an onion service's "….onion"
}

// node is a Node that this process may have started.
type node struct {
	Node
	proc *process // nil when another process started it
}

// IPv6 is the node's OR address on [::1]; invalid: it has none.
func (x *Node) IPv6() netip.AddrPort {
	if x.ORPort6 == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), uint16(x.ORPort6))
}

func (x *node) relay() bool { return x.Role != RoleOnion }

func (x *node) file(name string) string { return filepath.Join(x.Dir, name) }

const (
	orPort  = 9001
	dirPort = 9030

	// Authorities are not measured, here as on the public network, and so get next
	// to no weight: nobody shall build circuits through them.
	authBandwidth  = 0
	relayBandwidth = 10000
)

// layout plans the nodes: names, addresses, flags.
func (n *Network) layout(c *claim) error {
	i := 1 // address 0 is the target's
	add := func(role Role, k, bandwidth int, guard, exit bool) error {
		x := &node{Node: Node{
			Name: fmt.Sprintf("%s%d", role, k), Role: role, IP: c.addr(i),
			Guard: guard, Exit: exit, Bandwidth: bandwidth,
		}}
		x.Dir = filepath.Join(n.dir, nodesDir, x.Name)
		i++
		var err error
		if x.relay() {
			if x.ORPort, err = c.port(x.IP, orPort); err != nil {
				return err
			}
			if n.opts.overIPv6(x.Node) {
				if x.ORPort6, err = freeport.Take(netip.IPv6Loopback()); err != nil {
					return err
				}
			}
		}
		if role == RoleAuth {
			if x.DirPort, err = c.port(x.IP, dirPort); err != nil {
				return err
			}
		}
		n.nodes = append(n.nodes, x)
		return nil
	}
	o := n.opts
	for k := 1; k <= o.Auths; k++ {
		if err := add(RoleAuth, k, authBandwidth, false, false); err != nil {
			return err
		}
	}
	for k := 1; k <= o.Relays; k++ {
		if err := add(RoleRelay, k, relayBandwidth, k <= o.Guards, false); err != nil {
			return err
		}
	}
	for k := 1; k <= o.Exits; k++ {
		// One relay is both: the bandwidth weights then cover all four classes.
		if err := add(RoleExit, k, relayBandwidth, k == o.Exits && k > 1, true); err != nil {
			return err
		}
	}
	for k := 1; k <= o.Onions; k++ {
		if err := add(RoleOnion, k, 0, false, false); err != nil {
			return err
		}
	}
	return nil
}

// Nodes lists the nodes as they are now: authorities, relays, exits, onion
// services.
func (n *Network) Nodes() []Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]Node, len(n.nodes))
	for i, x := range n.nodes {
		out[i] = x.Node
	}
	return out
}

// Node gives a node by name.
func (n *Network) Node(name string) (Node, bool) {
	for _, x := range n.Nodes() {
		if x.Name == name {
			return x, true
		}
	}
	return Node{}, false
}

// Onion is the address ("….onion") of the first onion service, or "" when there
// is none. Its ports 80 and 8080 lead to the target's HTTP port, 8081 to 8083 to
// echo, discard and chargen.
func (n *Network) Onion() string {
	for _, x := range n.Nodes() {
		if x.Address != "" {
			return x.Address
		}
	}
	return ""
}

func (n *Network) find(name string) (*node, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range n.nodes {
		if x.Name == name {
			return x, nil
		}
	}
	return nil, fmt.Errorf("no node %q in this network", name)
}

// signal sends sig to a node that runs, and gives its process.
func (n *Network) signal(name string, sig syscall.Signal) (pid int, err error) {
	x, err := n.find(name)
	if err != nil {
		return 0, err
	}
	pid, alive := n.alive(x)
	if !alive {
		return 0, fmt.Errorf("%s (process %d) is not running", name, pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return 0, fmt.Errorf("send %v to %s: %w", sig, name, err)
	}
	return pid, nil
}

// alive says whether the node's process is the node still.
func (n *Network) alive(x *node) (pid int, alive bool) {
	n.mu.Lock()
	pid = x.PID
	n.mu.Unlock()
	name, ok := ownedName(pid, n.dir)
	return pid, ok && name == x.Name
}

// Kill sends SIGKILL and returns when the process is gone.
func (n *Network) Kill(name string) error {
	pid, err := n.signal(name, syscall.SIGKILL)
	if err != nil {
		return err
	}
	return n.waitGone(pid)
}

// Stop suspends a node (SIGSTOP): its connections stay open and say nothing.
func (n *Network) Stop(name string) error {
	_, err := n.signal(name, syscall.SIGSTOP)
	return err
}

// Cont lets a stopped node go on (SIGCONT).
func (n *Network) Cont(name string) error {
	_, err := n.signal(name, syscall.SIGCONT)
	return err
}

// Restart starts a node again with the keys and state it had, killing it first
// if it still runs, and returns when it accepts connections.
func (n *Network) Restart(name string) error {
	x, err := n.find(name)
	if err != nil {
		return err
	}
	if _, alive := n.alive(x); alive {
		if err := n.Kill(name); err != nil {
			return err
		}
	}
	if err := n.startNode(x); err != nil {
		return err
	}
	if err := n.save(); err != nil {
		return err
	}
	if !x.relay() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), acceptsWithin)
	defer cancel()
	addr := netip.AddrPortFrom(x.IP, uint16(x.ORPort))
	return poll(ctx, name+" to accept connections", func() (bool, error) {
		if accepts(addr) {
			return true, nil
		}
		return false, n.deathOf(x)
	})
}

// These only bound a failure: processes that end or begin may have to wait for a busy machine.
const (
	goneWithin    = time.Minute
	acceptsWithin = time.Minute
)

func (n *Network) waitGone(pid int) error {
	ctx, cancel := context.WithTimeout(context.Background(), goneWithin)
	defer cancel()
	return poll(ctx, fmt.Sprintf("process %d to end", pid), func() (bool, error) {
		_, alive := ownedName(pid, n.dir)
		return !alive && !ending(pid), nil
	})
}
