package e2e

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"chive/actors/node"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// Names of the directory cache, C tor's.
const (
	cachedConsensus = "cached-microdesc-consensus"
	cachedCerts     = "cached-certs"
	cachedMicros    = "cached-microdescs"
)

// fetched counts the documents of each kind that came over the network.
func (c *client) fetched() map[chivev1.DocumentKind]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[chivev1.DocumentKind]int{}
	for _, e := range c.log {
		if f := e.GetDocumentFetched(); f != nil && !f.GetCached() {
			out[f.GetKind()]++
		}
	}
	return out
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// bootstrapped is a folder with the data of a node that has been there.
func bootstrapped(t *testing.T, n *testnet.Network) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c, err := launch(t, dir, nil, n.ClientTorrc()...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	c.stop()
	return dir
}

// A file of the cache that is corrupt or cut is refused with its name and fetched
// anew. What still verifies is not: the other files, and in a file of
// microdescriptors those that were not hit.
func TestCorruptCacheFiles(t *testing.T) {
	n := network(t)
	whole := bootstrapped(t, n)
	const (
		consensus = chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS
		certs     = chivev1.DocumentKind_DOCUMENT_KIND_CERTIFICATES
		micros    = chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS
	)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	empty := func([]byte) []byte { return nil }
	for name, test := range map[string]struct {
		file   string
		change func([]byte) []byte
		want   string // ending; "": nothing was there to be refused
		anew   []chivev1.DocumentKind
	}{
		"untouched":                {cachedConsensus, func(b []byte) []byte { return b }, "", nil},
		"corrupt consensus":        {cachedConsensus, flipBandwidth, "document-rejected document-untrusted", []chivev1.DocumentKind{consensus}},
		"truncated consensus":      {cachedConsensus, half, "document-rejected document-invalid", []chivev1.DocumentKind{consensus}},
		"forged consensus":         {cachedConsensus, forged, "document-rejected document-untrusted", []chivev1.DocumentKind{consensus}},
		"consensus of 1 signature": {cachedConsensus, oneSignature, "document-rejected document-untrusted", []chivev1.DocumentKind{consensus}},
		"empty consensus":          {cachedConsensus, empty, "document-rejected document-invalid", []chivev1.DocumentKind{consensus}},
		"truncated certificates":   {cachedCerts, half, "document-rejected document-untrusted", []chivev1.DocumentKind{consensus, certs}},
		"empty certificates":       {cachedCerts, empty, "document-rejected document-untrusted", []chivev1.DocumentKind{consensus, certs}},
		"corrupt microdescriptors": {cachedMicros, flip, "", []chivev1.DocumentKind{micros}},
		"truncated microdescriptors": {cachedMicros, func(b []byte) []byte {
			return b[:len(b)-len(b)/8]
		}, "", []chivev1.DocumentKind{micros}},
		"empty microdescriptors": {cachedMicros, empty, "", []chivev1.DocumentKind{micros}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(whole, "data"))); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "data", test.file)
			write(t, file, test.change(read(t, file)))
			c, err := launch(t, dir, nil, n.ClientTorrc()...)
			if err != nil {
				t.Fatal(err)
			}
			c.await(t)
			c.serves(t, n, "")
			c.until(t, "the documents that were hit come anew", func() bool { return len(c.fetched()) >= len(test.anew) })
			c.stop()
			if got := c.endings(); test.want != "" && got[test.want] == 0 {
				t.Errorf("no %q; endings %v", test.want, got)
			}
			for kind := range c.fetched() {
				if !slices.Contains(test.anew, kind) {
					t.Errorf("%s was fetched though the cache had it", messages.DocumentName(kind))
				}
			}
			for _, name := range []string{cachedConsensus, cachedMicros} {
				if name == cachedConsensus && slices.Contains(test.anew, consensus) {
					continue // on the hour authorities have another
				}
				sameEntries(t, name, read(t, filepath.Join(whole, "data", name)), read(t, filepath.Join(dir, "data", name)))
			}
			again, err := launch(t, dir, nil, n.ClientTorrc()...)
			if err != nil {
				t.Fatal(err)
			}
			again.await(t)
			if got := again.fetched(); len(got) != 0 {
				t.Errorf("the cache is not whole again: %v were fetched", got)
			}
		})
	}
}

