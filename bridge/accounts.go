package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	shared "chive/bridge/fleet"
	"chive/messages"
)

// Role is what a credential is good for.
type Role string

// The roles. None includes another's rights to change something.
const (
	RoleObserve   Role = "observe"   // events, status, history, the list of members
	RoleOperate   Role = "operate"   // the same, the configuration and acknowledgements, to drain nodes and have guards retried
	RoleConfigure Role = "configure" // as observe, the configuration and acknowledgements, and to publish one
)

// Roles lists them.
var Roles = []Role{RoleObserve, RoleOperate, RoleConfigure}

// InboxPrefix is where a credential's answers go: it may read no others.
func InboxPrefix(publicKey string) string { return "_INBOX." + publicKey }

// Users is who may come to a NATS server of a fleet, by public key.
type Users struct {
	Fleet   string
	Nodes   map[string]string // by node name
	Clients map[Role]string
}

// The accounts of a server of a fleet. Nodes are in accountFleet. Each role has
// an account of its own, into which only what it needs is imported: so an answer
// that a client has sent to another subject than its inbox goes nowhere.
const accountFleet = "FLEET"

func accountOf(r Role) string { return strings.ToUpper(string(r)) }

// allowed is one side of a user's permissions.
type rights struct{ publish, subscribe []string }

// readBucket is what reading a bucket takes, without consumers.
func readBucket(bucket string) []string {
	stream := "KV_" + bucket
	return []string{"$JS.API.STREAM.INFO." + stream, "$JS.API.DIRECT.GET." + stream, "$JS.API.DIRECT.GET." + stream + ".>"}
}

// asks are the subjects a role may send requests to.
func asks(fleet string, r Role) []string {
	verb := func(v string) string { return messages.ControlSubject(fleet, "*", v) }
	out := []string{verb("status"), verb("history"), "$SRV.>"}
	out = append(out, readBucket(shared.NodeBucket(fleet))...)
	if r != RoleObserve {
		out = append(out, readBucket(shared.ConfigBucket(fleet))...)
		out = append(out, readBucket(shared.AckBucket(fleet))...)
	}
	switch r {
	case RoleOperate:
		out = append(out, verb("drain"), verb(messages.VerbGuardsRetry), verb(messages.VerbTimeoutsForget))
	case RoleConfigure:
		out = append(out, "$KV."+shared.ConfigBucket(fleet)+".>")
	}
	return out
}

// What observers watch. All that is in one account is of one fleet.
const (
	allEvents = messages.Version + ".*.*.evt.>"
	allAcks   = messages.Version + ".*.*.cfg.>"
)

// nodeRights let a node speak for itself only.
func nodeRights(fleet, node, key string) rights {
	own := messages.Version + "." + fleet + "." + node
	r := rights{
		publish: []string{own + ".>", "$KV." + shared.NodeBucket(fleet) + "." + node, "$KV." + shared.AckBucket(fleet) + ".*." + node, "$JS.API.INFO"},
		subscribe: []string{
			own + ".ctl.>", "$SRV.>", InboxPrefix(key) + ".>", "$KV." + shared.ConfigBucket(fleet) + ".>",
			allEvents, allAcks, // for the operator's command line, which uses the node's credential
		},
	}
	r.publish = append(r.publish, directoryRights(fleet)...)
	// Of onion services that nodes share each writes its own entries and all write the
	// lease, behind the last writer; to read them takes the service's key.
	onions := "$KV." + shared.OnionBucket(fleet)
	r.publish = append(r.publish, onions+".*."+shared.LeaseToken, onions+".*."+shared.NodeToken+"."+node)
	r.subscribe = append(r.subscribe, onions+".>")
	for _, bucket := range []string{shared.ConfigBucket(fleet), shared.AckBucket(fleet), shared.NodeBucket(fleet), shared.OnionBucket(fleet)} {
		r.publish = append(r.publish, readBucket(bucket)...)
		r.publish = append(r.publish, "$JS.API.STREAM.CREATE.KV_"+bucket)
	}
	return r
}

