package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"chive/messages"
)

// stateFile is in the data directory.
const stateFile = "fleet-state.json"

// standing is what became of the last document that was taken. It is on disk before
// anything is done that it says.
type standing struct {
	Revision    uint64                `json:"revision"`
	Digest      string                `json:"digest"`
	Author      string                `json:"author"`
	State       messages.FleetState   `json:"state"`
	Reason      string                `json:"reason,omitempty"`
	Before      []messages.ConfigLine `json:"before,omitempty"`    // what to go back to
	Confirm     time.Time             `json:"confirm_by,omitzero"` // go back when it passes
	publication uint64
}

// maxState is how much of the file is read, in bytes.
const maxState = 2 << 20

func load(folder string) (s standing, err error) {
	text, err := os.ReadFile(filepath.Join(folder, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil && len(text) > maxState {
		err = errors.New("too large")
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return standing{}, fmt.Errorf("%s: %w", stateFile, err)
	}
	return s, nil
}

// save replaces the file as a whole.
func (s standing) save(folder string) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, stateFile+".new")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(folder, stateFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", stateFile, err), os.Remove(f.Name()))
	}
	return nil
}
