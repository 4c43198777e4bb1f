package docs

import (
	"chive/actors/node"
	"chive/bridge"
	"chive/bridge/fleet"
	"chive/messages"
)

// ackStates are what a node can make of a publication.
var ackStates = []messages.FleetState{
	messages.FleetApplied, messages.FleetTrying, messages.FleetWaiting, messages.FleetRejected, messages.FleetReverted,
}

// fleet adds the fleet's buckets and acknowledgements.
func (a *api) fleet() {
	a.message("configuration", "A signed configuration of the fleet.", a.schemas.request(messages.FleetEnvelope{}),
		entry{"x-document", a.schemas.request(messages.FleetDocument{})}, entry{"x-signed-prefix", messages.FleetSigned})
	a.message("acknowledgement", "What a node made of a publication.", a.schemas.answer(messages.FleetAck{}))
	a.message("member", "A node, as it was some seconds ago.", a.schemas.answer(messages.FleetMember{}))

	a.bucket("config", fleet.ConfigBucket("{fleet}"), fleet.ConfigKey, "receive", "configuration",
		"The fleet's configuration, of which the last entry counts. A node takes it when it is signed with a key that FleetConfigKey names, is no older than what it took before, and sets nothing that may not be set remotely.")
	a.bucket("acknowledgements", fleet.AckBucket("{fleet}"), "{publication}.{node}", "send", "acknowledgement",
		"What each node made of each publication.")
	a.bucket("members", fleet.NodeBucket("{fleet}"), "{node}", "send", "member",
		"Who is there. An entry ends by itself "+fleet.Alive.String()+" after the node last wrote it.")

	acks := messages.AckSubject("{fleet}", "{node}", "{state}")
	a.channel("acknowledged", acks, "Acknowledgements as they are given; the bucket keeps them.", []string{"node", "fleet"}, "acknowledgement")
	a.operations.set("acknowledged", object{
		{"action", "send"},
		{"channel", ref("channels/acknowledged")},
		{"security", security(a.hearing(acks))},
		{"messages", through("acknowledged", "acknowledgement")},
	})
}

// bucket adds a key-value bucket: what writes to a key is a message.
func (a *api) bucket(name, bucket, key, action, carries, about string) {
	address := "$KV." + bucket + "." + key
	reads := fleet.RolePrefix + ".DIRECT.GET.KV_" + bucket + "." + address
	readers := a.saying(reads)
	who := readers // of what nodes write
	if action == "receive" {
		who = a.saying(address)
	}
	a.channel(name, address, about, []string{"node", "fleet"}, carries)
	c := &a.channels[len(a.channels)-1]
	c.value = append(c.value.(object), entry{"x-nats-key-value", object{
		{"bucket", bucket},
		{"key", key},
		{"read", object{{"description", "A request here, with no body, is answered with the entry."}, {"subject", reads}, {"security", security(readers)}}},
	}})
	a.operations.set(name, object{
		{"action", action},
		{"channel", ref("channels/" + name)},
		{"security", security(who)},
		{"messages", through(name, carries)},
	})
}

// verb adds a request to a node and its answers.
func (a *api) verb(name, about, asked string, answers ...string) {
	address := messages.ControlSubject("{fleet}", "{node}", name)
	who := append(a.saying(address), localOperator)
	var where []string
	if len(who) == 1 {
		where = []string{"socket"}
	}
	a.channel(name, address, about, where, asked)
	a.reply(name, who, asked, answers...)
}

// reply adds the operation of a request, and where it is answered.
func (a *api) reply(name string, who []string, asked string, answers ...string) {
	inbox := name + "-answer"
	a.channel(inbox, "", "The inbox of who asks.", nil, answers...)
	a.operations.set(name, object{
		{"action", "receive"},
		{"channel", ref("channels/" + name)},
		{"security", security(who)},
		{"messages", through(name, asked)},
		{"reply", object{{"channel", ref("channels/" + inbox)}, {"messages", through(inbox, answers...)}}},
	})
}

