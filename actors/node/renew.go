package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/ingress"
	"chive/actors/kernel"
	"chive/actors/onions"
)

// RenewAsk is what the verb renew is asked with. Only the operator of the node can ask:
// the name of an identity never leaves the machine.
type RenewAsk struct {
	All      bool    `json:"all,omitempty"`      // every identity
	User     string  `json:"user,omitempty"`     // else that of a user name, of SOCKS or HTTP
	Password *string `json:"password,omitempty"` // with that password only
}

// RenewAnswer is the answer.
type RenewAnswer struct {
	Circuits int `json:"circuits"` // that take no new streams
}

// renewAllEvery bounds how often all circuits are renewed, as C tor bounds NEWNYM:
// each time costs the network as many circuits.
const renewAllEvery = 10 * time.Second

// ErrTooSoon refuses to renew all circuits again.
var ErrTooSoon = errors.New("all circuits were renewed less than 10 s ago; try again later, or renew one identity")

// renew passes the question on; only the root knows the key of identities.
type renew struct {
	ask   RenewAsk
	reply kernel.Reply[int]
}

func (r *rootActor) renew(ctx actor.Context, m *renew) {
	identity := ""
	if m.ask.All {
		r.pass(ctx, "onions", &onions.Forget{})
	} else {
		identity = ingress.Identity(r.isolationKey, m.ask.User, m.ask.Password)
	}
	r.passOrDrop(ctx, "circuits", &circuits.Renew{Identity: identity, Reply: m.reply})
}

// answerRenew answers the verb renew.
func (n *Node) answerRenew(request []byte) ([]byte, error) {
	var ask RenewAsk
	if err := json.Unmarshal(request, &ask); err != nil {
		return nil, fmt.Errorf("the question: %w", err)
	}
	if ask.All == (ask.User != "") || ask.All && ask.Password != nil {
		return nil, errors.New("the question: want either all or a user")
	}
	if ask.All {
		if ok, _ := n.renewAll.Allow(); !ok {
			return nil, ErrTooSoon
		}
	}
	circuits, err := askRoot(n, func(reply kernel.Reply[int]) any { return &renew{ask, reply} })
	if err != nil {
		return nil, err
	}
	return json.Marshal(RenewAnswer{circuits})
}