// directoryRights let a node read and replace the shared directory, which every node
// verifies.
func directoryRights(fleet string) []string {
	bucket := shared.DirectoryBucket(fleet)
	stream := "OBJ_" + bucket
	out := []string{"$O." + bucket + ".>"}
	for _, api := range []string{"STREAM.CREATE.", "STREAM.INFO.", "STREAM.PURGE."} {
		out = append(out, "$JS.API."+api+stream)
	}
	return append(out, "$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>")
}

// clientRights are those of a role's credential, in its account.
func clientRights(fleet string, r Role, key string) rights {
	out := rights{subscribe: []string{allEvents, allAcks, InboxPrefix(key) + ".>"}}
	for _, subject := range asks(fleet, r) {
		out.publish = append(out.publish, imported(subject)...)
	}
	return out
}

// imported is what a subject of the nodes' account is called in a role's. There
// JetStream's own API would answer that the account has no JetStream, so the nodes'
// has a prefix; what writes to a bucket is known by both names, as clients that use
// a prefix put it before that too.
func imported(subject string) []string {
	if api, ok := strings.CutPrefix(subject, "$JS.API"); ok {
		return []string{shared.RolePrefix + api}
	}
	if strings.HasPrefix(subject, "$KV.") {
		return []string{subject, shared.RolePrefix + "." + subject}
	}
	return []string{subject}
}

// user writes one user of an account. Nodes may answer those who ask them.
func user(key string, r rights, answers bool) string {
	text := "{ nkey: " + key + ", permissions: { publish: { allow: " + list(r.publish) + " }, subscribe: { allow: " + list(r.subscribe) + " }"
	if answers {
		text += `, allow_responses: { max: 1, expires: "1m" }`
	}
	return text + " } }"
}

func list(subjects []string) string {
	quoted := make([]string, len(subjects))
	for i, s := range subjects {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// accounts writes the accounts of a server of a fleet in its configuration's
// syntax. own are further users of the nodes' account.
func (u Users) accounts(own []string, jetStream bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s: {\n", accountFleet)
	if jetStream {
		b.WriteString("    jetstream: enabled\n")
	}
	users := slices.Clone(own)
	for _, name := range slices.Sorted(maps.Keys(u.Nodes)) {
		key := u.Nodes[name]
		users = append(users, user(key, nodeRights(u.Fleet, name, key), true))
	}
	fmt.Fprintf(&b, "    users: [\n      %s\n    ]\n    exports: [\n", strings.Join(users, "\n      "))
	for _, subject := range []string{allEvents, allAcks} {
		fmt.Fprintf(&b, "      { stream: %q }\n", subject)
	}
	for _, subject := range u.services() {
		kind := "singleton"
		if subject == "$SRV.>" {
			kind = "stream" // each node answers
		}
		fmt.Fprintf(&b, "      { service: %q, response_type: %s }\n", subject, kind)
	}
	b.WriteString("    ]\n  }\n")
	for _, r := range Roles {
		key, known := u.Clients[r]
		if !known {
			continue
		}
		fmt.Fprintf(&b, "  %s: {\n    users: [ %s ]\n    imports: [\n", accountOf(r), user(key, clientRights(u.Fleet, r, key), false))
		for _, subject := range []string{allEvents, allAcks} {
			fmt.Fprintf(&b, "      { stream: { account: %s, subject: %q } }\n", accountFleet, subject)
		}
		for _, subject := range asks(u.Fleet, r) {
			for _, here := range imported(subject) {
				fmt.Fprintf(&b, "      { service: { account: %s, subject: %q }, to: %q }\n", accountFleet, subject, here)
			}
		}
		b.WriteString("    ]\n  }\n")
	}
	return b.String()
}

// services are what all roles together may ask.
func (u Users) services() (out []string) {
	for _, r := range Roles {
		for _, subject := range asks(u.Fleet, r) {
			if !slices.Contains(out, subject) {
				out = append(out, subject)
			}
		}
	}
	return out
}

// ServerConfig is what the configuration of an ordinary nats-server needs to
// serve a fleet: include it in a file that says where to listen, with TLS, and
// has a jetstream block.
func (u Users) ServerConfig() string {
	return "accounts {\n" + u.accounts(nil, true) + "}\n"
}
