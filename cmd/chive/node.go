package main

import (
	"context"
	"errors"

	"chive/bridge"
	"chive/config"
)

// nodeFlags say which node a command talks to.
type nodeFlags struct {
	DataDir string `name:"data-dir" type:"path" placeholder:"DIR" help:"The node's DataDirectory (default: that of chive run without a torrc)."`
}

// connect reaches the node through the socket in its data directory.
func (f nodeFlags) connect(ctx context.Context) (*bridge.Client, error) {
	dir := f.DataDir
	if dir == "" {
		var err error
		if dir, err = config.DefaultDataDirectory(); err != nil {
			return nil, usage("%w; say --data-dir", err)
		}
	}
	c, err := bridge.Connect(ctx, dir)
	if errors.Is(err, bridge.ErrNoNode) {
		return nil, &exitError{exitNoNode, err}
	}
	return c, err
}
