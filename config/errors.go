package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What an Error is about, for errors.Is.
var (
	ErrSyntax      = errors.New("syntax error")
	ErrUnknown     = errors.New("unknown option")
	ErrUnsupported = errors.New("unsupported option")
	ErrValue       = errors.New("bad value")
	ErrConflict    = errors.New("options contradict each other")
	ErrLimit       = errors.New("limit exceeded")
	ErrInclude     = errors.New("cannot include")
)

// Error is one mistake (or, in Config.Warnings, one oddity) and where it is.
type Error struct {
	File       string // "" when it comes from the command line or from no line at all
	Line       int    // from 1; 0 when there is none
	Option     string // as it was written; "" when the mistake is not in an option
	Problem    string // what is wrong, and what would be right
	Suggestion string // the name that was probably meant; "" for none
	Kind       error  // one of the Err values above
}

// Error gives "file:line: Option: problem (did you mean X?)".
func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		fmt.Fprintf(&b, "%s: ", e.File)
	}
	if e.Option != "" {
		b.WriteString(e.Option + ": ")
	}
	b.WriteString(e.Problem)
	if e.Suggestion != "" {
		fmt.Fprintf(&b, " (did you mean %s?)", e.Suggestion)
	}
	return b.String()
}

// Unwrap gives the kind.
func (e *Error) Unwrap() error { return e.Kind }

// Errors is every mistake that was found, in the order of the lines.
type Errors []*Error

// Error gives one line a mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look at each.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, x := range e {
		out[i] = x
	}
	return out
}

// sort puts the mistakes in the order of their lines, file after file as they
// were first met, the command line last.
func (e Errors) sort() {
	rank := map[string]int{environmentFile: len(e), commandLine: len(e) + 1, fleetFile: len(e) + 2, operatorFile: len(e) + 3, addedFile: len(e) + 4}
	for i, x := range e {
		if _, known := rank[x.File]; !known {
			rank[x.File] = i
		}
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line))
	})
}

// The File of a Line that came from none.
const (
	environmentFile = "environment"
	commandLine     = "command line"
	fleetFile       = "fleet"
	operatorFile    = "chive config set"
	addedFile       = "chive onion add"
)
