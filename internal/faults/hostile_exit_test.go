package faults

import (
	"net/netip"

	"chive/internal/relaydouble"
	"chive/tor/cell"
	torcircuit "chive/tor/circuit"
	"chive/tor/handshake"
)

const (
	xoff = cell.RelayXoff
	xon  = cell.RelayXon
)

var (
	connected = cell.AppendConnected(nil, netip.AddrFrom4([4]byte{127, 0, 0, 1}), 60)
	resolved  = cell.AppendResolved(nil, 60, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	faster    = cell.AppendXon(nil, 0)
	noTag     = make([]byte, cell.SendmeTagLen)
	done      = byte(cell.EndDone)
)

// stray is a relay cell on a stream that there is not.
func stray(command cell.RelayCommand, data ...byte) relaydouble.Action {
	return relaydouble.SendRelay(relaydouble.RelayCell{Cmd: command, Stream: 4242, Data: data})
}

// exitAttacks are what the last hop of a circuit may not do.
var exitAttacks = []attack{
	// Handshake: what it says in the answer that the middle brings.
	{name: "grants more cells a SENDME than twice the consensus's", session: idle, script: grants(3, 1, handshake.ExtCCResponse, 1, 63), event: failed, err: handshake.ErrExtension},
	{name: "grants less than half of them", session: idle, script: grants(3, 1, handshake.ExtCCResponse, 1, 15), event: failed, err: handshake.ErrExtension},
	{name: "grants none", session: idle, script: grants(3, 1, handshake.ExtCCResponse, 1, 0), event: failed, err: handshake.ErrExtension},
	{name: "grants twice", session: idle, script: grants(3, 2, handshake.ExtCCResponse, 1, 31, handshake.ExtCCResponse, 1, 31), event: failed, err: handshake.ErrExtension},
	{name: "grants in two bytes", session: idle, script: grants(3, 1, handshake.ExtCCResponse, 2, 0, 31), event: failed, err: handshake.ErrExtension},
	{name: "answers an extension cut short", session: idle, script: grants(3, 1, handshake.ExtCCResponse, 9, 31), event: failed, err: handshake.ErrExtension},
	{name: "answers bytes behind the extensions", session: idle, script: grants(3, 0, 1, 2, 3), event: failed, err: handshake.ErrExtension},
	{name: "answers nothing", session: idle, script: grants(3), event: failed, err: handshake.ErrExtension},
	{name: "does not hold the onion key", session: idle, script: at(relaydouble.AtExtended, 2, relaydouble.CorruptReply), event: forged, err: handshake.ErrAuth},
	{name: "does not hold it, ntor", session: idle.fixedWindows(), script: at(relaydouble.AtExtended, 2, relaydouble.CorruptReply), event: forged, err: handshake.ErrAuth},

	// SENDMEs.
	{name: "SENDME with another tag", session: upload, script: at(relaydouble.AtSendmeOut, 3, relaydouble.CorruptTag), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME with another tag, fixed windows", session: upload.fixedWindows(), script: at(relaydouble.AtSendmeOut, 3, relaydouble.CorruptTag), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME without a tag", session: upload, script: instead(relaydouble.AtSendmeOut, 2, send(cell.RelaySendme)), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME of version 0", session: upload, script: instead(relaydouble.AtSendmeOut, 2, send(cell.RelaySendme, 0)), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME of version 2", session: upload, script: instead(relaydouble.AtSendmeOut, 2, send(cell.RelaySendme, append([]byte{2, 0, 20}, noTag...)...)), event: closed, err: cell.ErrMalformed},
	{name: "SENDME cut short", session: upload, script: instead(relaydouble.AtSendmeOut, 2, send(cell.RelaySendme, 1, 0, 20, 7, 7)), event: closed, err: cell.ErrTruncated},
	{name: "SENDME twice", session: upload, script: after(relaydouble.AtSendmeOut, 2, tagged(3)), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDMEs in another order", session: upload, script: instead(relaydouble.AtSendmeOut, 1), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME for cells that did not come", session: upload, script: at(relaydouble.AtDataIn, 5, relaydouble.SurplusSendmes(1)), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME for nothing", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.SurplusSendmes(1)), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME flood", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.SurplusSendmes(2000)), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME flood, fixed windows", session: idle.fixedWindows(), script: after(relaydouble.AtConnected, 1, relaydouble.SurplusSendmes(2000)), event: closed, err: torcircuit.ErrSendme},
	{name: "SENDME of a stream under congestion control", session: upload, script: at(relaydouble.AtDataIn, 100, on(cell.RelaySendme)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "SENDME of a stream for nothing", session: idle.fixedWindows(), script: after(relaydouble.AtConnected, 1, on(cell.RelaySendme)), event: closed, err: torcircuit.ErrWindow},
	{name: "SENDME flood of a stream", session: upload.fixedWindows(), script: at(relaydouble.AtDataIn, 60, times(1000, on(cell.RelaySendme))), event: closed, err: torcircuit.ErrWindow},
	{name: "SENDME of a stream before CONNECTED", session: idle.fixedWindows(), script: at(relaydouble.AtBegin, 1, on(cell.RelaySendme)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "SENDME of no stream", session: idle, script: at(relaydouble.AtBegin, 1, stray(cell.RelaySendme)), event: closed, err: torcircuit.ErrStreamID},

	// Windows, XOFF and XON.
	{name: "window of a stream overrun", session: deaf.fixedWindows(), script: at(relaydouble.AtBegin, 1, relaydouble.IgnoreWindows), event: closed, err: torcircuit.ErrWindow},
	{name: "XOFF ignored", session: deaf, script: at(relaydouble.AtBegin, 1, relaydouble.IgnoreWindows), event: closed, err: torcircuit.ErrWindow},
	{name: "XOFF for nothing", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.XoffStream), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XOFF too soon", session: upload, script: at(relaydouble.AtDataIn, 20, relaydouble.XoffStream), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XOFF storm", session: upload, script: at(relaydouble.AtDataIn, 900, times(2000, relaydouble.XoffStream)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XOFF and XON storm", session: upload, script: at(relaydouble.AtDataIn, 900, times(2000, relaydouble.XoffStream, relaydouble.XonStream(0))), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XON for nothing", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.XonStream(9)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XON storm", session: upload, script: at(relaydouble.AtDataIn, 900, times(2000, relaydouble.XonStream(9))), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XOFF, fixed windows", session: upload.fixedWindows(), script: at(relaydouble.AtDataIn, 450, relaydouble.XoffStream), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XON, fixed windows", session: upload.fixedWindows(), script: at(relaydouble.AtDataIn, 450, relaydouble.XonStream(0)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XOFF of no stream", session: upload, script: at(relaydouble.AtDataIn, 900, stray(xoff, 0)), event: closed, err: torcircuit.ErrStreamID},
	{name: "XON of no stream", session: upload, script: at(relaydouble.AtDataIn, 900, stray(xon, faster...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "XON of the circuit", session: upload, script: at(relaydouble.AtDataIn, 900, send(xon, faster...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "XOFF of another version", session: upload, script: at(relaydouble.AtDataIn, 900, on(xoff, 1)), event: closed, err: cell.ErrMalformed},
	{name: "XOFF without a version", session: upload, script: at(relaydouble.AtDataIn, 900, on(xoff)), event: closed, err: cell.ErrTruncated},
	{name: "XON cut short", session: upload, script: at(relaydouble.AtDataIn, 900, on(xon, 0, 1)), event: closed, err: cell.ErrTruncated},
	{name: "XON of another version", session: upload, script: at(relaydouble.AtDataIn, 900, on(xon, 3, 0, 0, 0, 0)), event: closed, err: cell.ErrMalformed},
	{name: "XOFF for a name", session: asking, script: at(relaydouble.AtResolve, 1, on(xoff, 0)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "XON for a name", session: asking, script: at(relaydouble.AtResolve, 1, on(xon, faster...)), event: closed, err: torcircuit.ErrUnexpected},

	// Streams.
	{name: "DATA of no bytes", session: download, script: at(relaydouble.AtDataOut, 5, relaydouble.EmptyData), event: closed, err: torcircuit.ErrEmptyData},
	{name: "DATA before CONNECTED", session: idle, script: at(relaydouble.AtBegin, 1, on(cell.RelayData, 1)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "DATA of no stream", session: download, script: at(relaydouble.AtDataOut, 5, stray(cell.RelayData, 1)), event: closed, err: torcircuit.ErrStreamID},
	{name: "DATA of the circuit", session: download, script: at(relaydouble.AtDataOut, 5, send(cell.RelayData, 1)), event: closed, err: torcircuit.ErrStreamID},
	{name: "DATA after END", session: download, script: at(relaydouble.AtDataOut, 5, on(cell.RelayEnd, done), on(cell.RelayData, 1)), event: closed, err: torcircuit.ErrStreamID},
	{name: "DATA for a name", session: asking, script: at(relaydouble.AtResolve, 1, on(cell.RelayData, 1)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "CONNECTED twice", session: download, script: at(relaydouble.AtDataOut, 5, on(cell.RelayConnected, connected...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "CONNECTED of no stream", session: idle, script: at(relaydouble.AtBegin, 1, stray(cell.RelayConnected, connected...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "CONNECTED cut short", session: idle, script: instead(relaydouble.AtConnected, 1, on(cell.RelayConnected, 127, 0, 0)), event: closed, err: cell.ErrTruncated},
	{name: "CONNECTED to an address of no kind", session: idle, script: instead(relaydouble.AtConnected, 1, on(cell.RelayConnected, append([]byte{0, 0, 0, 0, 9}, make([]byte, 20)...)...)), event: closed, err: cell.ErrMalformed},
	{name: "CONNECTED for a name", session: asking, script: at(relaydouble.AtResolve, 1, on(cell.RelayConnected, connected...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "CONNECTED after END", session: idle, script: at(relaydouble.AtBegin, 1, on(cell.RelayEnd, done), on(cell.RelayConnected, connected...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "END twice", session: download, script: at(relaydouble.AtDataOut, 5, times(2, on(cell.RelayEnd, done))), event: closed, err: torcircuit.ErrStreamID},
	{name: "END of no stream", session: download, script: at(relaydouble.AtDataOut, 5, stray(cell.RelayEnd, done)), event: closed, err: torcircuit.ErrStreamID},
	{name: "END of the circuit", session: download, script: at(relaydouble.AtDataOut, 5, send(cell.RelayEnd, done)), event: closed, err: torcircuit.ErrStreamID},
	{name: "RESOLVED unasked", session: idle, script: at(relaydouble.AtBegin, 1, on(cell.RelayResolved, resolved...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "RESOLVED of no stream", session: idle, script: at(relaydouble.AtBegin, 1, stray(cell.RelayResolved, resolved...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "RESOLVED twice", session: asking, script: after(relaydouble.AtResolve, 1, on(cell.RelayResolved, resolved...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "RESOLVED cut short", session: asking, script: instead(relaydouble.AtResolve, 1, on(cell.RelayResolved, resolved[:7]...)), event: closed, err: cell.ErrTruncated},
	{name: "RESOLVED to an address of three bytes", session: asking, script: instead(relaydouble.AtResolve, 1, on(cell.RelayResolved, 4, 3, 1, 2, 3, 0, 0, 0, 9)), event: closed, err: cell.ErrMalformed},

	// Streams that the client ended.
	{name: "half-closed: DATA beyond the window", session: leaving.fixedWindows(), script: at(relaydouble.AtEndIn, 1, times(600, on(cell.RelayData, 1))), event: closed, err: torcircuit.ErrWindow, unseen: true},
	{name: "half-closed: DATA beyond any window", session: leaving, script: at(relaydouble.AtEndIn, 1, times(10_100, on(cell.RelayData, 1))), event: closed, err: torcircuit.ErrStreamID, unseen: true},
	{name: "half-closed: DATA of no bytes", session: leaving, script: at(relaydouble.AtEndIn, 1, on(cell.RelayData)), event: closed, err: torcircuit.ErrEmptyData},
	{name: "half-closed: CONNECTED twice", session: leaving, script: at(relaydouble.AtEndIn, 1, on(cell.RelayConnected, connected...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "half-closed: RESOLVED", session: leaving, script: at(relaydouble.AtEndIn, 1, on(cell.RelayResolved, resolved...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "half-closed: END twice", session: leaving, script: at(relaydouble.AtEndIn, 1, times(2, on(cell.RelayEnd, done))), event: closed, err: torcircuit.ErrStreamID},
	{name: "half-closed: XOFF for nothing", session: leaving, script: at(relaydouble.AtEndIn, 1, relaydouble.XoffStream), event: closed, err: torcircuit.ErrUnexpected},
	{name: "half-closed: XON for nothing", session: leaving, script: at(relaydouble.AtEndIn, 1, relaydouble.XonStream(0)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "half-closed: SENDME under congestion control", session: leaving, script: at(relaydouble.AtEndIn, 1, on(cell.RelaySendme)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "half-closed: SENDME for nothing", session: leaving.fixedWindows(), script: at(relaydouble.AtEndIn, 1, on(cell.RelaySendme)), event: closed, err: torcircuit.ErrWindow},
	{name: "half-closed: BEGIN", session: leaving, script: at(relaydouble.AtEndIn, 1, on(cell.RelayBegin, 1)), event: closed, err: torcircuit.ErrUnexpected},

	// What no relay says to a client, or not on an open circuit.
	{name: "BEGIN", session: idle, script: after(relaydouble.AtConnected, 1, stray(cell.RelayBegin, []byte("a:1\x00")...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "BEGIN on a stream", session: idle, script: after(relaydouble.AtConnected, 1, on(cell.RelayBegin, []byte("a:1\x00")...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "BEGIN_DIR", session: idle, script: after(relaydouble.AtConnected, 1, stray(cell.RelayBeginDir)), event: closed, err: torcircuit.ErrStreamID},
	{name: "RESOLVE", session: idle, script: after(relaydouble.AtConnected, 1, on(cell.RelayResolve, 'a', 0)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "EXTEND2", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayExtend2, 0)), event: closed, err: torcircuit.ErrStreamID},
	{name: "EXTENDED2 unasked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayExtended2, make([]byte, 66)...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "EXTENDED2 on a stream", session: idle, script: after(relaydouble.AtConnected, 1, on(cell.RelayExtended2, make([]byte, 66)...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "TRUNCATE", session: idle, script: after(relaydouble.AtConnected, 1, on(cell.RelayTruncate)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "CONFLUX_LINK unlinked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayConfluxLink, make([]byte, 50)...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "CONFLUX_LINKED unlinked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayConfluxLinked, make([]byte, 50)...)), event: closed, err: torcircuit.ErrStreamID},
	{name: "CONFLUX_LINKED_ACK unlinked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayConfluxLinkedAck)), event: closed, err: torcircuit.ErrStreamID},
	{name: "CONFLUX_SWITCH unlinked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayConfluxSwitch, 0, 0, 0, 9)), event: closed, err: torcircuit.ErrStreamID},
	{name: "CONFLUX_SWITCH on a stream", session: idle, script: after(relaydouble.AtConnected, 1, on(cell.RelayConfluxSwitch, 0, 0, 0, 9)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "INTRODUCE2 without a service", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayIntroduce2, make([]byte, 60)...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "INTRO_ESTABLISHED unasked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayIntroEstablished, 0)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "RENDEZVOUS2 unasked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayRendezvous2, make([]byte, 64)...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "INTRODUCE_ACK unasked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayIntroduceAck, 0, 0)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "PADDING_NEGOTIATED unasked", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayPaddingNegotiated, 0, 2, 1, 1, 0)), event: closed, err: torcircuit.ErrPadding},
	{name: "DROP", session: idle, script: after(relaydouble.AtConnected, 1, send(cell.RelayDrop)), event: closed, err: torcircuit.ErrPadding},
	{name: "unknown command", session: idle, script: after(relaydouble.AtConnected, 1, on(200)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "command 0", session: idle, script: after(relaydouble.AtConnected, 1, send(0)), event: closed, err: torcircuit.ErrStreamID},
	{name: "TRUNCATED", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.Truncated(cell.DestroyRequested)), event: destroyed, err: torcircuit.ErrTruncated},

	// The relay cell itself.
	{name: "another digest", session: download, script: at(relaydouble.AtRelayOut, 40, relaydouble.CorruptDigest), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "499 bytes of data", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.OnStream(relaydouble.RelayCell{Cmd: cell.RelayData, Length: 499})), event: closed, err: cell.ErrRelayLength},
	{name: "65535 bytes of data", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.OnStream(relaydouble.RelayCell{Cmd: cell.RelayData, Length: 65535})), event: closed, err: cell.ErrRelayLength},
	{name: "RELAY_EARLY", session: idle, script: after(relaydouble.AtConnected, 1, relaydouble.OnStream(relaydouble.RelayCell{Cmd: cell.RelayData, Data: []byte{1}, Early: true})), event: closed, err: torcircuit.ErrUnexpected},
}
