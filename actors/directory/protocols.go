package directory

import (
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
)

// supported are the subprotocols that this client has (tor-spec §9). What is added to
// the client is added here.
var supported = mustProtocols("Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 Link=4-5 LinkAuth=3 Microdesc=1-3 Relay=2-4")

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
	if w.unusable {
		w.o.Log.Error("the network requires what this version does not have; it uses the network no more: please update",
			"protocols", required.String())
	}
}
