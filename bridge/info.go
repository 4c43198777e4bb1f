package bridge

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/micro"
)

func unmarshalInfo(b []byte, info *micro.Info) error {
	if err := json.Unmarshal(b, info); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	return nil
}