// control adds what a node is asked as a NATS micro service.
func (a *api) control() {
	text := func(about string) object { return object{{"type", "string"}, {"description", about}} }
	a.messages.set("nothing", object{{"summary", "An empty message."}, {"payload", object{{"type", "null"}}}})
	a.messages.set("refusal", object{
		{"summary", "The request failed. The body is empty."},
		{"headers", object{{"type", "object"}, {"properties", object{
			{"Nats-Service-Error", text("what was wrong, and the remedy")},
			{"Nats-Service-Error-Code", text("500")},
		}}, {"required", []string{"Nats-Service-Error", "Nats-Service-Error-Code"}}}},
	})

	a.message("status-question", "With an empty body the answer is a status, with what: history a kept, with what: state a state.",
		object{{"oneOf", []object{{{"type", "null"}}, a.schemas.answer(node.Ask{})}}})
	a.message("status", "What the node is doing: counts only.", a.schemas.answer(node.Status{}))
	a.message("kept", "Where the node's earlier events are. The node has written them out by then.", a.schemas.answer(node.Kept{}))
	a.messages.set("state", object{
		{"summary", "Connections, circuits, streams and guards as chive's own command line lists them: JSON, compressed as RFC 1951 says. Its fields may change with any version."},
		{"contentType", "application/octet-stream"},
		{"payload", object{{"type", "string"}, {"format", "binary"}}},
	})
	a.verb("status", "How the node is.", "status-question", "status", "kept", "state", "refusal")

	a.messages.set("history", object{
		{"summary", "Recent events, oldest first: before each Envelope its length in 4 bytes, big-endian. As many as fit in one message."},
		{"contentType", "application/octet-stream"},
		{"payload", object{{"type", "string"}, {"format", "binary"}}},
		{"x-framed", ref("components/schemas/Envelope")},
	})
	a.verb("history", "The last events, for who was not there.", "nothing", "history", "refusal")

	a.message("drain-question", "With an empty body or without resume the node drains.", object{{"oneOf", []object{
		{{"type", "null"}},
		{{"type", "object"}, {"properties", object{{"resume", object{{"type", "boolean"}, {"description", "take streams again"}}}}}},
	}}})
	a.message("drain-answer", "", a.schemas.answer(node.DrainAnswer{}))
	a.verb("drain", "Take no new streams, and no part in onion services that nodes share; what is open goes on. Or take part again.", "drain-question", "drain-answer", "refusal")

	a.message("renew-question", "Either all, or the user name of an identity, and if wanted its password.", a.schemas.answer(node.RenewAsk{}))
	a.message("renew-answer", "", a.schemas.answer(node.RenewAnswer{}))
	a.verb("renew", "Use other circuits from now on, for one identity or for all that were used; open streams go on. All at most once in 10 s.", "renew-question", "renew-answer", "refusal")

	a.message("hosting-answer", "", a.schemas.answer(node.HostingAnswer{}))
	a.verb("hosting", "The onion services that the node hosts, with their addresses.", "nothing", "hosting-answer", "refusal")
	a.message("hosting-verify-question", "", a.schemas.answer(node.HostingVerifyRequest{}))
	a.message("hosting-verify-answer", "", a.schemas.answer(node.HostingVerifyAnswer{}))
	a.verb("hosting-verify", "Visit one of them as a client does, and tell what was found. It takes some seconds, and two minutes at most.", "hosting-verify-question", "hosting-verify-answer", "refusal")
	a.message("identities-question", "User names that are to be told beside their tokens.", a.schemas.answer(node.IdentitiesAsk{}))
	a.message("identities-answer", "", a.schemas.answer(node.IdentitiesAnswer{}))
	a.verb("identities", "The identities that use the node: their tokens, circuits and streams.", "identities-question", "identities-answer", "refusal")

	a.message("profile-question", "A kind, and for cpu and mutex how long.", a.schemas.answer(node.ProfileAsk{}))
	a.messages.set("profile-answer", object{
		{"summary", "A profile as go tool pprof reads it."},
		{"contentType", "application/octet-stream"},
		{"payload", object{{"type", "string"}, {"format", "binary"}}},
	})
	a.verb("profile", "A profile of the node itself, as go tool pprof reads it.", "profile-question", "profile-answer", "refusal")

	a.message("guards-retry-answer", "", a.schemas.answer(node.GuardsRetryAnswer{}))
	a.verb("guards-retry", "Try guards that failed again at once. Which guard is used stays the guard specification's choice.", "nothing", "guards-retry-answer", "refusal")

	a.message("timeouts-forget-answer", "", a.schemas.answer(node.TimeoutsForgetAnswer{}))
	a.verb("timeouts-forget", "Forget what was learned of how long circuits take to be built; it is learned anew.", "nothing", "timeouts-forget-answer", "refusal")

	a.discovery()
}

// discovery adds what every NATS micro service answers.
func (a *api) discovery() {
	text := object{{"type", "string"}}
	a.message("service", "A node as a NATS micro service; INFO and STATS add its endpoints.", object{
		{"type", "object"},
		{"properties", object{
			{"name", object{{"type", "string"}, {"const", "chive"}}},
			{"id", text},
			{"version", text},
			{"type", text},
			{"metadata", object{{"type", "object"}, {"properties", object{{"fleet", text}, {"node", text}, {"version", text}}}}},
		}},
		{"required", []string{"name", "id", "version", "type", "metadata"}},
	})
	for _, what := range []string{"PING", "INFO", "STATS"} {
		name, address := "services-"+what, "$SRV."+what+".chive"
		a.channel(name, address, "Every node answers.", nil, "nothing")
		a.reply(name, append(a.saying(address), localOperator), "nothing", "service")
	}
}

// configuration adds the verbs of the node's own operator.
func (a *api) configuration() {
	s := a.schemas
	a.message("config-proposal", "A change, as a whole or not at all; source is control, or reload to read the files again.", s.request(messages.ConfigProposal{}))
	a.message("config-result", "", s.answer(messages.ConfigResult{}))
	a.verb("config-propose", "Change the node's configuration.", "config-proposal", "config-result", "refusal")
	a.message("config-revert-question", "", s.request(messages.ConfigRevert{}))
	a.verb("config-revert", "Go back to a revision: what differs is set as by the operator.", "config-revert-question", "config-result", "refusal")
	a.message("config-view", "", s.answer(messages.ConfigView{}))
	a.verb("config-show", "What is in force, and where it comes from.", "nothing", "config-view", "refusal")
	a.message("config-revisions", "Oldest first.", object{{"type", []string{"array", "null"}}, {"items", s.answer(messages.ConfigRevision{})}})
	a.verb("config-history", "Every revision, and what was refused.", "nothing", "config-revisions", "refusal")
	a.message("config-diff-question", "", s.request(bridge.DiffRequest{}))
	a.message("config-changes", "", object{{"type", []string{"array", "null"}}, {"items", s.answer(messages.ConfigChange{})}})
	a.verb("config-diff", "What differs between two revisions.", "config-diff-question", "config-changes", "refusal")
}
