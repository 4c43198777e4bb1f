package testnet

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"chive/internal/testnet/target"
)

// TargetCommand is the hidden subcommand of an executable that can bring up
// detached networks: its main gives the arguments after it to TargetMain.
const TargetCommand = "testnet-target"

const targetName = "target"

// targetMark in a command line says whose far end a process is.
func targetMark(dir string) string { return "--testnet-dir=" + dir }

// detachTarget hands the sockets, and the claim of addresses, to a process.
func (n *Network) detachTarget(s *target.Sockets) error {
	defer s.Close()
	files, err := s.Files()
	if err != nil {
		return err
	}
	defer closeAll(files)
	anchors, err := n.claim.files()
	if err != nil {
		return err
	}
	defer closeAll(anchors)
	argv := n.opts.TargetCommand
	if len(argv) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this executable: %w", err)
		}
		argv = []string{exe, TargetCommand}
	}
	argv = append(append([]string{}, argv...), targetMark(n.dir))
	p, err := n.spawn(argv, filepath.Join(n.dir, targetLog), append(files, anchors...), true)
	if err != nil {
		return err
	}
	n.target.PID = p.pid
	return nil
}

// TargetMain is the detached far end: it serves the sockets it inherited until
// it is told to end. It returns the exit status.
func TargetMain(args []string) int {
	fs := flag.NewFlagSet(TargetCommand, flag.ContinueOnError)
	dir := fs.String("testnet-dir", "", "the network's directory")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if *dir == "" || fs.NArg() > 0 {
		fmt.Fprintln(os.Stderr, TargetCommand+": this command is for the private network's own use")
		return 2
	}
	const firstInherited = 3
	var files []*os.File
	for i := range target.FileCount {
		files = append(files, os.NewFile(uintptr(firstInherited+i), "inherited"))
	}
	s, err := target.FromFiles(files)
	if err != nil {
		fmt.Fprintln(os.Stderr, TargetCommand+":", err)
		return 1
	}
	// The descriptors after these are the claim of addresses: open until we end.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := target.Run(ctx, s); err != nil && !errors.Is(err, net.ErrClosed) {
		fmt.Fprintln(os.Stderr, TargetCommand+":", err)
		return 1
	}
	return 0
}

// state is network.json: enough to attach to a network, and for programs that are
// not ours.
type state struct {
	Detached        bool     `json:"detached"`
	Nodes           []Node   `json:"nodes"`
	Target          Target   `json:"target"`
	ClientTorrc     []string `json:"client_torrc"`
	ConsensusParams string   `json:"consensus_params"`
	VotingInterval  float64  `json:"voting_interval_seconds"`
}

// save writes network.json and network.torrc.
func (n *Network) save() error {
	s := state{
		Detached: n.opts.Detached, Nodes: n.Nodes(), Target: n.target, ClientTorrc: n.ClientTorrc(),
		ConsensusParams: n.opts.consensusParams(), VotingInterval: n.opts.VotingInterval.Seconds(),
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	torrc := "# A client of this private network needs these lines, a DataDirectory and a SocksPort.\n" +
		strings.Join(s.ClientTorrc, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(n.dir, torrcFile), []byte(torrc), 0o600); err != nil {
		return err
	}
	tmp := filepath.Join(n.dir, stateFile+".new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(n.dir, stateFile))
}

// ErrNoNetwork says that a directory holds no private network.
var ErrNoNetwork = errors.New("no private network here")

// Attach gives access to a network that another process started. Its Close ends
// the network. Without Close it stays up; only clients that StartClient started
// end with this process.
func Attach(dir string) (*Network, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("directory %s: %w", dir, ErrNoNetwork)
	}
	if err != nil {
		return nil, fmt.Errorf("attach to a private network: %w", err)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("directory %s: %s: %w", dir, stateFile, err)
	}
	n := &Network{dir: dir, target: s.Target}
	n.opts = Options{Detached: s.Detached, VotingInterval: time.Duration(s.VotingInterval * float64(time.Second))}
	if n.tor, err = findTor(torPrograms); err != nil {
		return nil, err
	}
	for _, x := range s.Nodes {
		n.nodes = append(n.nodes, &node{Node: x})
	}
	return n, nil
}

// Up starts a network in dir that stays until Down. Progress is told each step.
func Up(ctx context.Context, dir string, o Options, progress func(string)) error {
	o.Dir, o.Detached = dir, true
	if progress != nil {
		o.Progress = progress
	}
	n, err := Start(ctx, o)
	if err != nil {
		return err
	}
	return n.leave()
}

// leave lets go of a detached network without ending it. The goroutines that
// reap its processes end with those, or with us.
func (n *Network) leave() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.launcher != nil {
		n.launcher.close()
	}
	return n.claim.Close()
}

// Down ends the network in dir, and no process but its own. A network that is
// down already is no error.
func Down(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	left, err := owned(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err != nil && len(left) == 0 {
		return fmt.Errorf("directory %s: %w", dir, ErrNoNetwork)
	}
	return endAll(dir)
}

// ErrDown says that not every process of a network is running.
var ErrDown = errors.New("not every process is running")

// Status writes each process with its processor time and memory, and a summary
// of the consensus. The error is ErrDown when a process is missing.
func Status(dir string, w io.Writer) error {
	n, err := Attach(dir)
	if err != nil {
		return err
	}
	alive, err := owned(n.dir)
	if err != nil {
		return err
	}
	missing, running := 0, 0
	line := func(name string, pid int) {
		if alive[pid] != name {
			missing++
			fmt.Fprintf(w, "%-8s pid %-8d not running\n", name, pid)
			return
		}
		running++
		delete(alive, pid)
		cpu, _ := CPU(pid) // zero if it ended just now
		rss, _ := RSS(pid)
		fmt.Fprintf(w, "%-8s pid %-8d cpu %7.2f s  rss %6.1f MiB\n", name, pid, cpu.Seconds(), float64(rss)/(1<<20))
	}
	for _, x := range n.Nodes() {
		line(x.Name, x.PID)
	}
	if n.target.PID != 0 && n.opts.Detached {
		line(targetName, n.target.PID)
	}
	for pid, name := range alive {
		line(name, pid) // clients
	}
	n.writeConsensus(w)
	if running == 0 {
		return fmt.Errorf("directory %s: %w: none of its processes runs", dir, ErrNoNetwork)
	}
	if missing > 0 {
		return fmt.Errorf("%d processes: %w", missing, ErrDown)
	}
	return nil
}

func (n *Network) writeConsensus(w io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, x := range n.nodes {
		if x.Role != RoleAuth {
			continue
		}
		text, err := fetch(ctx, x, consensusPath)
		if err != nil {
			continue
		}
		s := summarise(text)
		fmt.Fprintf(w, "\nconsensus: %d relays, %d signatures\n", len(s.flags), s.signatures)
		fmt.Fprintf(w, "  %s\n  flags: %s\n  bandwidth-weights: %s\n  params: %s\n",
			strings.Join(s.valid, ", "), s.counts(), s.weights, s.params)
		return
	}
	fmt.Fprintln(w, "\nconsensus: no authority answers")
}
