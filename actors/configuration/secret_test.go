package configuration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"chive/config"
	"chive/messages"
)

// The credentials of a proxy are in no view, difference, history, event or revision that
// is kept; going back leaves them as they are, and says so where it cannot.
func TestSecretsStayHere(t *testing.T) {
	store := &memory{}
	d := newDesk(t, settings(t, ""), store)
	everything := []any{}
	keep := func(r messages.ConfigResult, err error) messages.ConfigResult {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		everything = append(everything, r)
		return r
	}
	proxy := line("Socks5Proxy", "127.0.0.1:1080")
	r := keep(d.set(proxy, line("Socks5ProxyUsername", "kestrel"), line("Socks5ProxyPassword", "merlin")), nil) // 2
	if !r.Applied || len(r.Changes) != 3 || r.Changes[2].New != config.Redacted || r.Changes[2].Old != "" {
		t.Fatalf("%+v", r)
	}
	keep(d.set(line("LogLevel", "debug")), nil) // 3
	if r = keep(d.set(line("Socks5ProxyPassword", "kestrelmerlin")), nil); !r.Applied || len(r.Changes) != 1 || r.Revision != 4 {
		t.Fatalf("another password: %+v", r)
	}
	// What was shown is not written back.
	if r = keep(d.set(line("Socks5ProxyPassword", config.Redacted)), nil); r.Applied || !strings.Contains(r.Reason, "write the value itself") {
		t.Fatalf("%+v", r)
	}
	// Another option goes back; the password stays the one in force.
	if r = keep(d.RevertConfig(t.Context(), messages.ConfigRevert{Revision: 2})); !r.Applied || d.state.Current().LogLevel != "" || d.state.Current().Socks5ProxyPassword.Reveal() != "kestrelmerlin" {
		t.Fatalf("%+v", r)
	}
	// To before there was one.
	if r = keep(d.RevertConfig(t.Context(), messages.ConfigRevert{Revision: 1})); !r.Applied || d.state.Current().Socks5ProxyPassword.Reveal() != "" || d.state.Current().Socks5Proxy.IsValid() {
		t.Fatalf("%+v", r)
	}
	// And forward: nobody knows it any more.
	if r = keep(d.RevertConfig(t.Context(), messages.ConfigRevert{Revision: 2})); r.Applied || !strings.Contains(r.Reason, "Socks5ProxyPassword was set at revision 2, and a secret is not kept") {
		t.Fatalf("%+v", r)
	}
	// A fleet may not set it at all, and the refusal does not repeat it.
	fleet := messages.ConfigProposal{Source: messages.ConfigFromFleet, FleetRevision: 1, Lines: []messages.ConfigLine{line("Socks5ProxyPassword", "merlin")}}
	if r = keep(d.ProposeConfig(t.Context(), fleet)); r.Applied {
		t.Fatalf("%+v", r)
	}
	// Below the operator the file sets it.
	d.rewrite("Socks5Proxy 127.0.0.1:1080\nSocks5ProxyUsername kestrel\nSocks5ProxyPassword merlin\n")
	if r = keep(d.reload(), nil); !r.Applied {
		t.Fatalf("%+v", r)
	}
	if r = keep(d.RevertConfig(t.Context(), messages.ConfigRevert{Revision: 1})); r.Applied || !strings.Contains(r.Reason, "a layer below") {
		t.Fatalf("%+v", r)
	}

	view, err := d.ConfigView(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string][]string{}
	for _, s := range view.Settings {
		shown[s.Option] = s.Values
	}
	if got := shown["Socks5ProxyPassword"]; len(got) != 1 || got[0] != config.Redacted || len(shown["HTTPSProxyAuthenticator"]) != 0 {
		t.Errorf("shown as %q", got)
	}
	history, err := d.ConfigHistory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diff, err := d.ConfigDiff(t.Context(), 1, 0)
	if err != nil || len(diff) != 3 {
		t.Fatalf("%+v, %v", diff, err)
	}
	d.mu.Lock()
	events := fmt.Sprint(d.events)
	d.mu.Unlock()
	text, err := json.Marshal(append(everything, view, history, diff, store.revisions, events))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"kestrel", "merlin"} {
		if i := strings.Index(string(text), secret); i >= 0 {
			t.Errorf("%s is told: …%.120s", secret, text[max(0, i-60):])
		}
	}
}
