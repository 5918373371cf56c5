package rss

import (
	"errors"
	"fmt"
	"slices"
)

// ErrSide tells that NICs cannot place packets by the client's side.
var ErrSide = errors.New("NICs do not place packets by the client's side")

// Fields are the parts of a packet that a NIC hashes (RXH_* of
// include/uapi/linux/ethtool.h).
type Fields uint64

// The fields that a client's endpoint is found in, and the two sides of it.
const (
	SourceAddr      Fields = 1 << 4
	DestinationAddr Fields = 1 << 5
	SourcePort      Fields = 1 << 6
	DestinationPort Fields = 1 << 7

	Source      = SourceAddr | SourcePort           // ethtool's "sf"
	Destination = DestinationAddr | DestinationPort // ethtool's "dn"
)

// String writes fields in the letters of ethtool(8).
func (f Fields) String() string {
	text := ""
	for i, letter := range []string{"s", "d", "f", "n"} {
		if f>>(4+i)&1 != 0 {
			text += letter
		}
	}
	if rest := f &^ (Source | Destination); rest != 0 {
		text += fmt.Sprintf("+%#x", uint64(rest))
	}
	return text
}

// Kind is a kind of packets that a NIC may hash in its own way (TCP_V4_FLOW and
// its like).
type Kind uint32

// The kinds that lvx forwards.
const (
	TCP4 Kind = 1
	UDP4 Kind = 2
	TCP6 Kind = 5
	UDP6 Kind = 6
)

// Kinds are all of them.
var Kinds = []Kind{TCP4, UDP4, TCP6, UDP6}

// String returns the name that ethtool uses.
func (k Kind) String() string {
	return map[Kind]string{TCP4: "tcp4", UDP4: "udp4", TCP6: "tcp6", UDP6: "udp6"}[k]
}

// Values of Spread.Function and Spread.Transform (ETH_RSS_HASH_*,
// RXH_XFRM_*).
const (
	FunctionToeplitz    = 1
	TransformNone       = 0
	TransformUnsettable = 0xff // the driver knows none
)

// Spread is how a NIC goes from a hash to a queue.
type Spread struct {
	Queues    []uint32 `json:"queues"` // indirection table: a queue by the low bits of the hash
	Key       []byte   `json:"key"`
	Function  uint8    `json:"function"`
	Transform uint8    `json:"transform"` // of the input, before it is hashed
}

// NIC is what a driver lets be read and set.
type NIC interface {
	Spread() (Spread, error)
	SetSpread(Spread) error
	Fields(Kind) (Fields, error)
	SetFields(Kind, Fields) error
}

// Saved is all that BySide changes on a NIC.
type Saved struct {
	Spread Spread          `json:"spread"`
	Fields map[Kind]Fields `json:"fields"`
}

// Save reads what BySide would change.
func Save(n NIC) (Saved, error) {
	s := Saved{Fields: map[Kind]Fields{}}
	var err error
	if s.Spread, err = n.Spread(); err != nil {
		return s, err
	}
	for _, k := range Kinds {
		if s.Fields[k], err = n.Fields(k); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Restore puts back what Save has read, and only what is not so: a driver
// that refused a change may refuse its own state too.
func Restore(n NIC, s Saved) error {
	var errs []error
	for _, k := range Kinds {
		if now, err := n.Fields(k); err != nil || now != s.Fields[k] {
			errs = append(errs, n.SetFields(k, s.Fields[k]))
		}
	}
	if now, err := n.Spread(); err != nil || !now.equal(&s.Spread) {
		errs = append(errs, n.SetSpread(s.Spread))
	}
	return errors.Join(errs...)
}

func (s *Spread) equal(o *Spread) bool {
	return slices.Equal(s.Queues, o.Queues) && slices.Equal(s.Key, o.Key) && s.Function == o.Function && s.Transform == o.Transform
}

// check says why a NIC with this spread cannot be computed.
func (s *Spread) check() error {
	n := len(s.Queues)
	switch {
	case n == 0 || n&(n-1) != 0 || n > maxTable:
		return fmt.Errorf("%w: an indirection table of %d entries", ErrSide, n)
	case len(s.Key) < 40 || !slices.Equal(s.Key, SymmetricKey(len(s.Key))):
		return fmt.Errorf("%w: the hash key is another one", ErrSide)
	case s.Function != FunctionToeplitz:
		return fmt.Errorf("%w: hash function %d", ErrSide, s.Function)
	case s.Transform != TransformNone && s.Transform != TransformUnsettable:
		return fmt.Errorf("%w: input transformation %d", ErrSide, s.Transform)
	}
	return nil
}

// Member is a NIC with the side that the client is on in what it receives.
type Member struct {
	NIC    NIC
	Name   string
	Side   Fields // Source or Destination
	Queues int
}

// BySide has every NIC place packets by the client, and reads back what
// became of it. After an error the caller puts back what it has saved.
func BySide(members []Member, workers int) (*Placement, error) {
	least, spreads := maxTable, make([]Spread, len(members))
	for i, m := range members {
		var err error
		if spreads[i], err = m.NIC.Spread(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrSide, m.Name, err)
		}
		least = min(least, len(spreads[i].Queues))
	}
	for i, m := range members {
		if err := m.place(&spreads[i], workers, max(least, 1)); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrSide, m.Name, err)
		}
	}
	p, err := NewPlacement(workers, spreads...)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// place sets one NIC and leaves in s what it has then. Fields come first: most
// drivers that refuse refuse them, and nothing has changed then. A symmetric
// transformation has to go before: it wants both sides hashed.
func (m *Member) place(s *Spread, workers, least int) error {
	want := m.spread(s, workers, least)
	set := func() error {
		if want.equal(s) {
			return nil
		}
		return m.NIC.SetSpread(want)
	}
	symmetric := want.Transform != s.Transform
	if symmetric {
		if err := set(); err != nil {
			return err
		}
	}
	for _, k := range Kinds {
		if err := m.NIC.SetFields(k, m.Side); err != nil {
			return fmt.Errorf("hash %v of %v: %w", m.Side, k, err)
		}
	}
	if !symmetric {
		if err := set(); err != nil {
			return err
		}
	}
	for _, k := range Kinds {
		if got, err := m.NIC.Fields(k); err != nil || got != m.Side {
			return fmt.Errorf("hashes %v of %v, not %v: %w", got, k, m.Side, errors.Join(err, ErrSide))
		}
	}
	var err error
	*s, err = m.NIC.Spread()
	return err
}

// spread returns key and table that a NIC with s should have.
func (m *Member) spread(s *Spread, workers, least int) Spread {
	want := Spread{Queues: make([]uint32, len(s.Queues)), Key: SymmetricKey(len(s.Key)), Function: FunctionToeplitz, Transform: s.Transform}
	if want.Transform != TransformUnsettable {
		want.Transform = TransformNone
	}
	for i := range want.Queues {
		// The same worker as in the shortest table; its queues take turns.
		worker, turn := i%least%workers, i%least/workers
		queues := (m.Queues - worker + workers - 1) / workers
		want.Queues[i] = uint32(worker + workers*(turn%max(queues, 1)))
	}
	return want
}
