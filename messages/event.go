package messages

import "chive/messages/chivev1"

// Body is any event that an Envelope can carry; a test keeps it equal to the
// oneof.
type Body interface {
	*chivev1.NodeStarted | *chivev1.NodeStopping | *chivev1.BootstrapAdvanced | *chivev1.EventsDropped |
		*chivev1.ActorFailed | *chivev1.ListenerOpened | *chivev1.ListenerClosed | *chivev1.MemoryPressure | *chivev1.JournalChanged | *chivev1.BuildTimeoutSet |
		*chivev1.ConnectionDialled | *chivev1.ConnectionOpened | *chivev1.ConnectionFailed | *chivev1.ConnectionClosed |
		*chivev1.CircuitLaunched | *chivev1.CircuitExtended | *chivev1.CircuitOpened | *chivev1.CircuitAssigned | *chivev1.CircuitDirtied |
		*chivev1.CircuitFailed | *chivev1.CircuitClosed |
		*chivev1.CircuitSetLaunched | *chivev1.CircuitLegLinked | *chivev1.CircuitSetLinked | *chivev1.CircuitLegLost |
		*chivev1.StreamRequested | *chivev1.StreamAttached | *chivev1.StreamConnected | *chivev1.StreamDetached |
		*chivev1.StreamEnded |
		*chivev1.GuardSampled | *chivev1.GuardReachable | *chivev1.GuardUnreachable |
		*chivev1.CircuitsRenewed | *chivev1.GuardConfirmed | *chivev1.GuardRemoved | *chivev1.GuardsRetried | *chivev1.PathBiasSuspected |
		*chivev1.DocumentFetched | *chivev1.DocumentVerified | *chivev1.DocumentRejected | *chivev1.ProtocolsMissing |
		*chivev1.SupervisorStateChanged | *chivev1.BreakerOpened | *chivev1.BreakerHalfOpened | *chivev1.BreakerClosed |
		*chivev1.RetriesExhausted | *chivev1.InputQuarantined |
		*chivev1.ConfigProposed | *chivev1.ConfigApplied | *chivev1.ConfigRejected | *chivev1.ConfigReverted |
		*chivev1.VanguardAdded | *chivev1.VanguardRemoved |
		*chivev1.ServiceDescriptorFetched | *chivev1.ServiceIntroduced | *chivev1.ServiceJoined | *chivev1.ServiceFailed |
		*chivev1.HostingStarted | *chivev1.HostingStopped | *chivev1.HostingPointUp | *chivev1.HostingPointDown | *chivev1.HostingPointGone | *chivev1.HostingDescribed |
		*chivev1.HostingStored | *chivev1.HostingPublished | *chivev1.HostingUnpublished | *chivev1.HostingRefused | *chivev1.HostingMet | *chivev1.HostingMissed |
		*chivev1.HostingProbed | *chivev1.HostingVerified | *chivev1.HostingUnverified | *chivev1.HostingBroken | *chivev1.HostingHealing | *chivev1.HostingHealed |
		*chivev1.HostingDelegationEnding |
		*chivev1.HostingLeaseTaken | *chivev1.HostingLeaseLost | *chivev1.HostingLeaseRefused | *chivev1.HostingPublisherChanged | *chivev1.HostingMembersChanged
}

// Event wraps body as an event about the actor id of the given kind, ready for
// Recorder.Emit.
func Event[B Body](kind chivev1.Kind, id string, body B) *chivev1.Envelope {
	e := &chivev1.Envelope{Kind: kind, ActorId: id}
	wrap(e, body)
	return e
}

// Because sets what e follows from: the id of the causing event and the
// correlation id of the whole story. Empty strings leave them unset.
func Because(e *chivev1.Envelope, cause, correlation string) *chivev1.Envelope {
	e.CauseId = cause
	e.CorrelationId = correlation
	return e
}

