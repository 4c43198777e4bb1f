package faults

import (
	"slices"
	"testing"

	"chive/internal/relaydouble"
	"chive/tor/cell"
	torcircuit "chive/tor/circuit"
	"chive/tor/handshake"
)

// underCGO are the attacks that end with another error there: format V1 has no stream id in
// a circuit's message, wants one in a stream's, and knows its commands.
var underCGO = map[string]error{
	"exit/SENDME of a stream under congestion control":  torcircuit.ErrSendme,
	"exit/SENDME of no stream":                          torcircuit.ErrSendme,
	"exit/half-closed: SENDME under congestion control": torcircuit.ErrSendme,
	"exit/XON of the circuit":                           cell.ErrMalformed,
	"exit/DATA of the circuit":                          cell.ErrMalformed,
	"exit/END of the circuit":                           cell.ErrMalformed,
	"exit/EXTENDED2 on a stream":                        torcircuit.ErrStreamID,
	"exit/TRUNCATE":                                     torcircuit.ErrStreamID,
	"exit/CONFLUX_SWITCH on a stream":                   torcircuit.ErrStreamID,
	"exit/unknown command":                              cell.ErrMalformed,
	"exit/command 0":                                    cell.ErrMalformed,
	"middle/EXTENDED2 on a stream":                      handshake.ErrShort,
	"middle/unknown command while building":             cell.ErrMalformed,
	"middle/RELAY_COMMAND_0":                            cell.ErrMalformed,
	"middle/RELAY_COMMAND_255":                          cell.ErrMalformed,
	"middle/499 bytes of data":                          cell.ErrMalformed,
}

// cgoAttacks are those that only Counter Galois Onion and format V1 have.
var cgoAttacks = []attack{
	{name: "the guard grants it without congestion control", session: idle, script: grants(1, 0), event: failed, err: handshake.ErrExtension},
	{name: "the middle does", session: idle, script: grants(2, 0), event: failed, err: handshake.ErrExtension},
	{name: "the exit does", session: idle, script: grants(3, 0), event: failed, err: handshake.ErrExtension},
	{name: "a relay asks for subprotocols itself", session: idle, script: grants(2, 2, handshake.ExtCCResponse, 1, 31, handshake.ExtSubprotocols, 2, 2, 6), event: failed, err: handshake.ErrExtension},
	{name: "a relay asks for congestion control itself", session: idle, script: grants(3, 2, handshake.ExtCCRequest, 0, handshake.ExtCCResponse, 1, 31), event: failed, err: handshake.ErrExtension},
	{name: "SENDME with a tag of tor1's length", session: upload, script: instead(relaydouble.AtSendmeOut, 2, send(cell.RelaySendme, cell.AppendSendmeV1(nil, noTag)...)), event: closed, err: cell.ErrMalformed},
	{name: "SENDME with a tag of zeros", session: upload, script: instead(relaydouble.AtSendmeOut, 2, send(cell.RelaySendme, cell.AppendSendmeV1(nil, noTag[:cell.SendmeTagLenCGO])...)), event: closed, err: torcircuit.ErrSendme},
	{name: "489 bytes of data", session: download, script: after(relaydouble.AtConnected, 1, relaydouble.OnStream(relaydouble.RelayCell{Cmd: cell.RelayData, Data: []byte{1}, Length: 489})), event: closed, err: cell.ErrRelayLength},
	{name: "491 bytes for the circuit", session: download, script: after(relaydouble.AtConnected, 1, relaydouble.SendRelay(relaydouble.RelayCell{Cmd: cell.RelaySendme, Data: []byte{1}, Length: 491})), event: closed, err: cell.ErrRelayLength},
	{name: "a bit of the tag", session: download, script: onItsWay(flip(0)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "a bit of the content", session: download, script: onItsWay(flip(100)), event: closed, err: torcircuit.ErrUnrecognized},
	{name: "a bit of the last byte", session: download, script: onItsWay(flip(cell.BodyLen - 1)), event: closed, err: torcircuit.ErrUnrecognized},
}

// All that hostile relays do is found out under Counter Galois Onion as well, and what only
// it has.
func TestHostileRelaysUnderCGO(t *testing.T) {
	keys := threeKeys(t)
	overridden := 0
	for name, attacks := range map[string][]attack{"exit": exitAttacks, "middle": middleAttacks, "guard": guardAttacks, "only here": cgoAttacks} {
		for _, a := range slices.Clone(attacks) {
			if a.session.fixed {
				continue
			}
			a.session.cgo = true
			if err, ok := underCGO[name+"/"+a.name]; ok {
				a.err = err
				overridden++
			}
			t.Run(name+"/"+a.name, func(t *testing.T) { a.play(t, keys) })
		}
	}
	if overridden != len(underCGO) {
		t.Errorf("%d of %d attacks with another error were found", overridden, len(underCGO))
	}
}
