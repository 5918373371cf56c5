package scheduler

import "fmt"

// The three flag bits that a service can carry for its scheduler.
const (
	flag1 uint8 = 1 << iota
	flag2
	flag3
)

// The flags of mh and sh.
const (
	fallbackFlag = flag1
	portFlag     = flag2
)

// flagNames are what ipvsadm calls the bits, lowest first; a scheduler that
// gives a bit a meaning has a name of its own for it.
var (
	flagNames = [3]string{"flag-1", "flag-2", "flag-3"}
	ownNames  = map[string][3]string{
		"mh": {"mh-fallback", "mh-port", "flag-3"},
		"sh": {"sh-fallback", "sh-port", "flag-3"},
	}
)

func namesOf(scheduler string) [3]string {
	if own, ok := ownNames[scheduler]; ok {
		return own
	}
	return flagNames
}

// Flags returns the flags as ipvsadm lists them for that scheduler: each once,
// in a fixed order, by the scheduler's own name where it has one.
func Flags(scheduler string, flags []string) ([]string, error) {
	bits, err := parseFlags(scheduler, flags)
	if err != nil {
		return nil, err
	}
	var canonical []string
	for i, name := range namesOf(scheduler) {
		if bits>>i&1 == 1 {
			canonical = append(canonical, name)
		}
	}
	return canonical, nil
}

func parseFlags(scheduler string, flags []string) (bits uint8, err error) {
	if makers[scheduler] == nil {
		return 0, ErrUnknown
	}
	names := namesOf(scheduler)
next:
	for _, flag := range flags {
		for i := range names {
			if flag == names[i] || flag == flagNames[i] {
				bits |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("%w: %s", ErrFlags, flag)
	}
	return bits, nil
}
