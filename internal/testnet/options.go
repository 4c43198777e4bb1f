package testnet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParamSet names a set of consensus parameters that the authorities vote for.
type ParamSet string

const (
	// ParamsPublic is what the public network's authorities vote (congestion
	// control, conflux and CGO offered), less its denial-of-service defences:
	// those would count the whole private network as one client. The default.
	ParamsPublic ParamSet = "public"
	// ParamsFast lifts the congestion windows so that a client, not the lab, is
	// the bottleneck: Vegas takes the scheduling delay of a dozen relays on a few
	// cores for queues, and holds a circuit to about 13 MiB/s. Not realistic.
	ParamsFast ParamSet = "fast"
	// ParamsDoS is ParamsPublic with the denial-of-service defences of the public
	// network switched on.
	ParamsDoS ParamSet = "public+dos"
	// ParamsNone votes for no parameter at all: every default of C tor's code.
	ParamsNone ParamSet = "none"
)

// Options describes a network. The zero value is the ordinary one: 3
// authorities, 6 relays (4 of them guards), 3 exits (the last is Guard too) and
// one onion service, in a temporary directory, ending with this process.
type Options struct {
	// Dir is where the network keeps everything. Empty: a temporary directory
	// that Close removes. A directory given here is kept.
	Dir string
	// Detached lets the network outlive this process; Dir must be set. See Up.
	Detached bool

	Auths  int // directory authorities; 0 means 3
	Relays int // relays that do not exit; 0 means 6
	Exits  int // exits; 0 means 3. The last one is Guard and Exit if there are several
	Guards int // how many of Relays get the Guard flag; 0 means two thirds
	Onions int // onion services; 0 means 1, -1 means none (ready some seconds sooner)

	// Params is the set of consensus parameters; Override adds to it or replaces
	// single values.
	Params   ParamSet
	Override map[string]int32
	// Torrc has more torrc lines by node name ("exit1"), by role ("exit"), or for
	// all ("*").
	Torrc map[string][]string
	// IPv6 names the nodes ("relay1"), or roles ("auth"), that have an ORPort on [::1] as
	// well. The authorities then test them there, and the consensus has their addresses.
	IPv6 []string
	// OnionClients are the public keys of those whom an onion service lets in, in base32,
	// by node name ("onion2"); a service without any lets everyone in.
	OnionClients map[string][]string
	// VotingInterval is the time between consensuses after the first; 0 means an
	// hour, so that no vote disturbs a test and the time period of onion services
	// is the public network's. At least 10 s, and a whole fraction of a day.
	VotingInterval time.Duration
	// SharedRandom has the shared random value be another every 24 votes. Without it, it stays
	// for up to half an hour, whatever VotingInterval is. It costs a minute at the start, as a
	// rule, and wants a VotingInterval of a minute at most.
	SharedRandom bool

	// TargetCommand is how a detached network starts its far end: a command that
	// calls TargetMain with the arguments appended to it. Empty means this
	// executable with the one argument TargetCommand.
	TargetCommand []string
	// Progress, when set, is told each step of Start in a short sentence.
	Progress func(string)
}

// overIPv6: is a node one of those that IPv6 names?
func (o Options) overIPv6(x Node) bool {
	return slices.Contains(o.IPv6, x.Name) || slices.Contains(o.IPv6, string(x.Role))
}

const maxNodes = 96

func (o Options) withDefaults() (Options, error) {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&o.Auths, 3)
	set(&o.Relays, 6)
	set(&o.Exits, 3)
	set(&o.Guards, max(1, (o.Relays*2+1)/3))
	set(&o.Onions, 1)
	if o.Onions == -1 {
		o.Onions = 0
	}
	if o.VotingInterval == 0 {
		o.VotingInterval = time.Hour
	}
	if o.Params == "" {
		o.Params = ParamsPublic
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o, o.check()
}

