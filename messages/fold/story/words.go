package story

import (
	"fmt"
	"strings"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// meanings says, by an outcome's name, what it means to somebody who does not
// know the protocol; where something can be done about it, hints says what.
var meanings = map[string]string{
	"ok":                  "it ended as asked",
	"cancelled":           "the application went away",
	"shutdown":            "this node was stopping",
	"internal":            "a part of chive failed and was started anew: a defect",
	"timeout":             "the other side did not answer in time",
	"overloaded":          "this node was at a limit of its own",
	"backoff":             "it was not tried: the relay failed lately, and is left alone for a while",
	"quarantined":         "it was not tried: requests like it crashed a part of chive",
	"connect-refused":     "the relay's machine refused the TCP connection",
	"connect-unreachable": "there is no route to the relay",
	"tls-failed":          "the TLS handshake with the relay failed",
	"link-protocol":       "the relay did not keep to the link protocol",
	"relay-identity":      "the relay did not prove to be the one asked for",
	"cert-expired":        "a certificate of the relay is not valid at this machine's time",
	"connection-lost":     "the connection to the first relay broke",
	"proxy-failed":        "the proxy that connections to relays go through is away, or does not serve this node",
	"proxy-refused":       "the proxy that connections to relays go through did not connect to the relay",
	"machine-failed":      "this machine has no descriptors or memory left for a connection, or not the address to make it from",
	"handshake-auth":      "a relay of the path could not prove to be the one asked for",
	"circuit-protocol":    "a relay of the path did not keep to the protocol",
	"destroyed":           "a relay of the path ended the circuit",
	"no-path":             "no path through the network satisfies the rules",
	"no-directory":        "too little is known of the network yet",
	"idle":                "it was unused for long enough",
	"replaced":            "something newer took its place",
	"protocols-missing":   "the network requires of clients what this version of chive does not have",
	"exit-policy":         "no exit that could be had allows this target",
	"resolve-failed":      "the exit could not resolve the name",
	"target-refused":      "the target refused the connection",
	"target-unreachable":  "the exit has no route to the target",
	"stream-reset":        "the target reset the connection",
	"stream-protocol":     "the exit did not keep to the stream protocol",
	"refused":             "this node refuses such a request",
	"relay-resource":      "the relay has no resources left or hibernates",
	"client-io":           "the socket of the local application failed",
	"document-invalid":    "a document cannot be parsed",
	"document-untrusted":  "a document lacks trustworthy signatures",
	"document-stale":      "a document is not valid at this machine's time, or there is a newer one",
	"document-too-large":  "a document is larger than allowed",
	"directory-status":    "the directory answered with an error",
	"storage":             "the disk refused",
	"onion-not-found":     "no directory has a descriptor of the onion service",
	"onion-invalid":       "the onion service's descriptor breaks the rules",
	"onion-introduction":  "no introduction point of the onion service was of use",
	"onion-rendezvous":    "the onion service did not come to the rendezvous",
	"onion-auth-missing":  "the onion service is for authorised clients, and there is no key for it",
	"onion-auth-wrong":    "the key for the onion service does not open its descriptor",
	"onion-address":       "it is no address of an onion service of version 3",
	"onion-timeout":       "every introduction point of the onion service was too slow",
}

var hints = map[string]string{
	"internal":            "chive events --kind node,supervisor names the part; please report it",
	"backoff":             "chive guards shows which are tried again when; chive connections --all, how they failed",
	"overloaded":          "chive events --kind node shows what was too much; the limits are options (docs/configuration.md)",
	"quarantined":         "chive events --kind supervisor says for how long; please report it",
	"connect-refused":     "the relay is down, or something between refuses: if it is so with all relays, a firewall",
	"connect-unreachable": "check this machine's network",
	"tls-failed":          "if it is so with all relays, something between interferes",
	"relay-identity":      "if it is so with many relays, something between pretends to be them",
	"cert-expired":        "check this machine's clock; chive connections shows the skew that relays report",
	"proxy-failed":        "it is tried again by itself; check that it runs, and Socks4Proxy, Socks5Proxy or HTTPSProxy with what belongs to them",
	"proxy-refused":       "if it is so with all relays, the proxy has no network, or forbids their ports",
	"machine-failed":      "the log has the system's own words; raise the limit of open files (ulimit -n, LimitNOFILE= of a service), or set OutboundBindAddress to an address that this machine has; it is tried again by itself",
	"document-stale":      "check this machine's clock",
	"no-directory":        "chive status shows how far the node is",
	"protocols-missing":   "chive status shows what is missing; a newer chive has it",
	"no-path":             "chive status shows the directory; options that restrict paths may leave none",
	"exit-policy":         "most exits allow the web's ports; few allow mail's or private addresses",
	"resolve-failed":      "check the name; Tor's exits ask their own resolvers",
	"stream-reset":        "if it is so from the start, nothing listens on that port of the target, or it refuses Tor's exits; of an onion service, nothing listens behind it",
	"target-refused":      "nothing listens on that port of the target, or it refuses Tor's exits; of an onion service, nothing listens behind it",
	"refused":             "the rules of the listener, ClientRejectInternalAddresses, .exit names and what is no host at all are the usual reasons (docs/configuration.md)",
	"storage":             "check space and permissions of the DataDirectory",
	"onion-not-found":     "check the address; the service is down, or too new for the directories to have heard of it",
	"onion-introduction":  "the service is likely down; its directories have an old descriptor",
	"onion-timeout":       "the service is likely down, or under attack",
	"onion-rendezvous":    "the service is overloaded, or it was just stopped; try again",
	"onion-auth-missing":  "make a key (chive onion auth add), and give its public half to the operator of the service",
	"onion-auth-wrong":    "the operator may have withdrawn the key in ClientOnionAuthDir, or was given another one (chive onion auth ls)",
	"onion-address":       "an address has 56 letters and digits before .onion, of which the last tell mistakes: copy it anew; those of 16 no longer work",
}

// meaning is an outcome in words and by its name.
func meaning(o chivev1.Outcome) string {
	name := messages.OutcomeName(o)
	if text := meanings[name]; text != "" {
		return text + " (" + name + ")"
	}
	return name // of a later vocabulary
}

// ended says how an event's subject ended, in its own kind's words.
func (l *Log) ended(e *chivev1.Envelope) string {
	out := outcomeOf(e)
	text := ""
	attached := e.GetKind() == chivev1.Kind_KIND_STREAM && len(l.circuitsOf(e.GetActorId())) > 0
	switch {
	case out == chivev1.Outcome_OUTCOME_STREAM_RESET && attached && !l.connected(e.GetActorId()):
		// Exits say no more when they cannot connect.
		text = "the exit could not connect to the target, which refused or reset the connection"
	case out == chivev1.Outcome_OUTCOME_TIMEOUT && attached:
		text = "the exit did not answer in time"
	case out == chivev1.Outcome_OUTCOME_TIMEOUT && e.GetKind() == chivev1.Kind_KIND_STREAM:
		text = "no circuit could be had for it in time"
	case out == chivev1.Outcome_OUTCOME_EXIT_POLICY && attached:
		text = "the exits' policies refuse the target"
	case out == chivev1.Outcome_OUTCOME_TIMEOUT && e.GetCircuitFailed().GetHop() > 0:
		text = fmt.Sprintf("hop %d did not answer in time", e.GetCircuitFailed().GetHop())
	case out == chivev1.Outcome_OUTCOME_TIMEOUT && e.GetKind() == chivev1.Kind_KIND_CONNECTION:
		text = "the relay did not answer in time"
	case out == chivev1.Outcome_OUTCOME_CONNECTION_LOST && e.GetKind() == chivev1.Kind_KIND_CONNECTION:
		text = "the relay, or the network on the way to it, broke it off"
	default:
		return meaning(out)
	}
	return text + " (" + messages.OutcomeName(out) + ")"
}

// say is one event in words, without its subject.
func (l *Log) say(e *chivev1.Envelope) string {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_StreamRequested:
		r := body.StreamRequested
		return "requested" + given(" by an application on listener ", r.GetListenerId()) + given(", isolation ", r.GetIsolation()) + purpose(r.GetPurpose())
	case *chivev1.Envelope_StreamAttached:
		return fmt.Sprintf("attached to circuit %s, attempt %d", body.StreamAttached.GetCircuitId(), body.StreamAttached.GetAttempt())
	case *chivev1.Envelope_StreamConnected:
		return "connected: the exit reached the target"
	case *chivev1.Envelope_StreamDetached:
		d := body.StreamDetached
		return fmt.Sprintf("given back by circuit %s, to be tried on another: %s", d.GetCircuitId(), l.ended(e))
	case *chivev1.Envelope_StreamEnded:
		s := body.StreamEnded
		return "ended: " + l.ended(e) + fmt.Sprintf("; %s in, %s out", amount(s.GetBytesIn()), amount(s.GetBytesOut()))
	case *chivev1.Envelope_CircuitLaunched:
		c := body.CircuitLaunched
		return fmt.Sprintf("launched, %s, over connection %s%s%s", plural(int(c.GetHops()), "hop"), c.GetConnectionId(), given(", as a leg of ", c.GetSetId()), purpose(c.GetPurpose()))
	case *chivev1.Envelope_CircuitExtended:
		return fmt.Sprintf("extended to hop %d", body.CircuitExtended.GetHop()) + agreed(body.CircuitExtended)
	case *chivev1.Envelope_CircuitOpened:
		return fmt.Sprintf("opened, built in %s", span(body.CircuitOpened.GetTook().AsDuration()))
	case *chivev1.Envelope_CircuitAssigned:
		a := body.CircuitAssigned
		return "built ahead, and taken" + purpose(a.GetPurpose()) + fmt.Sprintf(", with %s", plural(int(a.GetHops()), "hop"))
	case *chivev1.Envelope_CircuitDirtied:
		return "took its first stream; it is now for isolation " + body.CircuitDirtied.GetIsolation()
	case *chivev1.Envelope_CircuitFailed:
		return "failed: " + l.ended(e)
	case *chivev1.Envelope_CircuitClosed:
		return fmt.Sprintf("closed: %s; it carried %s", l.ended(e), plural(int(body.CircuitClosed.GetStreams()), "stream")) + switches(body.CircuitClosed)
	case *chivev1.Envelope_CircuitSetLaunched:
		return fmt.Sprintf("launched, a conflux set of %s to one exit%s", plural(int(body.CircuitSetLaunched.GetLegs()), "circuit"), purpose(body.CircuitSetLaunched.GetPurpose()))
	case *chivev1.Envelope_CircuitLegLinked:
		return fmt.Sprintf("linked circuit %s, which answers in %s", body.CircuitLegLinked.GetCircuitId(), span(body.CircuitLegLinked.GetRoundTrip().AsDuration()))
	case *chivev1.Envelope_CircuitSetLinked:
		return fmt.Sprintf("has all its %s and takes streams, after %s", plural(int(body.CircuitSetLinked.GetLegs()), "leg"), span(body.CircuitSetLinked.GetTook().AsDuration()))
	case *chivev1.Envelope_CircuitLegLost:
		return legLost(body.CircuitLegLost)
	case *chivev1.Envelope_ConnectionDialled:
		return fmt.Sprintf("dialled%s, attempt %d", l.to(e.GetCorrelationId()), body.ConnectionDialled.GetAttempt())
	case *chivev1.Envelope_ConnectionOpened:
		return "opened" + l.to(e.GetCorrelationId()) + ", after " + span(body.ConnectionOpened.GetTook().AsDuration()) + skew(body.ConnectionOpened.GetClockSkew().AsDuration())
	case *chivev1.Envelope_ConnectionFailed:
		return "failed" + l.to(e.GetCorrelationId()) + ": " + l.ended(e)
	case *chivev1.Envelope_ConnectionClosed:
		return fmt.Sprintf("closed: %s; it carried %s", l.ended(e), plural(int(body.ConnectionClosed.GetCircuits()), "circuit"))
	}
	return l.sayOther(e)
}

