package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

func loadFrom(from files, file string, overrides []Override) (*Config, error) {
	s := Source{File: file, Flags: overrides, files: from}
	l, err := s.Load()
	if err != nil {
		return nil, err
	}
	return l.Config, nil
}

// build makes a Config of the lines of every layer.
func build(layers []layer, errs Errors) (*builder, error) {
	b := &builder{errs: errs, set: map[string]Line{}, origin: map[string]Origin{}}
	b.applyAll(b.group(layers))
	b.finish()
	b.errs.sort()
	if n := len(b.errs); n > maxErrors {
		b.errs = append(b.errs[:maxErrors], &Error{Problem: fmt.Sprintf("… and %d more", n-maxErrors), Kind: ErrLimit})
	}
	if len(b.errs) > 0 {
		return b, b.errs
	}
	return b, nil
}

// maxPerOption is the absolute cap on the lines of one option.
const maxPerOption = 4096

// layer is the lines of one origin; those of a later layer replace those of an
// earlier one, option by option.
type layer struct {
	origin Origin
	lines  []Line
}

// group sorts the lines by option and settles what replaces what. Names that
// chive does not honour are reported here.
func (b *builder) group(layers []layer) map[string][]Line {
	groups := map[string][]Line{}
	for _, layer := range layers {
		replaced := map[string]bool{}
		service := false // a HiddenServiceDir came
		for _, l := range layer.lines {
			if layer.origin == FromFile && len(l.Key) > 1 && (l.Key[0] == '+' || l.Key[0] == '/') {
				b.fail(l, ErrUnsupported, "the prefix %c is for the command line: lines of a file add up as they are", l.Key[0])
				continue
			}
			o := b.known(l)
			if o == nil {
				continue
			}
			if l.Append && !o.List {
				b.fail(l, ErrConflict, "takes one value: drop the +")
				continue
			}
			if b.gather(l, o, groups, service) {
				continue
			}
			if !l.Append && !replaced[o.Name] {
				groups[o.Name], replaced[o.Name] = nil, true
			}
			service = service || o.Name == serviceDir
			groups[o.Name] = append(groups[o.Name], l)
			b.origin[o.Name] = layer.origin
		}
	}
	for name, lines := range groups {
		if len(lines) > maxPerOption {
			b.fail(lines[maxPerOption], ErrLimit, "given more than %d times", maxPerOption)
			groups[name] = lines[:maxPerOption]
		}
	}
	return groups
}

// known finds the option of a line, or reports why there is none.
func (b *builder) known(l Line) *Option {
	if o := Find(l.Key); o != nil {
		return o
	}
	if f := findForeign(l.Key); f != nil {
		if !f.accepts(l.Value) {
			b.fail(l, ErrUnsupported, "%s", f.refusal())
		}
		return nil
	}
	e := l.errorf(ErrUnknown, "unknown option")
	name, _, _ := strings.Cut(l.Key, "=")
	e.Suggestion = nearest(name, everyName())
	b.errs = append(b.errs, e)
	return nil
}

func everyName() []string {
	var names []string
	for _, o := range table {
		names = append(names, o.Name)
	}
	for _, f := range foreign {
		names = append(names, f.name)
	}
	return names
}

// applyAll applies the defaults of options that no line sets, then the lines.
func (b *builder) applyAll(groups map[string][]Line) {
	if testing := groups["TestingTorNetwork"]; len(testing) > 0 {
		b.testing = testing[len(testing)-1].Value == "1"
	}
	for i := range table {
		o := &table[i]
		lines := groups[o.Name]
		if len(lines) == 0 {
			if text := b.defaultOf(o); text != "" {
				o.apply(b, Line{Key: o.Name, Value: text})
			}
			continue
		}
		b.set[o.Name] = lines[len(lines)-1]
		if !o.List && len(lines) > 1 {
			last := lines[len(lines)-1]
			b.warn(last, "given %d times; only this one counts", len(lines))
			lines = lines[len(lines)-1:]
		}
		for _, l := range lines {
			o.apply(b, l)
		}
	}
}

