package testnet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clockTicks is USER_HZ, 100 on every architecture Linux has for Go.
const clockTicks = 100

// CPU is the processor time that a process has used so far, user and system.
func CPU(pid int) (time.Duration, error) {
	f, err := stat(pid)
	if err != nil {
		return 0, fmt.Errorf("processor time of %d: %w", pid, err)
	}
	var ticks int64
	for _, s := range f[11:13] { // utime and stime
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time of %d: %w", pid, err)
		}
		ticks += v
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// stat is what /proc/PID/stat says behind the process's name, which is in parentheses and may
// hold anything: the state and what follows, fields 3 and on of proc(5), 13 at least.
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	_, rest, ok := cutLast(string(b), ")")
	f := strings.Fields(rest)
	if !ok || len(f) < 13 {
		return nil, fmt.Errorf("unknown form of /proc/%d/stat", pid)
	}
	return f, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// RSS is a process's resident set in bytes (VmRSS).
func RSS(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %d: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		v, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memory of %d: %w", pid, err)
		}
		return kb << 10, nil
	}
	return 0, fmt.Errorf("memory of %d: no VmRSS, it is a zombie", pid)
}

// owned finds the live processes of the network in dir by what their command
// lines say: a tor with a torrc below dir, or a far end marked with dir. It does
// not trust recorded pids, which the system may have given to somebody else. A
// zombie has no command line and is not found.
func owned(dir string) (map[int]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	found := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if name, ok := ownedName(pid, dir); ok {
			found[pid] = name
		}
	}
	return found, nil
}

// ownedName says which of the network's processes pid is.
func ownedName(pid int, dir string) (string, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(b) == 0 {
		return "", false
	}
	var argv []string
	for a := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		argv = append(argv, string(a))
	}
	if slices.Contains(argv, targetMark(dir)) {
		return targetName, true
	}
	if len(argv) < 3 || filepath.Base(argv[0]) != "tor" || argv[1] != "-f" {
		return "", false
	}
	rel, err := filepath.Rel(dir, argv[2])
	if err != nil || filepath.Base(rel) != "torrc" {
		return "", false
	}
	switch filepath.Dir(filepath.Dir(rel)) {
	case nodesDir, clientsDir:
		return filepath.Base(filepath.Dir(rel)), true
	}
	return "", false
}

// ending says whether a process has lost its memory, and so its name, but may have sockets open
// yet: the kernel closes those later, before it calls the process a zombie.
func ending(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(name) > 0 {
		return false
	}
	f, err := stat(pid)
	if err != nil {
		return false
	}
	// What it had open is shared by its threads, and the first may end before others.
	return f[0] != "Z" && f[0] != "X" || len(f) > 17 && f[17] != "1" && f[17] != "0"
}
