package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// secretLines sets every secret, with what it needs beside it.
const secretLines = "Socks5Proxy 127.0.0.1\nSocks5ProxyUsername kestrel\nSocks5ProxyPassword merlin\n"

const secretLinesHTTP = "HTTPSProxy 127.0.0.1\nHTTPSProxyAuthenticator kestrel:merlin\n"

// told: does a text tell of a secret?
func told(text string) bool {
	return strings.Contains(text, "kestrel") || strings.Contains(text, "merlin")
}

func TestSecretsAreShownNowhere(t *testing.T) {
	none, socks, http := load(t, ""), load(t, secretLines), load(t, secretLinesHTTP)
	if socks.Socks5ProxyUsername.Reveal() != "kestrel" || socks.Socks5ProxyPassword.Reveal() != "merlin" || http.HTTPSProxyAuthenticator.Reveal() != "kestrel:merlin" {
		t.Fatal("the secrets are not what was set")
	}
	var seen []string
	for _, c := range []*Config{socks, http} {
		for _, s := range Settings(c, nil) {
			if s.Option.Secret && len(s.Values) > 0 {
				seen = append(seen, s.Option.Name)
				if !slices.Equal(s.Values, []string{Redacted}) || !slices.Equal(s.Option.Values(c), s.Values) || s.Option.Values(none) != nil {
					t.Errorf("%s is shown as %q", s.Option.Name, s.Values)
				}
			}
		}
		both := append(Diff(none, c), Diff(c, none)...)
		asJSON, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), fmt.Sprintf("%+v", both), string(asJSON)} {
			if told(text) {
				t.Errorf("%.300s", text)
			}
		}
	}
	for _, o := range Options() {
		if o.Secret != slices.Contains(seen, o.Name) {
			t.Errorf("%s is a secret: %v; looked at: %q", o.Name, o.Secret, seen)
		}
		if o.Secret && (AllowRemote(o.Name) == nil || o.Class == Restart) {
			t.Errorf("%s: a fleet's document could hold it, or it would wait for a restart", o.Name)
		}
	}
	// A change of one is a change, though both sides are shown alike.
	other := load(t, strings.Replace(secretLines, "merlin", "hobby", 1))
	if d := Diff(socks, other); len(d) != 1 || d[0].Option.Name != "Socks5ProxyPassword" || d[0].Old[0] != Redacted || d[0].New[0] != Redacted {
		t.Errorf("%+v", d)
	}
	if applied, waiting := Apply(socks, other); applied.Socks5ProxyPassword != other.Socks5ProxyPassword || len(waiting) != 0 {
		t.Error("a new password is not taken over")
	}
}

// What chive showed is refused as a value, by every layer.
func TestRedactedIsNoSecret(t *testing.T) {
	var shown strings.Builder
	for _, s := range Settings(load(t, secretLines), map[string]Origin{}) {
		if s.Option.Secret || strings.HasPrefix(s.Option.Name, "Socks5") {
			shown.WriteString(Torrc(s.Option.Name, s.Values))
		}
	}
	_, err := loadFrom(oneFile(shown.String()), "torrc", nil)
	if !errors.Is(err, ErrValue) || strings.Count(err.Error(), "stands for a value that chive does not show") != 2 {
		t.Errorf("%v of\n%s", err, shown.String())
	}
	for _, s := range []*Source{
		{Environment: []string{"CHIVE_SOCKS5PROXYPASSWORD=" + Redacted}},
		{Flags: []Override{{"Socks5ProxyPassword", Redacted}}},
	} {
		if _, err := s.Load(); !errors.Is(err, ErrValue) {
			t.Error(err)
		}
	}
	if _, err := (&Source{}).Load(Live{Name: "Socks5ProxyPassword", Values: []string{Redacted}, Origin: FromOperator}); !errors.Is(err, ErrValue) {
		t.Error(err)
	}
}

// No mistake repeats a secret: neither in its own line nor in one that was meant so.
func TestMistakesTellNoSecret(t *testing.T) {
	for _, torrc := range []string{
		`Socks5ProxyPassword "kes"trelmerlin kestrel`, `Socks5ProxyPassword "\kestrel"`, `Socks5ProxyPassword "merlin`,
		"Socks5ProxyPassword " + strings.Repeat("merlin", 50), "Socks5ProxyPassword mer\x01lin", "Socks5ProxyPassword merlin",
		"Socks5ProxyPassword=merlin", "Socks5ProxyPasswrd merlin", "Socks5ProxyPassword=merlin \"kestrel", "+Socks5ProxyPassword=merlin",
		"Socks5Proxy kestrel:merlin@127.0.0.1:1080", "HTTPSProxy http://kestrel:merlin@127.0.0.1", "Socks5ProxyUsername merlin\nSocks5ProxyUsername kestrel",
		"HTTPSProxyAuthenticator kestrel:merlin", "Socks5ProxyPassword a \\\n merlin # kestrel",
	} {
		_, err := loadFrom(oneFile(torrc), "torrc", nil)
		if err == nil || told(err.Error()) {
			t.Errorf("%q: %v", torrc, err)
		}
	}
	_, err := loadFrom(oneFile("Socks5ProxyPassword=merlin"), "torrc", nil)
	if err == nil || err.Error() != "torrc:1: Socks5ProxyPassword=…: unknown option (did you mean Socks5ProxyPassword?)" {
		t.Error(err)
	}
	for _, name := range []string{"Socks5ProxyPassword=merlin", "Socks5ProxyPassword"} {
		for _, value := range []string{"kestrel\nmerlin", "", strings.Repeat("merlin", MaxValueBytes)} {
			if err := CheckName(name, value, false); err == nil || told(err.Error()) {
				t.Errorf("%v", err)
			}
		}
	}
}
