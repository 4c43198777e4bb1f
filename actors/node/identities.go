package node

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/ingress"
	"chive/actors/kernel"
)

// IdentitiesAsk is what the verb identities is asked with. Only the operator of the node
// can ask.
type IdentitiesAsk struct {
	// Users are user names, of SOCKS or HTTP, whose identities are to be told by name: the
	// node keeps tokens only. At most 1000.
	Users []string `json:"users,omitempty"`
}

// Identity is one of the answer. Its tokens are opaque, for one boot.
type Identity struct {
	ID       string    `json:"id"`             // token of user name and password
	Group    string    `json:"group"`          // token of the user name alone
	User     string    `json:"user,omitempty"` // that user name, if it was asked for
	Since    time.Time `json:"since,omitzero"` // the first stream since the last renewal, if there was one
	Streams  int       `json:"streams"`        // asked for since then
	Open     int       `json:"open"`           // on circuits now
	Waiting  int       `json:"waiting"`        // for a circuit
	Circuits int       `json:"circuits"`       // that carried the identity and are there
	Usable   int       `json:"usable"`         // of those, that take new streams
	Exits    int       `json:"exits"`          // different ones of those circuits
	Renewals int       `json:"renewals"`       // by the operator or the policy, since the identity came
}

// IdentitiesAnswer is the answer: what has streams or circuits, the oldest first.
type IdentitiesAnswer struct {
	Identities []Identity `json:"identities"`
}

// mostUsers bounds the digests that one question costs.
const mostUsers = 1000

// identities passes the question on; only the root knows the key of identities.
type identities struct {
	ask   IdentitiesAsk
	reply kernel.Reply[IdentitiesAnswer]
}

func (r *rootActor) identities(ctx actor.Context, m *identities) {
	users := map[string]string{}
	for _, u := range m.ask.Users {
		users[ingress.Identity(r.isolationKey, u, nil)] = u
	}
	r.passOrDrop(ctx, "circuits", &circuits.List{Tell: func(all []circuits.Identity) {
		a := IdentitiesAnswer{Identities: make([]Identity, len(all))}
		for i, v := range all {
			a.Identities[i] = Identity{
				ID: v.ID, Group: v.Group, User: users[v.Group], Since: v.Since, Streams: v.Streams, Open: v.Open, Waiting: v.Waiting,
				Circuits: v.Circuits, Usable: v.Usable, Exits: v.Exits, Renewals: v.Renewals,
			}
		}
		m.reply.Send(a)
	}})
}

// answerIdentities answers the verb identities.
func (n *Node) answerIdentities(request []byte) ([]byte, error) {
	var ask IdentitiesAsk
	if err := json.Unmarshal(request, &ask); err != nil {
		return nil, fmt.Errorf("the question: %w", err)
	}
	if len(ask.Users) > mostUsers {
		return nil, fmt.Errorf("the question: %d users, more than %d", len(ask.Users), mostUsers)
	}
	a, err := askRoot(n, func(reply kernel.Reply[IdentitiesAnswer]) any { return &identities{ask, reply} })
	if err != nil {
		return nil, err
	}
	return json.Marshal(a)
}
