package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"chive/bridge"
	"chive/bridge/fleet"
	"chive/messages"
)

const rolloutHelp = `
With --watch a node that took the configuration builds circuits and goes back by
itself if they fail. With --canary some nodes take it first, and the others only if
these do well; if the one who publishes is not heard of again, they go back, too.`

// publishFlags are those of all that publishes.
type publishFlags struct {
	fleetFlags
	Key      string        `required:"" type:"existingfile" placeholder:"FILE" help:"The seed to sign with, of a FleetConfigKey."`
	NewKey   bool          `help:"The key is another one than that of the last publication, and FleetConfigKey of the nodes names it already."`
	Note     string        `help:"What it is for."`
	Expires  time.Duration `default:"720h" help:"How long nodes may begin with it."`
	DryRun   bool          `help:"Only say what would be published."`
	Wait     time.Duration `default:"30s" help:"How long nodes may take to answer, besides --watch."`
	Keep     bool          `help:"Leave it published even if nodes reject it or take it back."`
	Watch    time.Duration `default:"0s" help:"Have each node watch its circuits for so long; 0 is no trial."`
	Circuits int           `default:"5" help:"How many builds decide at least, with --watch."`
	Success  float64       `default:"0.8" help:"Share of builds that have to succeed, with --watch."`
	MaxBuild time.Duration `default:"0s" help:"Median build time at most, with --watch; 0 is any."`
	Canary   string        `placeholder:"SHARE|NODES" help:"A share of nodes (0.2), or their names with commas between, that take it first; needs --watch."`
}

// rollout is a publication on its way to all nodes.
type rollout struct {
	publishFlags
	f      *bridge.FleetConn
	seed   []byte
	out    io.Writer
	err    io.Writer
	before []messages.ConfigLine // what the fleet set
	lines  []messages.ConfigLine
	last   uint64 // publication
	next   uint64 // revision
	author string // who signed the last publication; "": nobody did

	answered []string // nodes that have decided on what was published
	stranger bool     // one of them says that its FleetConfigKey does not name the key
}

// errNotTaken: a node does not do what was published.
var errNotTaken = errors.New("not all nodes took it")

// publish makes what is to be published of what is, and has it rolled out.
func (c publishFlags) publish(std streams, change func(before []messages.ConfigLine) ([]messages.ConfigLine, error)) error {
	if c.Canary != "" && c.Watch == 0 {
		return usage("--canary needs --watch: how else would one know?")
	}
	seed, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	return c.with(0, func(ctx context.Context, f *bridge.FleetConn) error {
		r := &rollout{publishFlags: c, f: f, seed: seed, out: std.out, err: std.err}
		members, err := r.look(ctx)
		if err != nil {
			return err
		}
		if err := r.checkKey(); err != nil {
			return err
		}
		if r.lines, err = change(r.before); err != nil {
			return err
		}
		if err := checkLines(r.lines); err != nil {
			return err
		}
		if c.DryRun {
			fmt.Fprintf(std.out, "# revision %d would be\n%s", r.next, torrcOf(r.lines))
			return nil
		}
		return r.run(ctx, members)
	})
}

func torrcOf(lines []messages.ConfigLine) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %s\n", l.Name, l.Value)
	}
	return b.String()
}

// look learns what is published, and who is there.
func (r *rollout) look(ctx context.Context) (nodes []string, err error) {
	p, err := r.f.Config(ctx)
	if err != nil && p.Number == 0 && !errors.Is(err, fleet.ErrNothing) {
		return nil, err
	}
	if err != nil && p.Number > 0 {
		fmt.Fprintf(r.out, "publication %d is replaced: %v\n", p.Number, err)
	}
	if err == nil {
		r.author = p.Author
	}
	r.last, r.next, r.before = p.Number, p.Document.Revision, p.Document.Lines
	members, err := r.f.Members(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		r.next = max(r.next, m.FleetMember.Fleet)
		nodes = append(nodes, m.Node)
	}
	r.next++
	if len(nodes) == 0 {
		fmt.Fprintln(r.out, "no node is there: those that come will take it")
	}
	return nodes, nil
}

// checkKey refuses a key that nodes would not believe, as far as it can be known here: the last
// publication of a fleet is all that a node which starts anew goes by. Without one it says what the
// operator is to compare.
func (r *rollout) checkKey() error {
	key, err := fleet.Author(r.seed)
	if err != nil {
		return usage("--key %s: %w", r.Key, err)
	}
	if r.author == "" {
		note(r.err, "--key signs as %s, and nothing that was published before tells whether the nodes believe it: FleetConfigKey in the torrc of each has to name it (there, chive config show FleetConfigKey tells); one that has another says that it rejects it", key)
		return nil
	}
	if r.author == key || r.NewKey {
		return nil
	}
	return usage("--key %s is the key %s, and publication %d was signed with %s: use that one's seed, or say --new-key if FleetConfigKey of the nodes names the new key already. Nothing was published", r.Key, key, r.last, r.author)
}

