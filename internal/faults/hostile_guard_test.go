package faults

import (
	"bytes"
	"fmt"
	"slices"

	"chive/internal/relaydouble"
	"chive/tor/cell"
	torcircuit "chive/tor/circuit"
	"chive/tor/handshake"
)

// guardAttacks are what the first hop may not do: while the connection is made, on it, while
// the circuit is built, and on it.
var guardAttacks = slices.Concat(guardGreeting(), guardConnection(), guardBuilding, guardCircuit())

// guardGreeting are link handshakes that are none.
func guardGreeting() (all []attack) {
	for _, tt := range []struct {
		name   string
		change func(cells [][]byte) [][]byte // VERSIONS, CERTS, AUTH_CHALLENGE, NETINFO
	}{
		{"no CERTS", func(c [][]byte) [][]byte { return slices.Delete(c, 1, 2) }},
		{"no AUTH_CHALLENGE", func(c [][]byte) [][]byte { return slices.Delete(c, 2, 3) }},
		{"no VERSIONS", func(c [][]byte) [][]byte { return c[1:] }},
		{"VERSIONS twice", func(c [][]byte) [][]byte { return slices.Insert(c, 1, c[0]) }},
		{"CERTS twice", func(c [][]byte) [][]byte { return slices.Insert(c, 2, c[1]) }},
		{"AUTH_CHALLENGE twice", func(c [][]byte) [][]byte { return slices.Insert(c, 3, c[2]) }},
		{"NETINFO first", func(c [][]byte) [][]byte { return [][]byte{c[0], c[3], c[1], c[2]} }},
		{"no version in common", func(c [][]byte) [][]byte { c[0] = cell.AppendVersions(nil, 1, 2, 3, 999); return c }},
		{"VERSIONS of half a version", func(c [][]byte) [][]byte { c[0] = []byte{0, 0, byte(cell.Versions), 0, 3, 0, 4, 0}; return c }},
		{"VERSIONS of 64 KiB", func(c [][]byte) [][]byte { c[0] = []byte{0, 0, byte(cell.Versions), 0xff, 0xff}; return c }},
		{"CERTS cut short", func(c [][]byte) [][]byte { c[1] = cell.AppendVariable(nil, 0, cell.Certs, []byte{5, 1}); return c }},
		{"CERTS on a circuit", func(c [][]byte) [][]byte { c[1][3] = 1; return c }},
		{"CERTS of 64 KiB", func(c [][]byte) [][]byte { c[1] = []byte{0, 0, 0, 0, byte(cell.Certs), 0xff, 0xff}; return c }},
		{"AUTH_CHALLENGE cut short", func(c [][]byte) [][]byte {
			c[2] = cell.AppendVariable(nil, 0, cell.AuthChallenge, make([]byte, 9))
			return c
		}},
		{"NETINFO of an endless address", func(c [][]byte) [][]byte {
			c[3] = cell.AppendFixed(nil, 0, cell.Netinfo, slices.Concat([]byte{0, 0, 0, 0, 4, 4, 1, 2, 3, 4, 255}, bytes.Repeat([]byte{4, 255}, 240)))
			return c
		}},
		{"a RELAY cell before NETINFO", func(c [][]byte) [][]byte {
			return slices.Insert(c, 3, cell.AppendFixed(nil, 1<<31, cell.Relay, nil))
		}},
		{"padding without end", func(c [][]byte) [][]byte {
			pad := cell.AppendVariable(nil, 0, cell.Vpadding, make([]byte, cell.MaxVariableLen))
			return slices.Insert(c, 1, bytes.Repeat(pad, 8))
		}},
	} {
		all = append(all, attack{
			name: "greets with " + tt.name, session: idle, event: noLink,
			options: func(o *relaydouble.Options) { o.Greeting = tt.change },
		})
	}
	return all
}

