package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"chive/messages"
)

// The verbs of the configuration. Those of configReads change nothing.
const (
	verbPropose = "config-propose"
	verbRevert  = "config-revert"
	verbShow    = "config-show"
	verbHistory = "config-history"
	verbDiff    = "config-diff"
)

// configVerbs are for the operator. Observers get none: values of options (paths,
// addresses) are above their tier.
var configVerbs = []string{verbPropose, verbRevert, verbShow, verbHistory, verbDiff}

const (
	// configTime is how long a change may take before its asker is told that the
	// outcome is not known.
	configTime = 60 * time.Second
	// maxProposal is the largest request, in bytes.
	maxProposal = 512 << 10
)

// DiffRequest is the request of config-diff; 0 is what is in force.
type DiffRequest struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// ServeConfig answers the operator's questions and proposals about the
// configuration, as JSON of the types in package messages. Through this mouth come
// proposals of the sources control and reload only.
func (b *Bridge) ServeConfig(c messages.ConfigControl) error {
	ask := func(verb string, f func(ctx context.Context, request []byte) (any, error)) error {
		return b.Handle(verb, func(request []byte) ([]byte, error) {
			if len(request) > maxProposal {
				return nil, fmt.Errorf("%d bytes, at most %d", len(request), maxProposal)
			}
			ctx, cancel := context.WithTimeout(context.Background(), configTime)
			defer cancel()
			answer, err := f(ctx, request)
			if err != nil {
				return nil, err
			}
			return json.Marshal(answer)
		})
	}
	return errors.Join(
		ask(verbPropose, func(ctx context.Context, request []byte) (any, error) {
			var p messages.ConfigProposal
			if err := strict(request, &p); err != nil {
				return nil, err
			}
			if p.Source != messages.ConfigFromControl && !p.Source.Asked() {
				return nil, fmt.Errorf("source %q: want control, or reload to read the files again", p.Source)
			}
			if p.Source.Asked() {
				p.Source = messages.ConfigFromReload // signal is what earlier clients say
			}
			return c.ProposeConfig(ctx, p)
		}),
		ask(verbRevert, func(ctx context.Context, request []byte) (any, error) {
			var r messages.ConfigRevert
			if err := strict(request, &r); err != nil {
				return nil, err
			}
			return c.RevertConfig(ctx, r)
		}),
		ask(verbShow, func(ctx context.Context, _ []byte) (any, error) { return c.ConfigView(ctx) }),
		ask(verbHistory, func(ctx context.Context, _ []byte) (any, error) { return c.ConfigHistory(ctx) }),
		ask(verbDiff, func(ctx context.Context, request []byte) (any, error) {
			var r DiffRequest
			if err := strict(request, &r); err != nil {
				return nil, err
			}
			return c.ConfigDiff(ctx, r.From, r.To)
		}),
	)
}

// strict refuses fields that nobody would read.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if d.More() {
		return errors.New("request: more than one value")
	}
	return nil
}

// asking asks the node a verb of the configuration and reads its answer.
func asking[T any](ctx context.Context, c *Client, verb string, request any) (answer T, err error) {
	text, err := json.Marshal(request)
	if err != nil {
		return answer, err
	}
	b, err := c.Request(ctx, verb, text)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return answer, fmt.Errorf("the node's answer: %w", err)
	}
	return answer, nil
}

// Client is a messages.ConfigControl of the node it is connected to.
var _ messages.ConfigControl = (*Client)(nil)

// ProposeConfig implements messages.ConfigTarget.
func (c *Client) ProposeConfig(ctx context.Context, p messages.ConfigProposal) (messages.ConfigResult, error) {
	return asking[messages.ConfigResult](ctx, c, verbPropose, p)
}

// RevertConfig implements messages.ConfigReader.
func (c *Client) RevertConfig(ctx context.Context, r messages.ConfigRevert) (messages.ConfigResult, error) {
	return asking[messages.ConfigResult](ctx, c, verbRevert, r)
}

// ConfigView implements messages.ConfigReader.
func (c *Client) ConfigView(ctx context.Context) (messages.ConfigView, error) {
	return asking[messages.ConfigView](ctx, c, verbShow, nil)
}

// ConfigHistory implements messages.ConfigReader.
func (c *Client) ConfigHistory(ctx context.Context) ([]messages.ConfigRevision, error) {
	return asking[[]messages.ConfigRevision](ctx, c, verbHistory, nil)
}

// ConfigDiff implements messages.ConfigReader.
func (c *Client) ConfigDiff(ctx context.Context, from, to uint64) ([]messages.ConfigChange, error) {
	return asking[[]messages.ConfigChange](ctx, c, verbDiff, DiffRequest{From: from, To: to})
}
