package host

import (
	"crypto/sha256"
	"time"

	"chive/tor/onion/relaymsg"
)

// tag stands for one request. Sixteen bytes of a hash: nobody can make two requests
// with one tag, and if he could he would lock out himself.
type tag [16]byte

func tagOf(encrypted []byte) tag {
	sum := sha256.Sum256(encrypted)
	return tag(sum[:])
}

const (
	cookieLife = 5 * time.Minute // as C tor's REND_REPLAY_TIME_INTERVAL
	maxCookies = 8192            // of one generation; more is more than can be met
)

// cookies are the rendezvous cookies seen of late, in two generations: one is
// remembered for cookieLife at least unless there are too many, and for twice that
// at most.
type cookies struct {
	now, before map[relaymsg.Cookie]struct{}
	turned      time.Time
}

// add remembers a cookie; false: it was seen before.
func (c *cookies) add(cookie relaymsg.Cookie, now time.Time) bool {
	if c.now == nil || now.Sub(c.turned) >= cookieLife || now.Before(c.turned) || len(c.now) >= maxCookies {
		if now.Sub(c.turned) >= 2*cookieLife {
			c.now = nil
		}
		c.before, c.now, c.turned = c.now, make(map[relaymsg.Cookie]struct{}), now
	}
	if _, ok := c.now[cookie]; ok {
		return false
	}
	if _, ok := c.before[cookie]; ok {
		return false
	}
	c.now[cookie] = struct{}{}
	return true
}