// agreed is what an extension agreed on with the hop.
func agreed(x *chivev1.CircuitExtended) string {
	text := given(" by ", x.GetHandshake())
	if x.GetCongestionControl() {
		text += ", with congestion control"
	}
	if x.GetCgo() {
		text += " and Counter Galois Onion"
	}
	return text
}

// sayOther is say for what no stream, circuit or connection is about.
func (l *Log) sayOther(e *chivev1.Envelope) string {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_GuardSampled:
		return "became one of the guards to choose from"
	case *chivev1.Envelope_GuardReachable:
		return "can be reached"
	case *chivev1.Envelope_GuardConfirmed:
		return "is confirmed: it comes before the guards that are confirmed later"
	case *chivev1.Envelope_GuardRemoved:
		return "is no guard any more: " + body.GuardRemoved.GetReason()
	case *chivev1.Envelope_CircuitsRenewed:
		return fmt.Sprintf("lets %d circuits take no new streams: others were asked for", body.CircuitsRenewed.GetCircuits())
	case *chivev1.Envelope_GuardsRetried:
		return fmt.Sprintf("tries %d guards that failed again: %s", body.GuardsRetried.GetGuards(), body.GuardsRetried.GetReason())
	case *chivev1.Envelope_PathBiasSuspected:
		return pathBiasWords(body.PathBiasSuspected)
	case *chivev1.Envelope_GuardUnreachable:
		return "counts as unreachable: " + meaning(body.GuardUnreachable.GetOutcome())
	case *chivev1.Envelope_SupervisorStateChanged:
		s := body.SupervisorStateChanged
		if id, ok := strings.CutPrefix(s.GetChild(), "connection/"); ok && s.GetState() == "down" {
			return "connection " + id + " got no answer of any kind any more: it takes no new circuits"
		}
		text := fmt.Sprintf("%s after failure %d", s.GetState(), s.GetAttempt())
		if d := s.GetDelay().AsDuration(); d > 0 {
			text += ": not tried again for " + span(d)
		}
		return text
	case *chivev1.Envelope_BreakerOpened:
		b := body.BreakerOpened
		return fmt.Sprintf("the breaker opened after %s in a row: not tried for %s", plural(int(b.GetInARow()), "failure"), span(b.GetRetryAfter().AsDuration()))
	case *chivev1.Envelope_BreakerHalfOpened:
		return "the breaker lets one attempt through"
	case *chivev1.Envelope_BreakerClosed:
		return "the breaker closed: it works again"
	case *chivev1.Envelope_RetriesExhausted:
		return fmt.Sprintf("%s in vain; from now on at the longest wait", plural(int(body.RetriesExhausted.GetAttempts()), "attempt"))
	case *chivev1.Envelope_InputQuarantined:
		q := body.InputQuarantined
		return fmt.Sprintf("%ss that crashed %s are refused for %s", q.GetInput(), q.GetChild(), span(q.GetLasts().AsDuration()))
	case *chivev1.Envelope_ActorFailed:
		return "failed: a defect in chive (" + body.ActorFailed.GetReason() + ")"
	case *chivev1.Envelope_NodeStarted:
		return "started"
	case *chivev1.Envelope_NodeStopping:
		return "began to stop"
	case *chivev1.Envelope_BootstrapAdvanced:
		return fmt.Sprintf("bootstrapped to %d %%: %s", body.BootstrapAdvanced.GetPercent(), body.BootstrapAdvanced.GetSummary())
	case *chivev1.Envelope_EventsDropped:
		return plural(int(body.EventsDropped.GetCount()), "event") + " lost here"
	case *chivev1.Envelope_MemoryPressure:
		if m := body.MemoryPressure; m.GetOver() {
			return fmt.Sprintf("%s waited in queues, more than MaxMemInQueues: %s ended, the oldest first", amount(m.GetBytes()), plural(int(m.GetShed()), "stream"))
		}
		return "what waits in queues is within limits again"
	case *chivev1.Envelope_JournalChanged:
		return journalWords(body.JournalChanged)
	case *chivev1.Envelope_ProtocolsMissing:
		return protocolWords(body.ProtocolsMissing)
	case *chivev1.Envelope_ServiceDescriptorFetched:
		f := body.ServiceDescriptorFetched
		if f.GetOutcome() == chivev1.Outcome_OUTCOME_OK {
			return "got a descriptor of the service from a directory, in " + span(f.GetTook().AsDuration())
		}
		return "got no descriptor of the service from a directory: " + meaning(f.GetOutcome())
	case *chivev1.Envelope_ServiceIntroduced:
		if i := body.ServiceIntroduced; i.GetOutcome() != chivev1.Outcome_OUTCOME_OK {
			return "was not introduced to the service: " + meaning(i.GetOutcome())
		}
		return "had the answer of an introduction point of the service"
	case *chivev1.Envelope_ServiceJoined:
		return fmt.Sprintf("met the service on circuit %s, after %s", body.ServiceJoined.GetCircuitId(), span(body.ServiceJoined.GetTook().AsDuration()))
	case *chivev1.Envelope_ServiceFailed:
		return "could not meet the service: " + meaning(body.ServiceFailed.GetOutcome())
	case *chivev1.Envelope_VanguardAdded:
		return "took a relay into the " + layer(body.VanguardAdded.GetLayer()) + " layer of guards"
	case *chivev1.Envelope_VanguardRemoved:
		return "took a relay out of the " + layer(body.VanguardRemoved.GetLayer()) + " layer of guards: " + body.VanguardRemoved.GetReason()
	case *chivev1.Envelope_DocumentRejected:
		return fmt.Sprintf("rejected a %s: %s", messages.DocumentName(body.DocumentRejected.GetKind()), body.DocumentRejected.GetReason())
	}
	return l.sayHosting(e)
}

