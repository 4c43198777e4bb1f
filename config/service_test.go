package config

import (
	"errors"
	"strings"
	"testing"
)

// Options of a service that a program hosts are read as those of a torrc.
func TestParseService(t *testing.T) {
	s, err := ParseService([]string{"HiddenServiceMaxStreams 7", " hiddenservicepowdefensesenabled  1 ", "HiddenServiceVersion 3"})
	if err != nil || s.MaxStreams != 7 || !s.PoW || s.IntroductionPoints != 3 || s.PoWRate != serviceDefaults.PoWRate {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ParseService(nil); err != nil || s.IntroductionPoints != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	for line, kind := range map[string]error{
		"HiddenServiceDir /x": ErrUnsupported, "hiddenserviceport 80": ErrUnsupported, "SocksPort 9050": ErrUnknown, "": ErrUnknown,
		"HiddenServiceMaxStreams x": ErrValue, "HiddenServicePoWQueueRate 9999": ErrConflict, "HiddenServiceVersion 2": ErrValue,
	} {
		if _, err := ParseService([]string{"HiddenServiceMaxStreams 7", line}); !errors.Is(err, kind) {
			t.Errorf("%q: %v", line, err)
		}
	}
	if _, err := ParseService([]string{"HiddenServiceMaxStream 7"}); err == nil ||
		err.Error() != "HiddenServiceMaxStream: not an option of an onion service (did you mean HiddenServiceMaxStreams?)" {
		t.Errorf("misspelt: %v", err)
	}
	_, err = ParseService([]string{"HiddenServiceMaxStreams x", "HiddenServicePoWQueueRate y"})
	if err == nil || !strings.Contains(err.Error(), "HiddenServiceMaxStreams") || !strings.Contains(err.Error(), "HiddenServicePoWQueueRate") {
		t.Errorf("not all that is wrong: %v", err)
	}
	if _, err := ParseService([]string{"HiddenServiceMaxStreams 7", "HiddenServiceMaxStreams 8"}); err == nil {
		t.Error("given twice")
	}
}

func TestSetPorts(t *testing.T) {
	var s OnionService
	if err := s.SetPorts([]uint16{443, 80}); err != nil || len(s.Ports) != 2 || s.Ports[0].Port != 443 {
		t.Errorf("%+v, %v", s.Ports, err)
	}
	for _, ports := range [][]uint16{nil, {0}, {80, 80}, make([]uint16, maxOnionPorts+1)} {
		if err := s.SetPorts(ports); !errors.Is(err, ErrPorts) {
			t.Errorf("%d ports: %v", len(ports), err)
		}
	}
}
