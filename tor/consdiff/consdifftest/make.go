// Package consdifftest makes consensus diffs, as a directory cache would, for tests.
package consdifftest

import (
	"bytes"
	"fmt"

	"chive/tor/consdiff"
)

// Make is the diff from base to target, two consensuses of one flavour: relays that are in both with the same
// text stay, all other text is replaced (dir-spec §4.5).
func Make(base, target []byte) []byte {
	i := bytes.Index(base, []byte("\ndirectory-signature "))
	signed := base[:i+1]
	from, _ := consdiff.SignedDigest(base)
	old, fresh := sections(signed), sections(target)
	kept := map[string]bool{}
	for _, s := range old {
		kept[string(s)] = true
	}
	known := map[string]bool{}
	for _, s := range fresh {
		known[string(s)] = kept[string(s)]
	}
	var commands []string
	line := 0 // of the base, up to where both agree
	for len(old) > 0 || len(fresh) > 0 {
		start := line
		var gone int
		var added []byte
		for len(old) > 0 && !known[string(old[0])] {
			gone += bytes.Count(old[0], []byte("\n"))
			old = old[1:]
		}
		for len(fresh) > 0 && !known[string(fresh[0])] {
			added = append(added, fresh[0]...)
			fresh = fresh[1:]
		}
		line += gone
		if c := edit(start, gone, added); c != "" {
			commands = append(commands, c)
		}
		if len(old) > 0 && len(fresh) > 0 {
			if !bytes.Equal(old[0], fresh[0]) {
				panic("consdifftest: relays are not in one order")
			}
			line += bytes.Count(old[0], []byte("\n"))
			old, fresh = old[1:], fresh[1:]
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "network-status-diff-version 1\nhash %v %v\n%d,$d\n", from, consdiff.Sum(target), 1+bytes.Count(signed, []byte("\n")))
	for i := len(commands) - 1; i >= 0; i-- {
		out.WriteString(commands[i])
	}
	return out.Bytes()
}

// edit is the command that takes gone lines after line start away and adds some.
func edit(start, gone int, added []byte) string {
	switch {
	case gone == 0 && len(added) == 0:
		return ""
	case gone == 0:
		return fmt.Sprintf("%da\n%s.\n", start, added)
	case len(added) == 0:
		return fmt.Sprintf("%sd\n", lines(start+1, start+gone))
	default:
		return fmt.Sprintf("%sc\n%s.\n", lines(start+1, start+gone), added)
	}
}

func lines(first, last int) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d,%d", first, last)
}

// sections cuts a consensus into its header, its relays and its footer.
func sections(text []byte) [][]byte {
	var out [][]byte
	start, pos := 0, 0
	for line := range bytes.Lines(text) {
		for _, begin := range []string{"r ", "directory-footer\n", "directory-signature "} {
			if pos > start && bytes.HasPrefix(line, []byte(begin)) {
				out, start = append(out, text[start:pos]), pos
			}
		}
		pos += len(line)
	}
	return append(out, text[start:])
}
