package directory

import (
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
)

// supported are the subprotocols that this client has (tor-spec §9; names of versions as
// in Arti's tor-protover). What is added to the client is added here, and only what a node
// really uses: a part that no actor runs is not there.
//
//	Conflux=1     sets of circuits to one exit
//	Cons=1-2      consensuses, ed25519 identities in microdescriptors
//	Desc=1-4      2: ed25519; 3: without TAP keys; 4: families by id (proposal 321)
//	DirCache=2    consensus diffs
//	FlowCtrl=1-2  authenticated SENDMEs; congestion control
//	HSDir=2, HSIntro=4, HSRend=2
//	              onion services of version 3
//	Link=4-5      4-byte circuit ids; padding that is negotiated
//	LinkAuth=3    as far as a client goes: it checks the relay's Ed25519 certificates
//	Microdesc=1-3 2: ed25519; 3: without TAP keys
//	Padding=2     the machines of circuits to onion services
//	Relay=2-6     ntor; EXTEND2 with IPv6; ntor-v3; subprotocols asked for in it; Counter Galois Onion
var supported = mustProtocols("Conflux=1 Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=1-3 Padding=2 Relay=2-6")

func mustProtocols(list string) netdoc.Protocols {
	p, err := netdoc.ParseProtocols(list)
	if err != nil {
		panic(err)
	}
	return p
}

// checkProtocols tells what the authorities want of clients and this one does not have.
// Lacking what is required, it uses the network no more (dir-spec §3.4.1; C tor exits):
// such a client would not work, or stand out. It stays up, and asks for the next consensus
// in its time, which may require less.
func (w *worker) checkProtocols() {
	required := w.consensus.RequiredClient.Missing(supported)
	recommended := w.consensus.RecommendedClient.Missing(supported)
	w.unusable = !required.IsEmpty()
	lack := required.String() + "/" + recommended.String()
	if lack == w.lack {
		return
	}
	w.lack = lack
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", &chivev1.ProtocolsMissing{
		Required: required.String(), Recommended: recommended.String(),
	}))
	switch {
	case w.unusable:
		w.o.Log.Error("the network requires what this version does not have; it uses the network no more: please update",
			"protocols", required.String())
	case !recommended.IsEmpty():
		w.o.Log.Warn("the network recommends what this version does not have; it works without, for now",
			"protocols", recommended.String())
	}
}
