package service

import "fmt"

// Features are the parts of IPVS that a director carries out besides plain
// TCP and UDP services. A Set refuses what needs others with
// ErrNotSupported.
type Features uint8

// The features, each by itself.
const (
	Persistence  Features = 1 << iota // -p, -M
	Thresholds                        // -x, -y
	OnePacket                         // -o
	Marks                             // -f
	AnyPort                           // port 0: a service that takes all ports, a server that keeps the port
	SCTPServices                      // --sctp-service

	AllFeatures = 1<<iota - 1
)

// refusals are sentences without their end, in the order of the bits.
var refusals = [...]string{
	"persistent services are", "connection thresholds are", "one-packet scheduling is",
	"services by firewall mark are", "port 0 is", "SCTP services are",
}

// refuse returns why a director that has f cannot do what takes needed.
func (f Features) refuse(needed Features) error {
	for i, sentence := range refusals {
		if needed&^f>>i&1 != 0 {
			return fmt.Errorf("%s %w", sentence, ErrNotSupported)
		}
	}
	return nil
}

// needs returns the features that the service makes use of.
func (v Service) needs() Features {
	f := when(v.Persistent != 0, Persistence) | when(v.OnePacket, OnePacket)
	if v.Mark != 0 {
		return f | Marks
	}
	return f | when(v.Protocol == SCTP, SCTPServices) | when(v.Address.Port() == 0, AnyPort)
}

// needs returns the features that the server makes use of.
func (v Server) needs() Features {
	return when(v.Upper != 0, Thresholds) | when(v.Address.Port() == 0, AnyPort)
}

func when(used bool, f Features) Features {
	if used {
		return f
	}
	return 0
}
