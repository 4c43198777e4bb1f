package config

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Absolute caps over all files of one load.
const (
	maxIncludeDepth = 31 // C tor's own limit
	maxFiles        = 1024
	maxTotalLines   = 2 * MaxLines
)

// files is what a load reads from, so that tests need no disk.
type files interface {
	Open(path string) (io.ReadCloser, error)
	Stat(path string) (fs.FileInfo, error)
	ReadDir(path string) ([]fs.DirEntry, error)
	Glob(pattern string) ([]string, error)
	Stdin() io.Reader
}

type osFiles struct{}

func (osFiles) Open(path string) (io.ReadCloser, error)    { return os.Open(path) }
func (osFiles) Stat(path string) (fs.FileInfo, error)      { return os.Stat(path) }
func (osFiles) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }
func (osFiles) Glob(pattern string) ([]string, error)      { return filepath.Glob(pattern) }
func (osFiles) Stdin() io.Reader                           { return os.Stdin }

// reader gathers the lines of a torrc and of all it includes.
type reader struct {
	files files
	lines []Line
	errs  Errors
	count int

	hash    hash.Hash // of all that is read; may be nil
	folders []string  // that decide what is read
	names   []string  // of the files read, without folders
}

// top reads the file named on the command line; that it can't be read is a
// plain error.
func (r *reader) top(path string) error {
	if path == "-" {
		r.parse("<stdin>", r.files.Stdin(), 1)
		return nil
	}
	r.watch(filepath.Dir(path))
	f, err := r.files.Open(path)
	if err != nil {
		r.hashed(err.Error())
		return fmt.Errorf("torrc: %w", err)
	}
	defer f.Close()
	if info, err := r.files.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("torrc: %s is a folder", path)
	}
	r.parse(path, f, 1)
	return nil
}

func (r *reader) parse(name string, in io.Reader, depth int) {
	r.count++
	lines, err := Parse(name, r.note(name, in))
	var many Errors
	if errors.As(err, &many) {
		r.errs = append(r.errs, many...)
	} else if err != nil {
		r.errs = append(r.errs, &Error{File: name, Problem: err.Error(), Kind: ErrInclude})
	}
	for _, line := range lines {
		if len(r.lines) >= maxTotalLines {
			r.errs = append(r.errs, line.errorf(ErrLimit, "more than %d options over all files", maxTotalLines))
			return
		}
		if line.Key == "%include" {
			r.include(line, depth)
			continue
		}
		r.lines = append(r.lines, line)
	}
}

// include follows tor(1): wildcards * and ? first, matches in lexical order, a
// folder stands for its files, names that start with a dot are left out. A
// relative path is relative to the working directory, as in C tor.
func (r *reader) include(line Line, depth int) {
	if depth >= maxIncludeDepth {
		r.errs = append(r.errs, line.errorf(ErrLimit, "includes nested deeper than %d", maxIncludeDepth))
		return
	}
	if line.Value == "" {
		r.errs = append(r.errs, line.errorf(ErrInclude, "needs a file, a folder or a pattern"))
		return
	}
	paths, err := r.expand(line.Value)
	if err != nil {
		r.hashed(err.Error())
		r.errs = append(r.errs, line.errorf(ErrInclude, "%v", err))
		return
	}
	for _, path := range paths {
		if r.count >= maxFiles {
			r.errs = append(r.errs, line.errorf(ErrLimit, "more than %d files", maxFiles))
			return
		}
		f, err := r.files.Open(path)
		if err != nil {
			r.hashed(err.Error())
			r.errs = append(r.errs, line.errorf(ErrInclude, "%v", err))
			continue
		}
		r.parse(path, f, depth+1)
		_ = f.Close()
	}
}

func (r *reader) expand(pattern string) ([]string, error) {
	matches := []string{pattern}
	if strings.ContainsAny(pattern, "*?") {
		found, err := r.files.Glob(strings.ReplaceAll(pattern, "[", `\[`))
		if err != nil {
			return nil, err
		}
		matches = matches[:0]
		hidden := strings.HasPrefix(filepath.Base(pattern), ".")
		for _, m := range found {
			if hidden || !strings.HasPrefix(filepath.Base(m), ".") {
				matches = append(matches, m)
			}
		}
		sort.Strings(matches)
	}
	var out []string
	r.watch(filepath.Dir(pattern))
	for _, m := range matches {
		info, err := r.files.Stat(m)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, m)
			continue
		}
		r.watch(m)
		entries, err := r.files.ReadDir(m)
		if err != nil {
			return nil, err
		}
		for _, e := range entries { // ReadDir sorts
			if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				out = append(out, filepath.Join(m, e.Name()))
			}
		}
	}
	return out, nil
}
