package invariant

import "chive/messages/chivev1"

// hosting checks the introduction points of the services that the node hosts.
func (c *checker) hosting(e *chivev1.Envelope) {
	c.healthOf(e)
	up := c.points[e.GetActorId()]
	gone := func(point uint64, relay []byte) {
		if up[string(relay)] == point {
			delete(up, string(relay))
		}
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingStarted:
		c.points[e.GetActorId()] = map[string]uint64{}
	case *chivev1.Envelope_HostingStopped:
		delete(c.points, e.GetActorId())
	case *chivev1.Envelope_HostingPointUp:
		p := body.HostingPointUp
		if up == nil {
			c.missing(e, "an introduction point of a service that was not started")
			return
		}
		if other := up[string(p.GetRelay())]; other != 0 && other != p.GetPoint() {
			c.missing(e, "introduction points %d and %d are at one relay", other, p.GetPoint())
		}
		up[string(p.GetRelay())] = p.GetPoint()
	case *chivev1.Envelope_HostingPointDown:
		gone(body.HostingPointDown.GetPoint(), body.HostingPointDown.GetRelay())
	case *chivev1.Envelope_HostingPointGone:
		gone(body.HostingPointGone.GetPoint(), body.HostingPointGone.GetRelay())
	case *chivev1.Envelope_HostingDescribed:
		if body.HostingDescribed.GetPoints() == 0 {
			c.say(e, "a descriptor without introduction points")
		}
	}
}
