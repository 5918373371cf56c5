package service

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// ErrNoDeviation tells that no deviation with a switch has that name.
var ErrNoDeviation = errors.New("no such deviation")

// Deviations is a set of ways in which a director differs from IPVS on
// purpose: the switches that are on.
type Deviations uint64

// The deviations that can be switched. AllDeviations says what each one is.
const (
	EmptyUDPChecksum Deviations = 1 << iota
	WrongSCTPChecksum
	ParameterProblems
	MovingDatagrams
	OtherClientPorts
	IdleProbes
	IdleResets
	OnePacketAnswers
	ShortFragmentWait
	CarefulFTP
	NarrowFTP

	allDeviations = 1<<iota - 1
)

// Deviation describes one: what IPVS does, what lvx does instead.
type Deviation struct {
	Name    string // of the switch, "" = there is none
	Switch  Deviations
	IPVS    string
	LVX     string
	Default bool   // on, unless somebody chooses otherwise
	Why     string // there is no switch
}

// AllDeviations is the one list: help texts, docs/deviations.md and switches
// are made from it. Those without a switch come last.
func AllDeviations() []Deviation { return deviations[:] }

// DefaultDeviations returns those that are on unless somebody chooses
// otherwise.
func DefaultDeviations() (s Deviations) {
	for _, d := range deviations {
		if d.Default {
			s |= d.Switch
		}
	}
	return s
}

// ChooseDeviations returns the defaults, or none with strict, and of the rest
// what is chosen: on and off. What is chosen to be both is an error.
func ChooseDeviations(strict bool, on, off Deviations) (Deviations, error) {
	s := DefaultDeviations()
	if strict {
		s = 0
	}
	if both := on & off; both != 0 {
		return 0, fmt.Errorf("%w: to deviate and not to deviate: %v", ErrInvalid, both)
	}
	return s&^off | on, nil
}

// ParseDeviations reads names with commas between them.
func ParseDeviations(text string) (s Deviations, err error) {
	for name := range strings.SplitSeq(text, ",") {
		d := deviationNamed(strings.TrimSpace(name))
		if d == 0 {
			return 0, fmt.Errorf("%w: %q", ErrNoDeviation, name)
		}
		s |= d
	}
	return s, nil
}

func deviationNamed(name string) Deviations {
	for _, d := range deviations {
		if d.Name == name && name != "" {
			return d.Switch
		}
	}
	return 0
}

// Has reports whether d is on.
func (s Deviations) Has(d Deviations) bool { return s&d != 0 }

// Names returns the names of those that are on, in the order of the list.
func (s Deviations) Names() []string {
	names := make([]string, 0, bits.OnesCount64(uint64(s)))
	for _, d := range deviations {
		if s&d.Switch != 0 {
			names = append(names, d.Name)
		}
	}
	return names
}

// String returns the names with commas between them, as ParseDeviations reads
// them.
func (s Deviations) String() string { return strings.Join(s.Names(), ",") }

// MarshalText writes the names.
func (s Deviations) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads names; none at all is the empty set.
func (s *Deviations) UnmarshalText(text []byte) (err error) {
	if *s = 0; len(text) > 0 {
		*s, err = ParseDeviations(string(text))
	}
	return err
}
