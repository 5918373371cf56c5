package packet

// Fault says what is wrong with a frame; the zero Fault is none.
type Fault uint8

// The faults that Parse finds.
const (
	OK           Fault = iota
	Truncated          // shorter than its headers say
	NotIP              // another EtherType, or more than two VLAN tags
	BadVersion         // the version does not match the EtherType
	BadLength          // a length field that contradicts another
	BadChecksum        // IPv4 header checksum
	BadOption          // IPv4 options that cannot be read
	Martian            // an address that no packet on a wire may carry
	SourceRoute        // asks for a route of its own (LSRR, SSRR, IPv6 routing header)
	BadFragment        // overlong, or an uneven one of IPv6
	BadExtension       // IPv6 extension headers that cannot be read
	NumFaults          // how many there are
)

var faultNames = [NumFaults]string{
	"ok", "truncated", "not-ip", "bad-version", "bad-length", "bad-checksum",
	"bad-option", "martian", "source-route", "bad-fragment", "bad-extension",
}

// String returns the name that counters show.
func (f Fault) String() string {
	if f < NumFaults {
		return faultNames[f]
	}
	return "unknown"
}

// Error makes a Fault an error for the slow paths.
func (f Fault) Error() string { return "packet: " + f.String() }
