package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Origin says which layer an option's value comes from. A later one replaces
// what an earlier one says about the option.
type Origin int

// The layers, in the order of precedence, least first.
const (
	FromDefault     Origin = iota
	FromFile               // the torrc and what it includes
	FromEnvironment        // CHIVE_ variables
	FromCommandLine        // --Option VALUE
	FromFleet              // the fleet's configuration, while the node runs
	FromOperator           // chive config set, while the node runs
	FromAdded              // chive onion add: beside what the others say
)

var originNames = [...]string{"default", "file", environmentFile, commandLine, fleetFile, operatorFile, addedFile}

// String names the layer as `chive config show` does.
func (o Origin) String() string { return originNames[o] }

// Source is where a configuration is read from, again and again. Its methods
// may be called from many goroutines.
type Source struct {
	File        string     // the torrc; "" for none, "-" for standard input, which is read once
	Environment []string   // as os.Environ gives it; nil leaves the environment out
	Flags       []Override // of the command line

	files files // nil: the disk
	once  sync.Once
	stdin string // what standard input held
}

// Live is the values of one option that were set while the node runs.
type Live struct {
	Name   string
	Values []string // as a torrc would say them; more than one only for lists
	Origin Origin   // FromFleet, FromOperator or FromAdded
	Append bool     `json:",omitempty"` // beside the values of the layers below, in place of replacing them
}

// Loaded is what a Source held at one moment.
type Loaded struct {
	Looked
	*Config                   // nil when it is not right
	Origins map[string]Origin // by option; those at their defaults are missing
}

// Looked is what the files of a Source held at one moment.
type Looked struct {
	Hash    string   // of everything read: files' names and contents, and what could not be
	Folders []string // whose entries decide what is read, absolute
	Files   []string // base names of those read
	Empty   bool     // there is a torrc, and no line in it
}

// Load reads everything anew and checks the whole. Loaded is never nil: Folders
// and Hash are there beside an error, which is as Load's.
func (s *Source) Load(live ...Live) (*Loaded, error) {
	r, looked, err := s.read()
	out := &Loaded{Looked: looked}
	if err != nil {
		return out, err
	}
	fleet, operator, added := liveLines(live)
	b, err := build([]layer{
		{FromFile, r.lines},
		{FromEnvironment, environmentLines(s.Environment)},
		{FromCommandLine, commandLines(s.Flags)},
		{FromFleet, fleet},
		{FromOperator, operator},
		{FromAdded, added},
	}, r.errs)
	if err != nil {
		return out, err
	}
	out.Config, out.Origins = &b.cfg, b.origin
	return out, nil
}

// Look reads the files and checks nothing: has something changed?
func (s *Source) Look() Looked {
	_, looked, _ := s.read() // what is wrong is in the hash
	return looked
}

func (s *Source) read() (*reader, Looked, error) {
	r := &reader{files: s.disk(), hash: sha256.New()}
	var err error
	if s.File != "" {
		err = r.top(s.File)
	}
	return r, Looked{
		Hash: hex.EncodeToString(r.hash.Sum(nil)), Folders: r.watched(), Files: r.names,
		Empty: err == nil && s.File != "" && len(r.lines) == 0 && len(r.errs) == 0,
	}, err
}

// Fixed is the source of a configuration that was made otherwise: it is always
// read as c is.
func Fixed(c *Config) *Source {
	s := &Source{}
	for i := range table {
		for _, v := range table[i].show(c) {
			s.Flags = append(s.Flags, Override{Name: table[i].Name, Value: v})
		}
	}
	return s
}

// Watched: are there files that may change?
func (s *Source) Watched() bool { return s.File != "" && s.File != "-" }

// disk gives the files, with standard input as it was at first.
func (s *Source) disk() files {
	disk := s.files
	if disk == nil {
		disk = osFiles{}
	}
	if s.File != "-" {
		return disk
	}
	s.once.Do(func() {
		b, err := io.ReadAll(io.LimitReader(disk.Stdin(), MaxFileBytes+1))
		if err != nil {
			b = []byte("%unreadable " + err.Error() + "\n") // the parser refuses it by name
		}
		s.stdin = string(b)
	})
	return keptStdin{disk, s.stdin}
}

