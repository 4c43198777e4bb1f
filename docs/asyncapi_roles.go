package docs

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"chive/bridge"
	"chive/messages"
)

// localOperator is who has a node's control socket: no role, and of that node only.
const localOperator = "operator-of-the-node"

// role is a role with the subjects that a server lets it use. Their fleet is
// "{fleet}", as in addresses.
type role struct {
	name               bridge.Role
	key                string
	publish, subscribe []string
}

// readRoles reads the roles' permissions from what servers are configured with.
func readRoles() ([]role, error) {
	users := bridge.Users{Fleet: "{fleet}", Clients: map[bridge.Role]string{}}
	var out []role
	for _, r := range bridge.Roles {
		key := "{key of " + string(r) + "}"
		users.Clients[r] = key
		out = append(out, role{name: r, key: key})
	}
	text := users.ServerConfig()
	for i := range out {
		found := regexp.MustCompile(regexp.QuoteMeta("nkey: "+out[i].key) +
			`, permissions: \{ publish: \{ allow: (\[[^\]]*\]) \}, subscribe: \{ allow: (\[[^\]]*\]) \}`).FindStringSubmatch(text)
		if found == nil {
			return nil, fmt.Errorf("asyncapi: no permissions of %s in what bridge.Users.ServerConfig writes", out[i].name)
		}
		for j, list := range []*[]string{&out[i].publish, &out[i].subscribe} {
			if err := json.Unmarshal([]byte(found[j+1]), list); err != nil {
				return nil, fmt.Errorf("asyncapi: permissions of %s: %w", out[i].name, err)
			}
			for k, s := range *list {
				(*list)[k] = strings.ReplaceAll(s, out[i].key, "{key}")
			}
		}
	}
	return out, nil
}

// covers says whether a permission lets a client use all of an address.
func covers(permission, address string) bool {
	want, have := strings.Split(address, "."), strings.Split(permission, ".")
	for i, token := range have {
		switch {
		case token == ">":
			return len(want) > i
		case i >= len(want), token != "*" && token != want[i]:
			return false
		}
	}
	return len(have) == len(want)
}

func anyCovers(permissions []string, address string) bool {
	return slices.ContainsFunc(permissions, func(p string) bool { return covers(p, address) })
}

// hearing are the roles that may subscribe to an address.
func (a *api) hearing(address string) []string {
	return a.with(func(r role) bool { return anyCovers(r.subscribe, address) })
}

// saying are the roles that may publish to an address.
func (a *api) saying(address string) []string {
	return a.with(func(r role) bool { return anyCovers(r.publish, address) })
}

func (a *api) with(may func(role) bool) []string {
	var out []string
	for _, r := range a.roles {
		if may(r) {
			out = append(out, string(r.name))
		}
	}
	return out
}

// security writes who may be at the other end.
func security(schemes []string) []object {
	var out []object
	for _, s := range schemes {
		out = append(out, ref("components/securitySchemes/"+s))
	}
	return out
}

func (a *api) securitySchemes() object {
	about := map[bridge.Role]string{
		bridge.RoleObserve:   "who watches: the nkey whose seed is in NatsCredentialFile.",
		bridge.RoleOperate:   "who drains nodes: the nkey whose seed is in NatsCredentialFile with .operate added to its name.",
		bridge.RoleConfigure: "who publishes the fleet's configuration: the nkey whose seed is in NatsCredentialFile with .configure added to its name. Nodes believe what a key signed that they know by FleetConfigKey, which is another.",
	}
	out := object{}
	for _, r := range a.roles {
		out.set(string(r.name), object{
			{"type", "asymmetricEncryption"},
			{"description", "NATS nkey (Ed25519, the server's nonce signed) of " + about[r.name]},
			{"x-inbox-prefix", bridge.InboxPrefix("{key}")},
			{"x-publish", r.publish},
			{"x-subscribe", r.subscribe},
		})
	}
	own := messages.Version + ".{fleet}.{node}"
	out.set(localOperator, object{
		{"type", "asymmetricEncryption"},
		{"description", "NATS nkey whose seed is in control.nk in the DataDirectory, new at each start of the node."},
		{"x-inbox-prefix", bridge.InboxPrefix("{key}")},
		{"x-publish", []string{own + ".ctl.>", "$SRV.>"}},
		{"x-subscribe", []string{messages.Version + ".*.*.evt.>", bridge.InboxPrefix("{key}") + ".>"}},
	})
	return out
}

var placeholder = regexp.MustCompile(`\{([a-z]+)\}`)

// placeholders are the parameters in an address.
func placeholders(address string) []string {
	var out []string
	for _, m := range placeholder.FindAllStringSubmatch(address, -1) {
		if !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}