// sameEntries: the second file has all that the first one has.
func sameEntries(t *testing.T, name string, want, got []byte) {
	t.Helper()
	if name == cachedConsensus {
		if !bytes.Equal(unsigned(want), unsigned(got)) {
			t.Errorf("%s is another one", name)
		}
		return
	}
	const begin = "onion-key\n"
	for entry := range strings.SplitSeq(string(want), begin) {
		if entry != "" && !strings.Contains(string(got), begin+entry) {
			t.Errorf("%s lacks an entry that it had", name)
		}
	}
}

// unsigned is a consensus up to its signatures: directories may get that of an authority that
// was slow later.
func unsigned(b []byte) []byte {
	text, _, _ := bytes.Cut(b, []byte("\ndirectory-signature "))
	return text
}

// One process cannot use a data directory twice, nor harm the first user by
// trying.
func TestDataDirectoryTwiceInOneProcess(t *testing.T) {
	n := network(t)
	dir := t.TempDir()
	first, err := launch(t, dir, nil, n.ClientTorrc()...)
	if err != nil {
		t.Fatal(err)
	}
	first.await(t)
	before := read(t, filepath.Join(dir, "data", cachedConsensus))
	if _, err := launch(t, dir, nil, n.ClientTorrc()...); !errors.Is(err, node.ErrInUse) {
		t.Fatalf("the second: %v, want ErrInUse", err)
	}
	first.serves(t, n, "")
	if !bytes.Equal(before, read(t, filepath.Join(dir, "data", cachedConsensus))) {
		t.Error("the second one changed the cache")
	}
	first.stop()
	third, err := launch(t, dir, nil, n.ClientTorrc()...)
	if err != nil {
		t.Fatalf("after the first has stopped: %v", err)
	}
	third.await(t)
	if got := third.fetched(); len(got) != 0 {
		t.Errorf("fetched %v though the cache had it", got)
	}
}

// smallDisk mounts a file system of so many bytes, or says why it cannot.
func smallDisk(t *testing.T, size string) (dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("chive-test", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size="+size); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, nil
}

// fill writes until there is no room.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// A disk that is full from the start, and one that fills while the node runs: the
// node says so, does its work from memory, and keeps what it had on disk.
func TestFullDisk(t *testing.T) {
	n := network(t)
	whole := bootstrapped(t, n)
	disk := func(t *testing.T) string {
		dir, err := smallDisk(t, "1m")
		if err != nil {
			t.Skipf("no small file system: %v; TestCacheThatTakesNothing and the script fault_disk are for this", err)
		}
		return dir
	}
	t.Run("before the start", func(t *testing.T) {
		dir := disk(t)
		fill(t, dir)
		c, err := launch(t, t.TempDir(), nil, append(n.ClientTorrc(), "CacheDirectory "+dir)...)
		if err != nil {
			t.Fatal(err)
		}
		c.await(t)
		c.serves(t, n, "")
		c.verified(t, 3)
		c.until(t, "it is told", func() bool { return c.endings()["document-rejected storage"] > 0 })
		c.stop() // nothing is being tried any more
		left, err := filepath.Glob(filepath.Join(dir, "cached-*"))
		if err != nil || slices.ContainsFunc(left, func(f string) bool { return strings.Contains(f, ".new") }) {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	t.Run("data too", func(t *testing.T) {
		dir := disk(t)
		if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "torrc"), make([]byte, 4<<10)) // room for the node's lines
		fill(t, dir)
		_, err := launch(t, dir, nil, n.ClientTorrc()...)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("started with %v, want ENOSPC", err)
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Fatal(err)
		}
		c, err := launch(t, dir, nil, n.ClientTorrc()...)
		if err != nil {
			t.Fatalf("with room again: %v", err)
		}
		c.await(t)
		c.serves(t, n, "")
	})
	t.Run("while it runs", func(t *testing.T) {
		dir := disk(t)
		if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(whole, "data"))); err != nil {
			t.Fatal(err)
		}
		micros := filepath.Join(dir, "data", cachedMicros)
		write(t, micros, half(read(t, micros))) // so that there is something to write
		before := read(t, filepath.Join(dir, "data", cachedConsensus))
		write(t, filepath.Join(dir, "torrc"), make([]byte, 4<<10))
		c, err := launch(t, dir, nil, n.ClientTorrc()...)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, dir)
		c.await(t)
		for _, user := range []string{"a", "b", "c"} {
			c.serves(t, n, user)
		}
		c.stop()
		if !bytes.Equal(before, read(t, filepath.Join(dir, "data", cachedConsensus))) {
			t.Error("the consensus that was on disk is no more")
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Fatal(err)
		}
		again, err := launch(t, dir, nil, n.ClientTorrc()...)
		if err != nil {
			t.Fatal(err)
		}
		again.await(t)
		again.serves(t, n, "")
		if got := again.fetched(); got[chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS] != 0 {
			t.Errorf("fetched %v though the disk had the consensus", got)
		}
	})
}

