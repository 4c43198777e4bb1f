package node

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/hosting"
	"chive/actors/kernel"
	"chive/tor/guard"
	"chive/tor/onion/heal"
)

// verifyTime bounds a visit that is asked for, with one before it that is under way.
const verifyTime = 2 * time.Minute

// HostingVerifyRequest is what the verb hosting-verify is asked with.
type HostingVerifyRequest struct {
	Service string `json:"service"` // its id, of the verb hosting
}

// HostingVerifyAnswer is the answer to it.
type HostingVerifyAnswer struct {
	Verification hosting.Verification `json:"verification"`
}

type verified struct {
	found hosting.Verification
	err   error
}

// answerHostingVerify answers the verb hosting-verify.
func (n *Node) answerHostingVerify(request []byte) ([]byte, error) {
	var q HostingVerifyRequest
	if err := json.Unmarshal(request, &q); err != nil || q.Service == "" {
		return nil, errors.New("want {\"service\": the id of a hosted onion service}")
	}
	ctx, cancel := context.WithTimeout(context.Background(), verifyTime)
	defer cancel()
	answer, err := kernel.Ask(ctx, n.system, n.root, func(reply kernel.Reply[verified]) any {
		return &hosting.Verify{Service: q.Service, Tell: func(found hosting.Verification, err error) { reply.Send(verified{found, err}) }}
	})
	if err = errors.Join(err, answer.err); err != nil {
		return nil, err
	}
	return json.Marshal(HostingVerifyAnswer{answer.found})
}

// shaken tells the hosted services that the machine slept, that its clock was set, or that
// it is on another network.
func (r *rootActor) shaken(ctx actor.Context, why guard.Reason, clock bool) {
	now := r.n.o.Now()
	what, cause := heal.Network, heal.Connections
	switch {
	case why == guard.Woken && clock:
		what, cause = heal.ClockSet, heal.Clock
	case why == guard.Woken:
		what, cause = heal.Woken, heal.Slept
	}
	r.n.signals.Happened(cause, now)
	r.pass(ctx, "hosting", &hosting.Shaken{Why: what})
}
