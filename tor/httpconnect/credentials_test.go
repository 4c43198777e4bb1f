package httpconnect_test

import (
	"testing"

	"chive/tor/httpconnect"
)

func TestCredentials(t *testing.T) {
	type who struct {
		user, password string
		ok             bool
	}
	for header, want := range map[string]who{
		"Basic YWxpY2U6eA==":                 {"alice", "x", true},
		"basic  YWxpY2U6eA==":                {"alice", "x", true},
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==": {"Aladdin", "open sesame", true}, // RFC 7617 §2
		"Basic dGVzdDoxMjPCow==":             {"test", "123£", true},           // RFC 7617 §2.1
		"Basic dG9yOmE6Yg==":                 {"tor", "a:b", true},             // a password may have colons
		"Basic Og==":                         {"", "", true},
		"Basic YWxpY2U=":                     {"Basic YWxpY2U=", "", true}, // no colon
		"Basic YWxpY2U6eA":                   {"Basic YWxpY2U6eA", "", true},
		"Basic ?":                            {"Basic ?", "", true},
		"Basic":                              {"Basic", "", true},
		"Bearer YWxpY2U6eA==":                {"Bearer YWxpY2U6eA==", "", true},
		"":                                   {"", "", true},
	} {
		var got who
		got.user, got.password, got.ok = (&httpconnect.Request{Authorization: &header}).Credentials()
		if got != want {
			t.Errorf("%q: %+v, want %+v", header, got, want)
		}
	}
	if user, password, ok := (&httpconnect.Request{Isolation: text("a")}).Credentials(); ok || user+password != "" {
		t.Errorf("without the header: %q %q", user, password)
	}
}