func (o Options) check() error {
	var errs []error
	if o.Auths < 1 || o.Relays < 1 || o.Exits < 1 || o.Onions < 0 {
		errs = append(errs, errors.New("at least one authority, one relay and one exit are needed"))
	}
	if n := o.Auths + o.Relays + o.Exits + o.Onions; n > maxNodes {
		errs = append(errs, fmt.Errorf("%d nodes are more than %d", n, maxNodes))
	}
	if o.Guards < 0 || o.Guards > o.Relays {
		errs = append(errs, fmt.Errorf("%d guards of %d relays", o.Guards, o.Relays))
	}
	if o.Detached && o.Dir == "" {
		errs = append(errs, errors.New("a detached network needs a directory"))
	}
	if s := o.VotingInterval; s < 10*time.Second || s%time.Second != 0 || 24*time.Hour%s != 0 {
		errs = append(errs, fmt.Errorf("voting interval %v: want at least 10s and a whole fraction of a day", s))
	}
	if o.SharedRandom && o.VotingInterval > time.Minute {
		errs = append(errs, fmt.Errorf("shared random values change with a voting interval of a minute at most, not %v", o.VotingInterval))
	}
	if _, ok := paramSets[o.Params]; !ok {
		errs = append(errs, fmt.Errorf("parameter set %q: want public, fast, public+dos or none", o.Params))
	}
	for k := range o.Override {
		if k == "" || strings.ContainsAny(k, " \t\r\n=\"") {
			errs = append(errs, fmt.Errorf("consensus parameter %q: not a keyword", k))
		}
	}
	return errors.Join(errs...)
}

// consensusParams is the ConsensusParams line's value. It is sorted: C tor
// rejects a vote whose parameters are not.
func (o Options) consensusParams() string {
	all := map[string]string{}
	for _, set := range paramSets[o.Params] {
		for _, kv := range strings.Fields(set) {
			k, v, _ := strings.Cut(kv, "=")
			all[k] = v
		}
	}
	for k, v := range o.Override {
		all[k] = strconv.Itoa(int(v))
	}
	out := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return strings.Join(out, " ")
}

var paramSets = map[ParamSet][]string{
	ParamsNone:   {},
	ParamsPublic: {publicParams},
	ParamsFast:   {publicParams, fastParams},
	ParamsDoS:    {publicParams, dosParams},
}

// Values as the public network's consensuses of 2024 and 2025 carry them.
const publicParams = `
	CircuitPriorityHalflifeMsec=30000 ExtendByEd25519ID=1 KISTSchedRunInterval=3
	NumNTorsPerTAP=100 UseOptimisticData=1 bwauthpid=1 bwscanner_cc=1 cbttestfreq=10
	cc_alg=2 cc_cwnd_full_gap=4 cc_cwnd_full_minpct=25 cc_cwnd_inc=1 cc_cwnd_inc_rate=31
	cc_cwnd_min=124 cc_sscap_exit=600 cc_sscap_onion=475 cc_vegas_alpha_exit=186
	cc_vegas_beta_onion=372 cc_vegas_delta_exit=310 cc_vegas_delta_onion=434
	cc_vegas_gamma_onion=248 cfx_enabled=1 cfx_low_exit_threshold=5000
	circ_max_cell_queue_size=1250 circ_max_cell_queue_size_out=1000
	guard-n-primary-dir-guards-to-use=2 guard-n-primary-guards-to-use=2
	hs_service_max_rdv_failures=1 hsdir_spread_store=4
	sendme_accept_min_version=1 sendme_emit_min_version=1`

const fastParams = `
	KISTSchedRunInterval=2 cc_cwnd_init=1000 cc_cwnd_min=1000
	cc_vegas_alpha_exit=1000 cc_vegas_beta_exit=1000 cc_vegas_gamma_exit=1000
	cc_vegas_delta_exit=1000 cc_vegas_alpha_onion=1000 cc_vegas_beta_onion=1000
	cc_vegas_gamma_onion=1000 cc_vegas_delta_onion=1000 cc_sscap_exit=5000
	cc_sscap_onion=5000 circ_max_cell_queue_size=50000 circ_max_cell_queue_size_out=50000`

const dosParams = `
	DoSCircuitCreationBurst=60 DoSCircuitCreationEnabled=1 DoSCircuitCreationMinConnections=2
	DoSCircuitCreationRate=2 DoSConnectionEnabled=1 DoSConnectionMaxConcurrentCount=50
	DoSRefuseSingleHopClientRendezvous=1 dos_num_circ_max_outq=5`
