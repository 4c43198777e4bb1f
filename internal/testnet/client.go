package testnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// TorClient is a C tor client of the network, to compare with.
type TorClient struct {
	Name      string
	SocksAddr string // host:port
	PID       int
	Dir       string        // data directory
	Bootstrap time.Duration // from fork to "Bootstrapped 100%"

	network *Network
	proc    *process
}

// StartClient starts a C tor client and returns when it has bootstrapped. Its
// SOCKS port is of the kernel's choice unless torrc has a SocksPort line. A
// client of a name that was used before and has ended starts warm, from the data
// directory it left. It ends with Close, with the network, or with this process.
func (n *Network) StartClient(ctx context.Context, name string, torrc ...string) (*TorClient, error) {
	if name == "" || name != filepath.Base(name) || name[0] == '.' {
		return nil, fmt.Errorf("client %q: want a plain file name", name)
	}
	c := &TorClient{Name: name, Dir: filepath.Join(n.dir, clientsDir, name), network: n}
	if err := c.start(ctx, torrc); err != nil {
		err = fmt.Errorf("client %s: %w", name, err)
		if c.proc != nil {
			_ = syscall.Kill(c.PID, syscall.SIGKILL)
			<-c.proc.exited
		}
		return nil, err
	}
	return c, nil
}

func (c *TorClient) start(ctx context.Context, torrc []string) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	if err := c.writeTorrc(torrc); err != nil {
		return err
	}
	logFile := filepath.Join(c.Dir, "notice.log")
	if err := os.Remove(logFile); err != nil && !os.IsNotExist(err) {
		return err
	}
	begin := time.Now()
	argv := []string{c.network.tor, "-f", filepath.Join(c.Dir, "torrc"), "--defaults-torrc", "/dev/null"}
	stdout := filepath.Join(c.Dir, "stdout.log")
	var err error
	if c.proc, err = c.network.spawn(argv, stdout, nil, false); err != nil {
		return err
	}
	c.PID = c.proc.pid
	err = poll(ctx, "bootstrap", func() (bool, error) {
		select {
		case <-c.proc.exited:
			return false, fmt.Errorf("%w:\n%s", ErrDied, tail(stdout, 8))
		default:
		}
		b, err := os.ReadFile(logFile)
		return err == nil && strings.Contains(string(b), "Bootstrapped 100%"), nil
	})
	if err != nil {
		return err
	}
	c.Bootstrap = time.Since(begin)
	return c.findSocks(ctx)
}

func (c *TorClient) writeTorrc(extra []string) error {
	l := []string{
		"DataDirectory " + c.Dir,
		"ControlSocket " + filepath.Join(c.Dir, "control"),
		"Log notice file " + filepath.Join(c.Dir, "notice.log"),
		"LogTimeGranularity 1",
		"SafeLogging 0",
		"ShutdownWaitLength 0",
		"GeoIPFile /dev/null",
		"GeoIPv6File /dev/null",
		fmt.Sprintf("__OwningControllerProcess %d", os.Getpid()),
	}
	if !hasSocksPort(extra) {
		l = append(l, "SocksPort auto")
	}
	l = append(append(l, c.network.ClientTorrc()...), extra...)
	path := filepath.Join(c.Dir, "torrc")
	return os.WriteFile(path, []byte(strings.Join(l, "\n")+"\n"), 0o600)
}

func hasSocksPort(torrc []string) bool {
	for _, l := range torrc {
		if f := strings.Fields(l); len(f) > 0 && strings.EqualFold(f[0], "SocksPort") {
			return true
		}
	}
	return false
}

func (c *TorClient) findSocks(ctx context.Context) error {
	ctl, err := dialControl(ctx, filepath.Join(c.Dir, "control"))
	if err != nil {
		return err
	}
	defer ctl.Close()
	v, err := ctl.info("net/listeners/socks")
	if err != nil {
		return err
	}
	for _, a := range strings.Fields(v) { // quoted, unix sockets as "unix:PATH"
		if a = strings.Trim(a, `"`); !strings.HasPrefix(a, "unix:") {
			c.SocksAddr = a
			return nil
		}
	}
	return nil
}

// NewIdentity has the client use new circuits, and forget what it knows of onion services
// (SIGNAL NEWNYM). It heeds one in ten seconds, and puts off what comes sooner.
func (c *TorClient) NewIdentity(ctx context.Context) error {
	ctl, err := dialControl(ctx, filepath.Join(c.Dir, "control"))
	if err != nil {
		return err
	}
	defer ctl.Close()
	_, err = ctl.command("SIGNAL NEWNYM")
	return err
}

// Close ends the client the way its user would (SIGTERM), so that it saves its
// state, and kills it if that takes long.
func (c *TorClient) Close() error {
	select {
	case <-c.proc.exited:
		return nil
	default:
	}
	if err := syscall.Kill(c.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end client %s: %w", c.Name, err)
	}
	t := time.NewTimer(goneWithin)
	defer t.Stop()
	select {
	case <-c.proc.exited:
		return nil
	case <-t.C:
	}
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill client %s: %w", c.Name, err)
	}
	<-c.proc.exited
	return nil
}
