package faults

import (
	"slices"

	"chive/internal/relaydouble"
	"chive/tor/cell"
	torcircuit "chive/tor/circuit"
	"chive/tor/handshake"
)

// middleAttacks are what the second hop may not do: to the handshake that it passes on, to
// the cells of others, and with cells of its own.
var middleAttacks = slices.Concat(middleBuilding, middleTampering, middleSaying())

// second is a relay cell of the middle in place of the EXTENDED2 of the exit.
func second(c relaydouble.RelayCell) []relaydouble.Fault {
	c.FromHop = 2
	return instead(relaydouble.AtExtended, 2, relaydouble.SendRelay(c))
}

var middleBuilding = []attack{
	{name: "grants more cells a SENDME than twice the consensus's", session: idle, script: grants(2, 1, handshake.ExtCCResponse, 1, 63), event: failed, err: handshake.ErrExtension},
	{name: "grants twice", session: idle, script: grants(2, 2, handshake.ExtCCResponse, 1, 31, handshake.ExtCCResponse, 1, 31), event: failed, err: handshake.ErrExtension},
	{name: "does not hold its onion key", session: idle, script: at(relaydouble.AtExtended, 1, relaydouble.CorruptReply), event: forged, err: handshake.ErrAuth},
	{name: "EXTENDED2 cut short", session: idle, script: at(relaydouble.AtExtended, 2, reply(cutShort)), event: failed, err: handshake.ErrShort},
	{name: "EXTENDED2 cut short, ntor", session: idle.fixedWindows(), script: at(relaydouble.AtExtended, 2, reply(cutShort)), event: failed, err: handshake.ErrShort},
	{name: "EXTENDED2 of the zero point", session: idle, script: at(relaydouble.AtExtended, 2, reply(zeroPoint)), event: forged, err: handshake.ErrLowOrder},
	{name: "EXTENDED2 of the zero point, ntor", session: idle.fixedWindows(), script: at(relaydouble.AtExtended, 2, reply(zeroPoint)), event: forged, err: handshake.ErrLowOrder},
	{name: "EXTENDED2 longer than its cell", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayExtended2, Data: []byte{0xff, 0xff, 1}}), event: failed, err: cell.ErrTruncated},
	{name: "EXTENDED2 without data", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayExtended2}), event: failed, err: cell.ErrTruncated},
	{name: "EXTENDED2 on a stream", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayExtended2, Stream: 3, Data: make([]byte, 66)}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "EXTENDED2 in RELAY_EARLY", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayExtended2, Early: true, Data: make([]byte, 66)}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "EXTENDED2 twice", session: idle, script: after(relaydouble.AtExtended, 2, from(2, cell.RelayExtended2, make([]byte, 66)...)), event: closed, err: torcircuit.ErrUnexpected},
	{name: "EXTENDED for EXTEND2", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayExtended, Data: make([]byte, 148)}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "DATA while building", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayData, Stream: 1, Data: []byte{1}}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "CONNECTED while building", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayConnected, Stream: 1}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "SENDME while building", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelaySendme, Data: cell.AppendSendmeV1(nil, noTag)}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "XON while building", session: idle, script: second(relaydouble.RelayCell{Cmd: xon, Stream: 1, Data: faster}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "DROP while building", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayDrop}), event: failed, err: torcircuit.ErrPadding},
	{name: "unknown command while building", session: idle, script: second(relaydouble.RelayCell{Cmd: 99}), event: failed, err: torcircuit.ErrUnexpected},
	{name: "another digest while building", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayExtended2, Data: make([]byte, 66), BadDigest: true}), event: failed, err: torcircuit.ErrUnrecognized},
	{name: "TRUNCATED while building", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayTruncated, Data: []byte{byte(cell.DestroyConnectFailed)}}), event: refused, err: torcircuit.ErrTruncated},
	{name: "TRUNCATED without a reason while building", session: idle, script: second(relaydouble.RelayCell{Cmd: cell.RelayTruncated}), event: refused, err: torcircuit.ErrTruncated},
}

// onItsWay changes the fortieth cell of a download.
func onItsWay(change func([]byte) []byte) []relaydouble.Fault {
	return after(relaydouble.AtRelayOut, 40, relaydouble.OnItsWay(change))
}

// flip is a bit of a cell changed.
func flip(offset int) func([]byte) []byte {
	return func(b []byte) []byte { b[offset] ^= 0x10; return b }
}