// layer names a layer of guards.
func layer(n uint32) string {
	if n == 3 {
		return "third"
	}
	return "second"
}

func legLost(leg *chivev1.CircuitLegLost) string {
	which := "leg"
	if !leg.GetLinked() {
		which = "a circuit that was to be a leg,"
	}
	return fmt.Sprintf("lost %s %s: %s", which, leg.GetCircuitId(), meaning(leg.GetOutcome()))
}

// switches tells of a conflux set how often it went from leg to leg.
func switches(c *chivev1.CircuitClosed) string {
	if c.GetSwitchesIn()+c.GetSwitchesOut() == 0 {
		return ""
	}
	return fmt.Sprintf("; the exit went on over another leg %s, this node %s", often(c.GetSwitchesIn()), often(c.GetSwitchesOut()))
}

// often is how many times something was done.
func often(n uint64) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func pathBiasWords(b *chivev1.PathBiasSuspected) string {
	what := "were built and stayed whole"
	if b.GetOf() == "used-circuits" {
		what = "that were used were answered"
	}
	return fmt.Sprintf("fails many circuits (%s): of %d, %d %s; it may be choosing which live, or be overloaded",
		b.GetLevel(), b.GetAttempts(), b.GetSuccesses(), what)
}

// to names the relay of a connection, which may be a guard.
func (l *Log) to(relay string) string {
	switch {
	case relay == "":
		return ""
	case l.Has(Subject{chivev1.Kind_KIND_GUARD, relay}):
		return " to guard " + relay
	}
	return " to relay " + relay
}

