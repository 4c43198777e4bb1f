package limits

// Settings is what the configuration says. A rate of 0 is no limit.
type Settings struct {
	BandwidthRate  int64 // bytes a second, each way
	BandwidthBurst int64 // bytes
	CircuitRate    int   // circuits a second
	CircuitBurst   int
	RequestRate    int // SOCKS requests a second
	RequestBurst   int
	FetchRate      int // directory fetches a minute
	FetchBurst     int
}

// Limits are one node's. The zero value, and nil, limit nothing.
type Limits struct {
	down, up, circuits, requests, fetches Bucket
}

// Set makes all of them follow the settings, at once.
func (l *Limits) Set(s Settings) {
	l.down.Set(float64(s.BandwidthRate), float64(s.BandwidthBurst))
	l.up.Set(float64(s.BandwidthRate), float64(s.BandwidthBurst))
	l.circuits.Set(float64(s.CircuitRate), float64(s.CircuitBurst))
	l.requests.Set(float64(s.RequestRate), float64(s.RequestBurst))
	l.fetches.Set(float64(s.FetchRate)/60, float64(s.FetchBurst))
}

// Down is for bytes from relays.
func (l *Limits) Down() *Bucket { return l.bucket(func(l *Limits) *Bucket { return &l.down }) }

// Up is for bytes from applications.
func (l *Limits) Up() *Bucket { return l.bucket(func(l *Limits) *Bucket { return &l.up }) }

// Circuits is for circuits that are launched.
func (l *Limits) Circuits() *Bucket { return l.bucket(func(l *Limits) *Bucket { return &l.circuits }) }

// Requests is for SOCKS requests.
func (l *Limits) Requests() *Bucket { return l.bucket(func(l *Limits) *Bucket { return &l.requests }) }

// Fetches is for requests to directories.
func (l *Limits) Fetches() *Bucket { return l.bucket(func(l *Limits) *Bucket { return &l.fetches }) }

func (l *Limits) bucket(of func(*Limits) *Bucket) *Bucket {
	if l == nil {
		return nil
	}
	return of(l)
}