// guardConnection are cells that break the connection, and all circuits with it.
func guardConnection() (all []attack) {
	say := func(name string, do ...relaydouble.Action) {
		all = append(all, attack{name: name, session: download, script: at(relaydouble.AtDataOut, 30, do...), event: linkOver})
	}
	for _, c := range []struct {
		command cell.Command
		body    []byte
	}{
		{cell.Create, make([]byte, cell.BodyLen)},
		{cell.Create2, cell.AppendCreate2(nil, handshake.TypeNtor, make([]byte, 84))},
		{cell.CreateFast, make([]byte, 20)},
		{cell.Netinfo, make([]byte, 20)},
		{cell.PaddingNegotiate, []byte{0, 2, 0, 0, 0, 0}},
		{cell.Versions, []byte{0, 4, 0, 5}},
		{cell.Certs, []byte{0}},
		{cell.AuthChallenge, make([]byte, 36)},
		{cell.Authenticate, make([]byte, 100)},
	} {
		say(c.command.String()+" on an open connection", relaydouble.CellOn(0, c.command, c.body))
		if !c.command.Variable() {
			say(c.command.String()+" on a circuit", relaydouble.Cell(c.command, c.body))
		}
	}
	say("RELAY on a circuit that never was", relaydouble.CellOn(1<<31|1, cell.Relay, nil))
	say("RELAY on circuit 0", relaydouble.CellOn(0, cell.Relay, nil))
	say("RELAY on a circuit of its own", relaydouble.CellOn(7, cell.Relay, nil))
	say("DESTROY on a circuit that never was", relaydouble.CellOn(1<<31|1, cell.Destroy, []byte{1}))
	say("CREATED2 on a circuit that never was", relaydouble.CellOn(1<<31|1, cell.Created2, make([]byte, 66)))
	say("VPADDING of 64 KiB", relaydouble.Raw([]byte{0, 0, 0, 0, byte(cell.Vpadding), 0xff, 0xff}))
	say("VERSIONS of 64 KiB", relaydouble.Raw([]byte{0, 0, 0, 0, byte(cell.Versions), 0xff, 0xff}))
	say("unknown variable command of 64 KiB", relaydouble.Raw([]byte{0, 0, 0, 0, 250, 0xff, 0xff}))
	say("no cells at all", relaydouble.Raw(bytes.Repeat([]byte{0xff}, 4096)))
	return all
}

// answer is a cell of the guard in place of CREATED2.
func answer(command cell.Command, body []byte) []relaydouble.Fault {
	return instead(relaydouble.AtCreated, 1, relaydouble.Cell(command, body))
}

var guardBuilding = []attack{
	{name: "grants more cells a SENDME than twice the consensus's", session: idle, script: grants(1, 1, handshake.ExtCCResponse, 1, 63), event: failed, err: handshake.ErrExtension},
	{name: "grants twice", session: idle, script: grants(1, 2, handshake.ExtCCResponse, 1, 31, handshake.ExtCCResponse, 1, 31), event: failed, err: handshake.ErrExtension},
	{name: "does not hold its onion key", session: idle, script: at(relaydouble.AtCreated, 1, relaydouble.CorruptReply), event: forged, err: handshake.ErrAuth},
	{name: "does not hold it, ntor", session: idle.fixedWindows(), script: at(relaydouble.AtCreated, 1, relaydouble.CorruptReply), event: forged, err: handshake.ErrAuth},
	{name: "CREATED2 cut short", session: idle, script: at(relaydouble.AtCreated, 1, reply(cutShort)), event: failed, err: handshake.ErrShort},
	{name: "CREATED2 of the zero point", session: idle, script: at(relaydouble.AtCreated, 1, reply(zeroPoint)), event: forged, err: handshake.ErrLowOrder},
	{name: "CREATED2 longer than its cell", session: idle, script: answer(cell.Created2, []byte{0xff, 0xff}), event: failed, err: cell.ErrTruncated},
	{name: "CREATED2 without data", session: idle, script: answer(cell.Created2, nil), event: failed, err: handshake.ErrShort},
	{name: "CREATED2 twice", session: idle, script: after(relaydouble.AtCreated, 1, relaydouble.Cell(cell.Created2, make([]byte, 66))), event: failed, err: torcircuit.ErrUnexpected},
	{name: "CREATED_FAST for CREATE2", session: idle, script: answer(cell.CreatedFast, make([]byte, 40)), event: failed, err: torcircuit.ErrUnexpected},
	{name: "CREATED for CREATE2", session: idle, script: answer(cell.Created, make([]byte, 148)), event: failed, err: torcircuit.ErrUnexpected},
	{name: "RELAY for CREATE2", session: idle, script: answer(cell.Relay, make([]byte, cell.BodyLen)), event: failed, err: torcircuit.ErrUnexpected},
	{name: "RELAY_EARLY for CREATE2", session: idle, script: answer(cell.RelayEarly, make([]byte, cell.BodyLen)), event: failed, err: torcircuit.ErrUnexpected},
	{name: "DESTROY for CREATE2", session: idle, script: answer(cell.Destroy, []byte{byte(cell.DestroyResourceLimit)}), event: refused, err: torcircuit.ErrDestroyed},
	{name: "CREATED2 for EXTEND2", session: idle, script: instead(relaydouble.AtExtended, 1, relaydouble.Cell(cell.Created2, make([]byte, 66))), event: failed, err: torcircuit.ErrUnexpected},
	{name: "DESTROY for EXTEND2", session: idle, script: instead(relaydouble.AtExtended, 1, relaydouble.Cell(cell.Destroy, []byte{byte(cell.DestroyConnectFailed)})), event: refused, err: torcircuit.ErrDestroyed},
	{name: "EXTENDED2 in the middle's place", session: idle, script: instead(relaydouble.AtExtended, 2, from(1, cell.RelayExtended2, make([]byte, 66)...)), event: failed, err: torcircuit.ErrUnexpected},
	{name: "EXTENDED2 twice", session: idle, script: after(relaydouble.AtExtended, 1, from(1, cell.RelayExtended2, make([]byte, 66)...)), event: failed, err: torcircuit.ErrUnexpected},
	{name: "TRUNCATED for EXTEND2", session: idle, script: instead(relaydouble.AtExtended, 1, from(1, cell.RelayTruncated, 8)), event: refused, err: torcircuit.ErrTruncated},
}