var middleTampering = []attack{
	{name: "changes the command of the exit's cell", session: download, script: onItsWay(flip(0)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "changes that it is recognized", session: download, script: onItsWay(flip(1)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "changes its stream", session: download, script: onItsWay(flip(4)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "changes its digest", session: download, script: onItsWay(flip(6)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "changes its length", session: download, script: onItsWay(flip(10)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "changes its last byte", session: download, script: onItsWay(flip(cell.BodyLen - 1)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "sends it twice", session: download, script: onItsWay(func(b []byte) []byte { return append(b, b...) }), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "keeps it", session: download, script: onItsWay(func([]byte) []byte { return nil }), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "puts one of zeros before it", session: download, script: onItsWay(func(b []byte) []byte { return append(make([]byte, cell.BodyLen), b...) }), event: closed, err: torcircuit.ErrUnrecognized},
}

// middleSaying are relay cells of the middle on an open circuit. Whatever the exit may say,
// the middle may not.
func middleSaying() (all []attack) {
	say := func(name string, session session, script []relaydouble.Fault, event string, err error) {
		all = append(all, attack{name: name, session: session, script: script, event: event, err: err})
	}
	// As good as the exit's own, on its stream.
	stream := func(command cell.RelayCommand, data ...byte) []relaydouble.Fault {
		return after(relaydouble.AtConnected, 1, relaydouble.OnStream(relaydouble.RelayCell{FromHop: 2, Cmd: command, Data: data}))
	}
	for _, tt := range []struct {
		command cell.RelayCommand
		data    []byte
	}{
		{cell.RelayData, []byte{1}},
		{cell.RelayEnd, []byte{done}},
		{cell.RelayConnected, connected},
		{cell.RelayResolved, resolved},
		{cell.RelaySendme, nil},
		{xoff, []byte{0}},
		{xon, faster},
		{cell.RelayBegin, []byte("a:1\x00")},
		{cell.RelayBeginDir, nil},
		{cell.RelayResolve, []byte("a\x00")},
	} {
		say(tt.command.String()+" on the exit's stream", idle, stream(tt.command, tt.data...), closed, torcircuit.ErrUnexpected)
	}
	circuit := func(command cell.RelayCommand, data ...byte) []relaydouble.Fault {
		return after(relaydouble.AtConnected, 1, from(2, command, data...))
	}
	for _, tt := range []struct {
		command cell.RelayCommand
		data    []byte
	}{
		{cell.RelayExtend, make([]byte, 212)},
		{cell.RelayExtended, make([]byte, 148)},
		{cell.RelayTruncate, nil},
		{cell.RelayExtend2, []byte{0}},
		{cell.RelayExtended2, make([]byte, 66)},
		{cell.RelayConfluxLink, make([]byte, 50)},
		{cell.RelayConfluxLinked, make([]byte, 50)},
		{cell.RelayConfluxLinkedAck, nil},
		{cell.RelayConfluxSwitch, []byte{0, 0, 0, 1}},
		{cell.RelayEstablishIntro, make([]byte, 100)},
		{cell.RelayEstablishRend, make([]byte, 20)},
		{cell.RelayIntroduce1, make([]byte, 100)},
		{cell.RelayIntroduce2, make([]byte, 100)},
		{cell.RelayRendezvous1, make([]byte, 84)},
		{cell.RelayRendezvous2, make([]byte, 64)},
		{cell.RelayIntroEstablished, []byte{0}},
		{cell.RelayRendEstablished, nil},
		{cell.RelayIntroduceAck, []byte{0, 0, 0}},
		{cell.RelayPaddingNegotiate, []byte{0, 2, 1, 0, 0}},
		{cell.RelayPaddingNegotiated, []byte{0, 2, 1, 1, 0}},
		{0, nil},
		{255, make([]byte, cell.MaxRelayData)},
	} {
		say(tt.command.String(), idle, circuit(tt.command, tt.data...), closed, torcircuit.ErrUnexpected)
	}
	say("the exit's SENDME before it", upload, at(relaydouble.AtSendmeOut, 2, tagged(2)), closed, torcircuit.ErrUnexpected)
	say("the exit's SENDME before it, fixed windows", upload.fixedWindows(), at(relaydouble.AtSendmeOut, 2, tagged(2)), closed, torcircuit.ErrUnexpected)
	say("DROP", idle, circuit(cell.RelayDrop), closed, torcircuit.ErrPadding)
	say("DROP flood", download, at(relaydouble.AtDataOut, 30, times(2000, from(2, cell.RelayDrop))), closed, torcircuit.ErrPadding)
	for _, reason := range []cell.DestroyReason{cell.DestroyNone, cell.DestroyConnectFailed, cell.DestroyChannelClosed, 200} {
		say("TRUNCATED, "+reason.String(), download, at(relaydouble.AtDataOut, 30, from(2, cell.RelayTruncated, byte(reason))), destroyed, torcircuit.ErrTruncated)
	}
	say("TRUNCATED without a reason", idle, circuit(cell.RelayTruncated), destroyed, torcircuit.ErrTruncated)
	cellOf := func(c relaydouble.RelayCell) []relaydouble.Fault {
		c.FromHop = 2
		return after(relaydouble.AtConnected, 1, relaydouble.SendRelay(c))
	}
	say("RELAY_EARLY", idle, cellOf(relaydouble.RelayCell{Cmd: cell.RelayData, Early: true}), closed, torcircuit.ErrUnexpected)
	say("499 bytes of data", idle, cellOf(relaydouble.RelayCell{Cmd: cell.RelayData, Length: 499}), closed, cell.ErrRelayLength)
	say("another digest", idle, cellOf(relaydouble.RelayCell{Cmd: cell.RelayData, BadDigest: true}), closed, torcircuit.ErrUnrecognized)
	return all
}