type keptStdin struct {
	files
	text string
}

func (k keptStdin) Stdin() io.Reader { return strings.NewReader(k.text) }

func commandLines(overrides []Override) []Line {
	lines := make([]Line, 0, len(overrides))
	for _, o := range overrides {
		name, add := strings.CutPrefix(o.Name, "+")
		lines = append(lines, Line{File: commandLine, Key: name, Value: strings.Trim(o.Value, blank), Append: add})
	}
	return lines
}

// EnvironmentPrefix begins the names of the variables that set options: behind
// it stands the option's name; case and underscores don't count.
const EnvironmentPrefix = "CHIVE_"

// ofService are the variables that Kubernetes sets in every container for a
// service that is called chive.
var ofService = regexp.MustCompile(`^(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// environmentLines reads CHIVE_MAX_CIRCUIT_DIRTINESS=5 minutes and the like. The
// lines of a value are so many values of a list. An empty variable is one that
// is not set, as container set-ups write it.
func environmentLines(environment []string) (lines []Line) {
	for _, variable := range slices.Sorted(slices.Values(environment)) {
		name, value, _ := strings.Cut(variable, "=")
		short, ours := strings.CutPrefix(name, EnvironmentPrefix)
		if !ours || ofService.MatchString(short) || strings.Trim(value, blank+"\n") == "" {
			continue
		}
		key := strings.ReplaceAll(short, "_", "")
		if o := Find(key); o != nil {
			key = o.Name
		}
		for part := range strings.SplitSeq(strings.Trim(value, blank+"\n"), "\n") {
			lines = append(lines, Line{File: environmentFile, Key: key, Value: strings.Trim(part, blank)})
		}
	}
	return lines
}

func liveLines(live []Live) (fleet, operator, added []Line) {
	for _, o := range live {
		to, file := &operator, operatorFile
		switch o.Origin {
		case FromFleet:
			to, file = &fleet, fleetFile
		case FromAdded:
			to, file = &added, addedFile
		}
		for _, v := range o.Values {
			*to = append(*to, Line{File: file, Key: o.Name, Value: strings.Trim(v, blank), Append: o.Append})
		}
	}
	return fleet, operator, added
}

// Find gives an option by name; case does not count. Nil: chive has none such.
func Find(name string) *Option {
	for i := range table {
		if strings.EqualFold(table[i].Name, name) {
			return &table[i]
		}
	}
	return nil
}

// note writes what was read into the hash and remembers the folder to watch.
func (r *reader) note(path string, in io.Reader) io.Reader {
	if r.hash == nil {
		return in
	}
	r.hashed(path)
	r.watch(filepath.Dir(path))
	r.names = append(r.names, filepath.Base(path))
	if real, err := filepath.EvalSymlinks(path); err == nil {
		r.watch(filepath.Dir(real))
		r.names = append(r.names, filepath.Base(real))
	}
	return io.TeeReader(in, r.hash)
}

// hashed writes a name, or what was wrong, set off from what is around it.
func (r *reader) hashed(text string) {
	if r.hash != nil {
		_, _ = io.WriteString(r.hash, "\x00"+text+"\x00") // a hash never fails
	}
}

func (r *reader) watch(folder string) {
	if !slices.Contains(r.folders, folder) {
		r.folders = append(r.folders, folder)
	}
}

// watched is every folder that decides what is read, absolute, and those that
// links lead to.
func (r *reader) watched() (out []string) {
	for _, f := range r.folders {
		absolute, err := filepath.Abs(f)
		if err != nil {
			continue
		}
		out = append(out, absolute)
		if real, err := filepath.EvalSymlinks(absolute); err == nil && real != absolute {
			out = append(out, real)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return slices.Compact(out)
}
