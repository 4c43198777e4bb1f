package bridge

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A question that is lost on its way is asked again, unless it may have been understood.
func TestLostQuestionIsAskedAgain(t *testing.T) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	asked := 0
	if _, err := nc.Subscribe("q", func(m *nats.Msg) {
		if asked++; asked > 2 {
			_ = m.Respond([]byte("answer")) // what is missing is missed below
		}
	}); err != nil {
		t.Fatal(err)
	}
	c := &Client{nc: nc}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if m, err := c.ask(ctx, "q", nil, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asked once: %v, %v", m, err)
	}
	if m, err := c.ask(t.Context(), "q", nil, 100*time.Millisecond); err != nil || string(m.Data) != "answer" {
		t.Errorf("asked again: %v, %v", m, err)
	}
}
