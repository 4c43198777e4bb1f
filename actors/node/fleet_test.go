package node

import (
	"errors"
	"strings"
	"testing"

	"chive/config"
)

func TestUnfinishedFleetIsRefused(t *testing.T) {
	for name, c := range map[string]*config.Config{
		"FleetConfigKey":    {Nats: config.Nats{FleetConfigKeys: []string{"U"}}},
		"NatsUrl":           {Nats: config.Nats{NatsURLs: []string{"nats://127.0.0.1:1"}}},
		"NatsClusterListen": {Nats: config.Nats{NatsClusterListen: "127.0.0.1:1"}},
	} {
		_, err := Start(t.Context(), Options{Config: c})
		if !errors.Is(err, errNotYet) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