func given(before, what string) string {
	if what == "" {
		return ""
	}
	return before + what
}

func purpose(p chivev1.Purpose) string {
	switch p {
	case chivev1.Purpose_PURPOSE_DIRECTORY:
		return ", for the directory"
	case chivev1.Purpose_PURPOSE_ONION_DIRECTORY:
		return ", for an onion service's descriptor"
	case chivev1.Purpose_PURPOSE_INTRODUCTION:
		return ", to an introduction point"
	case chivev1.Purpose_PURPOSE_RENDEZVOUS:
		return ", for an onion service"
	case chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION:
		return ", to be an introduction point of an onion service here"
	case chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS:
		return ", for a client of an onion service here"
	case chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY:
		return ", to publish an onion service"
	case chivev1.Purpose_PURPOSE_ONION_STEM:
		return ", ahead of what an onion service will need"
	}
	return ""
}

func skew(d time.Duration) string {
	if d > -time.Minute && d < time.Minute {
		return ""
	}
	return fmt.Sprintf("; its clock differs by %v", d)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// times is how often something came about, after what it lasted in all.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return "in " + plural(n, "time")
}

func amount(n uint64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n == 0:
		return "nothing"
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// span is a duration as precisely as it matters.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return "less than 10ms"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// kindWord is the kind of an event's subject, in words.
func kindWord(k chivev1.Kind) string {
	if k == chivev1.Kind_KIND_SUPERVISOR {
		return "supervision"
	}
	return messages.KindToken(k)
}

// state is what its machine says of a subject.
func (l *Log) state(s Subject) string {
	n := &fold.Node{}
	for _, e := range l.actors[s] {
		n.Apply(e)
	}
	switch s.Kind {
	case chivev1.Kind_KIND_STREAM:
		if x := n.Streams[s.ID]; x != nil {
			return x.State.String()
		}
	case chivev1.Kind_KIND_CIRCUIT:
		if x := n.Circuits[s.ID]; x != nil {
			return x.State.String()
		}
	case chivev1.Kind_KIND_CONNECTION:
		if x := n.Connections[s.ID]; x != nil {
			return x.State.String()
		}
	case chivev1.Kind_KIND_GUARD:
		for _, g := range n.GuardViews() {
			return g.State
		}
	}
	return "unknown"
}

func journalWords(j *chivev1.JournalChanged) string {
	switch j.GetState() {
	case "ready":
		return "the journal can be written again"
	case "damaged":
		return "the journal was damaged; what could be verified of it was carried over"
	case "unused":
		return "the node goes on without the journal (" + j.GetReason() + ")"
	default:
		return "the journal cannot be written (" + j.GetReason() + "); what is to be kept waits"
	}
}

func protocolWords(m *chivev1.ProtocolsMissing) string {
	switch {
	case m.GetRequired() != "":
		return "lacks what the network requires of clients, and uses it no more: " + m.GetRequired()
	case m.GetRecommended() != "":
		return "lacks what the network recommends to clients: " + m.GetRecommended()
	default:
		return "has all that the network requires of clients"
	}
}
