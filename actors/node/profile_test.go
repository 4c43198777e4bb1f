package node

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestProfileRefusals(t *testing.T) {
	n := &Node{}
	for question, want := range map[string]string{
		`{`:                             "the question",
		`{"kind":"block"}`:              "want cpu, heap or mutex",
		`{"kind":"cpu"}`:                "want 1 to 60",
		`{"kind":"mutex","seconds":61}`: "want 1 to 60",
		`{"kind":"heap","seconds":1}`:   "leave out the seconds",
	} {
		if _, err := n.answerProfile([]byte(question)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", question, err, want)
		}
	}
}

// A node that ends does not wait for a minute's profile.
func TestProfileOfEachKindEndsWithTheNode(t *testing.T) {
	ending := make(chan struct{})
	close(ending)
	for _, kind := range []string{ProfileCPU, ProfileHeap, ProfileMutex} {
		var out bytes.Buffer
		if err := takeProfile(&out, kind, time.Minute, ending); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		plain, err := gzip.NewReader(&out)
		if err != nil {
			t.Fatalf("%s is no profile: %v", kind, err)
		}
		if body, err := io.ReadAll(plain); err != nil || len(body) == 0 {
			t.Errorf("%s: %d bytes, %v", kind, len(body), err)
		}
	}
}

func TestProfileAnswer(t *testing.T) {
	n := &Node{o: Options{Log: slog.New(slog.DiscardHandler)}}
	answer, err := n.answerProfile([]byte(`{"kind":"heap"}`))
	if err != nil || !bytes.HasPrefix(answer, []byte{0x1f, 0x8b}) { // gzip
		t.Errorf("%.40q, %v", answer, err)
	}
}