// run publishes, to some nodes first if that is asked for.
func (r *rollout) run(ctx context.Context, members []string) error {
	if r.Canary != "" && len(members) > 0 {
		some, err := r.choose(members)
		if err != nil {
			return err
		}
		fmt.Fprintf(r.out, "first: %s\n", strings.Join(some, ", "))
		confirm := r.Watch + 2*r.Wait + time.Minute
		if err := r.step(ctx, r.lines, some, some, confirm); err != nil {
			return r.back(err)
		}
	}
	if err := r.step(ctx, r.lines, nil, members, 0); err != nil {
		return r.back(err)
	}
	return nil
}

// choose takes the nodes that go first.
func (r *rollout) choose(members []string) ([]string, error) {
	share, err := strconv.ParseFloat(r.Canary, 64)
	if err != nil {
		names := strings.Split(r.Canary, ",")
		for _, n := range names {
			if !slices.Contains(members, n) {
				return nil, usage("--canary %s: there is no such node (chive fleet nodes lists them)", n)
			}
		}
		return names, nil
	}
	if !(share > 0 && share <= 1) {
		return nil, usage("--canary %s: want a share from 0 to 1, or names", r.Canary)
	}
	some := slices.Clone(members)
	rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	some = some[:max(1, int(share*float64(len(some))))]
	slices.Sort(some)
	return some, nil
}

// step publishes one revision, and waits for the nodes it is for. nodes is empty for
// all; confirm has them go back if nothing follows.
func (r *rollout) step(ctx context.Context, lines []messages.ConfigLine, nodes, wait []string, confirm time.Duration) error {
	now := time.Now().UTC().Truncate(time.Second)
	d := messages.FleetDocument{
		Fleet: r.f.Fleet(), Revision: r.next, Time: now, Expires: now.Add(r.Expires), Note: r.Note, Lines: lines, Nodes: nodes,
	}
	if r.Watch > 0 {
		d.Trial = &messages.FleetTrial{
			Seconds: int((r.Watch + time.Second - 1) / time.Second), Circuits: r.Circuits, Success: r.Success,
			BuildTime: r.MaxBuild.Seconds(), ConfirmFor: int(confirm / time.Second),
		}
	}
	value, err := fleet.Sign(r.seed, d)
	if err != nil {
		return usage("%w", err)
	}
	heard := make(chan struct{}, 1)
	stop, err := r.f.FollowAcks(func(messages.FleetAck) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	if r.last, err = r.f.Publish(ctx, value, r.last); err != nil {
		return err
	}
	fmt.Fprintf(r.out, "revision %d is publication %d\n", r.next, r.last)
	r.next++
	ctx, cancel := context.WithTimeout(ctx, r.Watch+r.Wait)
	defer cancel()
	return r.await(ctx, wait, heard)
}

// await reads acknowledgements until every node has said its last word.
func (r *rollout) await(ctx context.Context, nodes []string, heard <-chan struct{}) error {
	poll := time.NewTicker(time.Second)
	defer poll.Stop()
	r.answered, r.stranger = nil, false
	for {
		ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		acks, err := r.f.Acks(ask, r.last)
		cancel()
		if err != nil {
			return err
		}
		var silent, bad []string
		for _, n := range nodes {
			at := slices.IndexFunc(acks, func(a messages.FleetAck) bool { return a.Node == n })
			if at < 0 || !final(acks[at]) {
				silent = append(silent, n)
				continue
			}
			if !slices.Contains(r.answered, n) {
				r.answered = append(r.answered, n)
				r.stranger = r.stranger || acks[at].Reason == fleet.ErrStranger.Error()
				printAcks(r.out, acks[at:at+1])
			}
			if s := acks[at].State; s == messages.FleetRejected || s == messages.FleetReverted {
				bad = append(bad, n)
			}
		}
		switch {
		case len(bad) > 0 && (len(silent) == 0 || !r.Keep):
			return fmt.Errorf("%w: %s", errNotTaken, strings.Join(bad, ", "))
		case len(silent) == 0:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: no word of %s", errNotTaken, strings.Join(silent, ", "))
		case <-heard:
		case <-poll.C:
		}
	}
}

// final: has the node decided, but for what others have to do?
func final(a messages.FleetAck) bool {
	return a.State != messages.FleetTrying || a.Builds > 0
}

// back publishes what was set before, and says why, and whether those who answered took that.
func (r *rollout) back(why error) error {
	if !errors.Is(why, errNotTaken) || r.Keep {
		return why
	}
	fmt.Fprintln(r.out, "going back to what was set before")
	r.Watch, r.Note = 0, strings.TrimSuffix("going back: "+r.Note, ": ")
	ctx, cancel := context.WithTimeout(context.Background(), 2*askTimeout) // also when interrupted
	defer cancel()
	err := r.step(ctx, r.before, nil, r.answered, 0)
	switch {
	case err == nil:
		return why
	case r.stranger && errors.Is(err, errNotTaken):
		err = fmt.Errorf("%w, for FleetConfigKey there does not name the key of --key. What these have set stays in force, but publication %d, which they do not believe, is the last: publish again with the key that FleetConfigKey names, and --new-key", err, r.last)
	}
	return errors.Join(why, fmt.Errorf("going back: %w", err))
}