// guardCircuit are cells on an open circuit.
func guardCircuit() (all []attack) {
	say := func(name, event string, err error, do ...relaydouble.Action) {
		all = append(all, attack{name: name, session: download, script: at(relaydouble.AtDataOut, 30, do...), event: event, err: err})
	}
	say("CREATED2 on an open circuit", closed, torcircuit.ErrUnexpected, relaydouble.Cell(cell.Created2, make([]byte, 66)))
	say("CREATED_FAST on an open circuit", closed, torcircuit.ErrUnexpected, relaydouble.Cell(cell.CreatedFast, make([]byte, 40)))
	say("CREATED on an open circuit", closed, torcircuit.ErrUnexpected, relaydouble.Cell(cell.Created, make([]byte, 148)))
	say("RELAY of zeros", closed, torcircuit.ErrUnrecognized, relaydouble.Cell(cell.Relay, nil))
	say("RELAY_EARLY of zeros", closed, torcircuit.ErrUnexpected, relaydouble.Cell(cell.RelayEarly, nil))
	for _, reason := range []cell.DestroyReason{
		cell.DestroyNone, cell.DestroyProtocol, cell.DestroyInternal, cell.DestroyRequested, cell.DestroyHibernating,
		cell.DestroyResourceLimit, cell.DestroyChannelClosed, cell.DestroyFinished, 12, 255,
	} {
		say(fmt.Sprintf("DESTROY, reason %d", uint8(reason)), destroyed, torcircuit.ErrDestroyed, relaydouble.Cell(cell.Destroy, []byte{byte(reason)}))
	}
	say("DATA on the exit's stream", closed, torcircuit.ErrUnexpected, relaydouble.OnStream(relaydouble.RelayCell{FromHop: 1, Cmd: cell.RelayData, Data: []byte{1}}))
	say("SENDME", closed, torcircuit.ErrUnexpected, from(1, cell.RelaySendme, cell.AppendSendmeV1(nil, noTag)...))
	say("XOFF", closed, torcircuit.ErrUnexpected, relaydouble.OnStream(relaydouble.RelayCell{FromHop: 1, Cmd: xoff, Data: []byte{0}}))
	say("DROP", closed, torcircuit.ErrPadding, from(1, cell.RelayDrop))
	say("DROP flood", closed, torcircuit.ErrPadding, times(2000, from(1, cell.RelayDrop)))
	say("PADDING_NEGOTIATED unasked", closed, torcircuit.ErrUnexpected, from(1, cell.RelayPaddingNegotiated, 0, 2, 1, 1, 0))
	say("CONFLUX_LINKED", closed, torcircuit.ErrUnexpected, from(1, cell.RelayConfluxLinked, make([]byte, 50)...))
	say("TRUNCATED", destroyed, torcircuit.ErrTruncated, from(1, cell.RelayTruncated, 8))
	for name, change := range map[string]func([]byte) []byte{
		"changes a bit": flip(300), "sends a cell twice": func(b []byte) []byte { return append(b, b...) }, "keeps a cell": func([]byte) []byte { return nil },
	} {
		all = append(all, attack{name: name, session: download, script: onItsWay(change), event: closed, err: torcircuit.ErrUnrecognized})
	}
	return all
}