func (b *builder) defaultOf(o *Option) string {
	switch {
	case o.Name == "DirAuthority", o.Name == "FallbackDir": // see addPublic
		return ""
	case o.TestingDefault != "" && b.testing:
		return o.TestingDefault
	case o.Name == "DataDirectory":
		if dir, err := DefaultDataDirectory(); err == nil {
			return dir
		}
	}
	return o.Default
}

// finish checks what needs more than one line.
func (b *builder) finish() {
	c := &b.cfg
	b.addPublic()
	if l, ok := b.set["TestingTorNetwork"]; ok && c.TestingTorNetwork && c.PublicNetwork {
		b.fail(l, ErrConflict, "a test network needs DirAuthority lines of its own")
	}
	if l, ok := b.set["ClientDNSRejectInternalAddresses"]; ok && !c.ClientDNSRejectInternalAddresses && c.PublicNetwork {
		b.fail(l, ErrConflict, "on the public network exits would name what is on your own; leave it at 1, or give DirAuthority lines of a private network")
	}
	if c.CacheDirectory == "" {
		c.CacheDirectory = c.DataDirectory
	}
	if c.NatsCredentialFile == "" {
		c.NatsCredentialFile = filepath.Join(c.DataDirectory, "nats.creds")
	} else if l := b.set["NatsCredentialFile"]; c.NatsListen == "" {
		b.warn(l, "has no effect without NatsListen")
	}
	if c.CircuitPoolMaxSize < c.CircuitPoolMinSize {
		l, ok := b.set["CircuitPoolMaxSize"]
		if !ok {
			l = b.set["CircuitPoolMinSize"]
		}
		b.fail(l, ErrConflict, "CircuitPoolMaxSize %d is less than CircuitPoolMinSize %d", c.CircuitPoolMaxSize, c.CircuitPoolMinSize)
	}
	if len(c.Logs) > 0 && len(c.Destinations()) == 0 {
		b.warn(b.set["LogLevel"], "no Log line goes so far: nothing is logged")
	}
	b.checkLimits()
	b.checkNats()
	b.checkShared()
	b.checkUpstream()
	b.checkReach()
	b.checkNodes()
	b.checkIdentities()
	b.checkVerify()
	b.checkGuards()
	b.checkMapping()
	b.checkMetrics()
	b.isolate()
	b.finishSocks()
}

func (b *builder) finishSocks() {
	c := &b.cfg
	nonLocal := false
	for proto := range protocols {
		ports, off := *c.ports(proto), b.off[proto]
		if off != nil && len(ports) > 0 {
			b.fail(*off, ErrConflict, "%v 0 beside another %v: drop one of them", proto, proto)
		} else if off != nil && proto == SOCKS && len(c.Listeners()) == len(c.MetricsPorts) && len(c.OnionServices) == 0 {
			b.warn(*off, "no listener is open: no program can use this node")
		}
		for _, p := range ports {
			if p.KeepAliveIsolateSOCKSAuth && !p.IsolateSOCKSAuth {
				b.fail(b.set[proto.String()], ErrConflict, "%s: KeepAliveIsolateSOCKSAuth needs IsolateSOCKSAuth: circuits that streams of others share are not kept for one", p)
			}
			if p.Loopback() || proto == Metrics {
				continue
			}
			nonLocal = true
			l := b.set[proto.String()]
			if !c.AllowNonLocalSocks {
				b.fail(l, ErrConflict, "%s is reachable from other machines, and nothing of it is encrypted or needs a password; set AllowNonLocalSocks 1 if that is meant", p)
				continue
			}
			b.warn(l, "%s is reachable from other machines: whoever reaches it can use this node and see its traffic", p)
		}
	}
	if c.AllowNonLocalSocks && !nonLocal {
		b.warn(b.set["AllowNonLocalSocks"], "has no effect: every listener is local")
	}
}