// For every machine, without any rights: a folder in which no file can be made,
// as it is gone, from the start of the fetches on.
func TestCacheThatTakesNothing(t *testing.T) {
	n := network(t)
	dir := t.TempDir()
	cache := filepath.Join(dir, "cache")
	if err := os.Mkdir(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	// Where each document would go there is a folder already: no rename and no
	// append succeeds, whoever runs this.
	for _, name := range []string{cachedConsensus, cachedCerts, cachedMicros} {
		if err := os.MkdirAll(filepath.Join(cache, name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c, err := launch(t, dir, nil, append(n.ClientTorrc(), "CacheDirectory "+cache)...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	c.serves(t, n, "")
	c.verified(t, 3)
	c.until(t, "it is told three times", func() bool { return c.endings()["document-rejected storage"] >= 3 })
	c.stop() // nothing is being tried any more
	left, err := filepath.Glob(filepath.Join(cache, "*.new*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The data directory is taken away under a running node, and a file is in its
// place: nothing can be written any more, and requests are served all the same.
func TestDataDirectoryTakenAway(t *testing.T) {
	n := network(t)
	dir := bootstrapped(t, n)
	data := filepath.Join(dir, "data")
	c, err := launch(t, dir, nil, n.ClientTorrc()...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	if err := os.Rename(data, data+".away"); err != nil {
		t.Fatal(err)
	}
	write(t, data, nil)
	before := read(t, filepath.Join(data+".away", cachedConsensus))
	for _, user := range []string{"a", "b", "c"} {
		c.serves(t, n, user)
	}
	if err := errors.Join(os.Remove(data), os.Rename(data+".away", data)); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if !bytes.Equal(before, read(t, filepath.Join(data, cachedConsensus))) {
		t.Error("the cache is another one")
	}
	again, err := launch(t, dir, nil, n.ClientTorrc()...)
	if err != nil {
		t.Fatal(err)
	}
	again.await(t)
	if got := again.fetched(); len(got) != 0 {
		t.Errorf("fetched %v though the cache had it", got)
	}
}

// flipBandwidth changes a bit of a digit: what is left is well-formed wherever the relays'
// random keys lie, and nobody signed it.
func flipBandwidth(b []byte) []byte {
	const before = "\nw Bandwidth="
	out := bytes.Clone(b)
	out[bytes.Index(out, []byte(before))+len(before)] ^= 1
	return out
}