func wrap(e *chivev1.Envelope, body any) {
	switch b := body.(type) {
	case *chivev1.NodeStarted:
		e.Event = &chivev1.Envelope_NodeStarted{NodeStarted: b}
	case *chivev1.NodeStopping:
		e.Event = &chivev1.Envelope_NodeStopping{NodeStopping: b}
	case *chivev1.BootstrapAdvanced:
		e.Event = &chivev1.Envelope_BootstrapAdvanced{BootstrapAdvanced: b}
	case *chivev1.EventsDropped:
		e.Event = &chivev1.Envelope_EventsDropped{EventsDropped: b}
	case *chivev1.ActorFailed:
		e.Event = &chivev1.Envelope_ActorFailed{ActorFailed: b}
	case *chivev1.ListenerOpened:
		e.Event = &chivev1.Envelope_ListenerOpened{ListenerOpened: b}
	case *chivev1.ListenerClosed:
		e.Event = &chivev1.Envelope_ListenerClosed{ListenerClosed: b}
	case *chivev1.MemoryPressure:
		e.Event = &chivev1.Envelope_MemoryPressure{MemoryPressure: b}
	case *chivev1.JournalChanged:
		e.Event = &chivev1.Envelope_JournalChanged{JournalChanged: b}
	case *chivev1.BuildTimeoutSet:
		e.Event = &chivev1.Envelope_BuildTimeoutSet{BuildTimeoutSet: b}
	case *chivev1.ConnectionDialled:
		e.Event = &chivev1.Envelope_ConnectionDialled{ConnectionDialled: b}
	case *chivev1.ConnectionOpened:
		e.Event = &chivev1.Envelope_ConnectionOpened{ConnectionOpened: b}
	case *chivev1.ConnectionFailed:
		e.Event = &chivev1.Envelope_ConnectionFailed{ConnectionFailed: b}
	case *chivev1.ConnectionClosed:
		e.Event = &chivev1.Envelope_ConnectionClosed{ConnectionClosed: b}
	case *chivev1.CircuitLaunched:
		e.Event = &chivev1.Envelope_CircuitLaunched{CircuitLaunched: b}
	case *chivev1.CircuitExtended:
		e.Event = &chivev1.Envelope_CircuitExtended{CircuitExtended: b}
	case *chivev1.CircuitOpened:
		e.Event = &chivev1.Envelope_CircuitOpened{CircuitOpened: b}
	case *chivev1.CircuitAssigned:
		e.Event = &chivev1.Envelope_CircuitAssigned{CircuitAssigned: b}
	case *chivev1.CircuitDirtied:
		e.Event = &chivev1.Envelope_CircuitDirtied{CircuitDirtied: b}
	case *chivev1.CircuitFailed:
		e.Event = &chivev1.Envelope_CircuitFailed{CircuitFailed: b}
	case *chivev1.CircuitClosed:
		e.Event = &chivev1.Envelope_CircuitClosed{CircuitClosed: b}
	case *chivev1.CircuitSetLaunched:
		e.Event = &chivev1.Envelope_CircuitSetLaunched{CircuitSetLaunched: b}
	case *chivev1.CircuitLegLinked:
		e.Event = &chivev1.Envelope_CircuitLegLinked{CircuitLegLinked: b}
	case *chivev1.CircuitSetLinked:
		e.Event = &chivev1.Envelope_CircuitSetLinked{CircuitSetLinked: b}
	case *chivev1.CircuitLegLost:
		e.Event = &chivev1.Envelope_CircuitLegLost{CircuitLegLost: b}
	case *chivev1.StreamRequested:
		e.Event = &chivev1.Envelope_StreamRequested{StreamRequested: b}
	case *chivev1.StreamAttached:
		e.Event = &chivev1.Envelope_StreamAttached{StreamAttached: b}
	case *chivev1.StreamConnected:
		e.Event = &chivev1.Envelope_StreamConnected{StreamConnected: b}
	case *chivev1.StreamDetached:
		e.Event = &chivev1.Envelope_StreamDetached{StreamDetached: b}
	case *chivev1.StreamEnded:
		e.Event = &chivev1.Envelope_StreamEnded{StreamEnded: b}
	case *chivev1.GuardSampled:
		e.Event = &chivev1.Envelope_GuardSampled{GuardSampled: b}
	case *chivev1.GuardReachable:
		e.Event = &chivev1.Envelope_GuardReachable{GuardReachable: b}
	case *chivev1.GuardUnreachable:
		e.Event = &chivev1.Envelope_GuardUnreachable{GuardUnreachable: b}
	case *chivev1.GuardConfirmed:
		e.Event = &chivev1.Envelope_GuardConfirmed{GuardConfirmed: b}
	case *chivev1.GuardRemoved:
		e.Event = &chivev1.Envelope_GuardRemoved{GuardRemoved: b}
	case *chivev1.CircuitsRenewed:
		e.Event = &chivev1.Envelope_CircuitsRenewed{CircuitsRenewed: b}
	case *chivev1.PathBiasSuspected:
		e.Event = &chivev1.Envelope_PathBiasSuspected{PathBiasSuspected: b}
	case *chivev1.GuardsRetried:
		e.Event = &chivev1.Envelope_GuardsRetried{GuardsRetried: b}
	case *chivev1.DocumentFetched:
		e.Event = &chivev1.Envelope_DocumentFetched{DocumentFetched: b}
	case *chivev1.DocumentVerified:
		e.Event = &chivev1.Envelope_DocumentVerified{DocumentVerified: b}
	case *chivev1.DocumentRejected:
		e.Event = &chivev1.Envelope_DocumentRejected{DocumentRejected: b}
	case *chivev1.ProtocolsMissing:
		e.Event = &chivev1.Envelope_ProtocolsMissing{ProtocolsMissing: b}
	case *chivev1.SupervisorStateChanged:
		e.Event = &chivev1.Envelope_SupervisorStateChanged{SupervisorStateChanged: b}
	case *chivev1.BreakerOpened:
		e.Event = &chivev1.Envelope_BreakerOpened{BreakerOpened: b}
	case *chivev1.BreakerHalfOpened:
		e.Event = &chivev1.Envelope_BreakerHalfOpened{BreakerHalfOpened: b}
	case *chivev1.BreakerClosed:
		e.Event = &chivev1.Envelope_BreakerClosed{BreakerClosed: b}
	case *chivev1.RetriesExhausted:
		e.Event = &chivev1.Envelope_RetriesExhausted{RetriesExhausted: b}
	case *chivev1.InputQuarantined:
		e.Event = &chivev1.Envelope_InputQuarantined{InputQuarantined: b}
	case *chivev1.ConfigProposed:
		e.Event = &chivev1.Envelope_ConfigProposed{ConfigProposed: b}
	case *chivev1.ConfigApplied:
		e.Event = &chivev1.Envelope_ConfigApplied{ConfigApplied: b}
	case *chivev1.ConfigRejected:
		e.Event = &chivev1.Envelope_ConfigRejected{ConfigRejected: b}
	case *chivev1.ConfigReverted:
		e.Event = &chivev1.Envelope_ConfigReverted{ConfigReverted: b}
	case *chivev1.VanguardAdded:
		e.Event = &chivev1.Envelope_VanguardAdded{VanguardAdded: b}
	case *chivev1.VanguardRemoved:
		e.Event = &chivev1.Envelope_VanguardRemoved{VanguardRemoved: b}
	case *chivev1.ServiceDescriptorFetched:
		e.Event = &chivev1.Envelope_ServiceDescriptorFetched{ServiceDescriptorFetched: b}
	case *chivev1.ServiceIntroduced:
		e.Event = &chivev1.Envelope_ServiceIntroduced{ServiceIntroduced: b}
	case *chivev1.ServiceJoined:
		e.Event = &chivev1.Envelope_ServiceJoined{ServiceJoined: b}
	case *chivev1.ServiceFailed:
		e.Event = &chivev1.Envelope_ServiceFailed{ServiceFailed: b}
	case *chivev1.HostingStarted:
		e.Event = &chivev1.Envelope_HostingStarted{HostingStarted: b}
	case *chivev1.HostingStopped:
		e.Event = &chivev1.Envelope_HostingStopped{HostingStopped: b}
	case *chivev1.HostingPointUp:
		e.Event = &chivev1.Envelope_HostingPointUp{HostingPointUp: b}
	case *chivev1.HostingPointDown:
		e.Event = &chivev1.Envelope_HostingPointDown{HostingPointDown: b}
	case *chivev1.HostingPointGone:
		e.Event = &chivev1.Envelope_HostingPointGone{HostingPointGone: b}
	case *chivev1.HostingDescribed:
		e.Event = &chivev1.Envelope_HostingDescribed{HostingDescribed: b}
	case *chivev1.HostingStored:
		e.Event = &chivev1.Envelope_HostingStored{HostingStored: b}
	case *chivev1.HostingPublished:
		e.Event = &chivev1.Envelope_HostingPublished{HostingPublished: b}
	case *chivev1.HostingUnpublished:
		e.Event = &chivev1.Envelope_HostingUnpublished{HostingUnpublished: b}
	case *chivev1.HostingRefused:
		e.Event = &chivev1.Envelope_HostingRefused{HostingRefused: b}
	case *chivev1.HostingMet:
		e.Event = &chivev1.Envelope_HostingMet{HostingMet: b}
	case *chivev1.HostingMissed:
		e.Event = &chivev1.Envelope_HostingMissed{HostingMissed: b}
	case *chivev1.HostingProbed:
		e.Event = &chivev1.Envelope_HostingProbed{HostingProbed: b}
	case *chivev1.HostingVerified:
		e.Event = &chivev1.Envelope_HostingVerified{HostingVerified: b}
	case *chivev1.HostingUnverified:
		e.Event = &chivev1.Envelope_HostingUnverified{HostingUnverified: b}
	case *chivev1.HostingBroken:
		e.Event = &chivev1.Envelope_HostingBroken{HostingBroken: b}
	case *chivev1.HostingHealing:
		e.Event = &chivev1.Envelope_HostingHealing{HostingHealing: b}
	case *chivev1.HostingHealed:
		e.Event = &chivev1.Envelope_HostingHealed{HostingHealed: b}
	case *chivev1.HostingDelegationEnding:
		e.Event = &chivev1.Envelope_HostingDelegationEnding{HostingDelegationEnding: b}
	case *chivev1.HostingLeaseTaken:
		e.Event = &chivev1.Envelope_HostingLeaseTaken{HostingLeaseTaken: b}
	case *chivev1.HostingLeaseLost:
		e.Event = &chivev1.Envelope_HostingLeaseLost{HostingLeaseLost: b}
	case *chivev1.HostingLeaseRefused:
		e.Event = &chivev1.Envelope_HostingLeaseRefused{HostingLeaseRefused: b}
	case *chivev1.HostingPublisherChanged:
		e.Event = &chivev1.Envelope_HostingPublisherChanged{HostingPublisherChanged: b}
	case *chivev1.HostingMembersChanged:
		e.Event = &chivev1.Envelope_HostingMembersChanged{HostingMembersChanged: b}
	}
}
