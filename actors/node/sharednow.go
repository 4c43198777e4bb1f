package node

import (
	"maps"
	"slices"
	"time"

	"chive/actors/hosting"
	"chive/messages"
)

// assigned remembers what the node is to do for a service.
func (r *rootActor) assigned(m *hosting.Role) {
	r.roles[m.Service] = m
	r.lookShared()
}

// lookShared has the fleet told of shared services as they are now.
func (r *rootActor) lookShared() {
	all := make([]messages.FleetShared, 0, len(r.shares))
	for _, folder := range slices.Sorted(maps.Keys(r.shares)) {
		s, role := r.shares[folder], r.roles[folder]
		if role == nil || len(all) == messages.MaxFleetShared {
			continue
		}
		one := messages.FleetShared{Name: role.Name, Publishes: role.Publish, Epoch: role.Epoch, Points: len(s.Points)}
		if !s.Built.IsZero() {
			one.Described = s.Built.UTC().Truncate(time.Second)
		}
		all = append(all, one)
	}
	for folder := range r.roles {
		if r.shares[folder] == nil {
			delete(r.roles, folder)
		}
	}
	r.n.shared.Store(&all)
}

// sharedNow is what the node does for services that it hosts with others.
func (n *Node) sharedNow() []messages.FleetShared {
	if all := n.shared.Load(); all != nil {
		return *all
	}
	return nil
}
