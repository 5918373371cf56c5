// Package record is the one form in which a scenario and what the kernel made
// of it are kept: lines of JSON. The first line of a scenario is its Head,
// each further one a Step; the kernel's side of a Step is its Result.
//
// Scenarios go into the virtual machine in this form, recordings come out of
// it in the same form, and the twin reads them.
package record

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Head begins a scenario.
type Head struct {
	Scenario string `json:"scenario"`
	About    string `json:"about,omitempty"`
	Seed     uint64 `json:"seed,omitempty"`
	Kernel   string `json:"kernel,omitempty"` // that made the recording
	Tries    int    `json:"tries,omitempty"`  // how often it was played until no step was late
}

// Step is one thing that happens: frames arrive at once, a command is given,
// time goes by, or the tables are read.
type Step struct {
	Due     time.Duration `json:"due"`            // when, since the scenario began
	Kind    string        `json:"kind,omitempty"` // what its author meant by it
	NIC     NIC           `json:"nic,omitempty"`  // where the frames arrive
	Frames  []Frame       `json:"frames,omitempty"`
	Command []string      `json:"command,omitempty"`
	Input   string        `json:"input,omitempty"` // of the command
	Sleep   time.Duration `json:"sleep,omitempty"`
	List    bool          `json:"list,omitempty"`
	Result  *Result       `json:"result,omitempty"`
}

// Result is what the kernel made of a Step, or lvx. Services and Conns are lines
// of the kernel's lists, or what the ipvsadm of lvx printed.
type Result struct {
	At       time.Duration `json:"at"` // when the step began, since the scenario began
	Code     int           `json:"code,omitempty"`
	Output   string        `json:"output,omitempty"`
	Out      []Left        `json:"out,omitempty"`   // frames that left the director
	Plain    []Left        `json:"plain,omitempty"` // frames that left the same machine without services
	Services []string      `json:"services,omitempty"`
	Conns    []string      `json:"conns,omitempty"`
}

// Left is a frame that left.
type Left struct {
	At    time.Duration `json:"at"`
	NIC   NIC           `json:"nic,omitempty"`
	Frame Frame         `json:"frame"`
}

// NIC numbers the director's NICs.
type NIC int

// The two NICs.
const (
	Public NIC = iota
	Private
)

func (n NIC) String() string { return [...]string{"public", "private"}[n&1] }

// Frame is Ethernet bytes, in JSON hexadecimal digits.
type Frame []byte

// MarshalText implements encoding.TextMarshaler.
func (f Frame) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, f), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Frame) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	*f = b
	return err
}

// Scenario is a Head with its Steps.
type Scenario struct {
	Head
	Steps []Step
}

// Takes is how long a step and what it leads to may take. A guest needs a
// fraction of it.
func (s *Step) Takes() time.Duration {
	switch {
	case s.Sleep > 0:
		return s.Sleep
	case len(s.Command) > 0:
		return 200*time.Millisecond + time.Duration(strings.Count(s.Input, "\n"))*20*time.Millisecond
	}
	return 20 * time.Millisecond
}

// Add appends a step, due when the one before it has had its time.
func (s *Scenario) Add(step Step) {
	step.Due = s.End()
	s.Steps = append(s.Steps, step)
}

// End is when the last step has had its time.
func (s *Scenario) End() time.Duration {
	if len(s.Steps) == 0 {
		return 0
	}
	last := &s.Steps[len(s.Steps)-1]
	return last.Due + last.Takes()
}

// Late is by how much the latest step began after it was due. More than
// MostLate makes a recording void: its timers are not those that its author
// kept clear of.
func (s *Scenario) Late() (most time.Duration) {
	for i := range s.Steps {
		if r := s.Steps[i].Result; r != nil {
			most = max(most, r.At-s.Steps[i].Due)
		}
	}
	return most
}

// MostLate is what a recording may be late by.
const MostLate = 20 * time.Millisecond

// Write writes scenarios one after the other.
func Write(w io.Writer, all ...*Scenario) error {
	to := json.NewEncoder(w)
	for _, s := range all {
		if err := to.Encode(s.Head); err != nil {
			return fmt.Errorf("write scenario %s: %w", s.Scenario, err)
		}
		for i := range s.Steps {
			if err := to.Encode(&s.Steps[i]); err != nil {
				return fmt.Errorf("write scenario %s: %w", s.Scenario, err)
			}
		}
	}
	return nil
}

// Read reads all scenarios.
func Read(r io.Reader) ([]*Scenario, error) {
	var all []*Scenario
	from := json.NewDecoder(bufio.NewReader(r))
	for {
		var line struct {
			Head
			Step
		}
		err := from.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return all, fmt.Errorf("read scenarios: %w", err)
		case line.Scenario != "":
			all = append(all, &Scenario{Head: line.Head})
		case len(all) == 0:
			return nil, errors.New("read scenarios: a step comes before the first scenario")
		default:
			last := all[len(all)-1]
			last.Steps = append(last.Steps, line.Step)
		}
	}
}
