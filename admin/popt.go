package admin

import "strings"

// arity says whether an option takes a value.
type arity uint8

const (
	bare arity = iota
	valued
	maybeValued // -p: a following word is its value unless it begins with a dash
)

// value is what followed an option.
type value struct {
	text  string
	given bool
}

// option is one row of the option table.
type option struct {
	long  string
	short byte // 0 = none
	arity arity
	verb  verb                       // not 0: this option is a command
	set   func(*parser, value) error // of the others
}

// Faults of the scanner, in the words of libpopt.
const (
	unknownOption   = "unknown option"
	missingArgument = "missing argument"
	unwantedValue   = "option does not take an argument"
)

// scanner walks over the words of a command line as libpopt does: options and
// other words may be mixed, short options may be joined, -- ends the options.
type scanner struct {
	options []option
	words   []string
	next    int
	joined  string   // short options that are left of the current word
	rest    []string // words that are no options
}

// option returns the next option. At the end it is nil; fault is not empty
// when the words are none that libpopt takes.
func (s *scanner) option() (o *option, v value, fault string) {
	if s.joined != "" {
		return s.shortOption()
	}
	for s.next < len(s.words) {
		word := s.words[s.next]
		s.next++
		switch {
		case word == "--":
			s.rest = append(s.rest, s.words[s.next:]...)
			s.next = len(s.words)
		case strings.HasPrefix(word, "--"):
			return s.longOption(word[2:])
		case len(word) > 1 && word[0] == '-':
			s.joined = word[1:]
			return s.shortOption()
		default:
			s.rest = append(s.rest, word)
		}
	}
	return nil, value{}, ""
}

func (s *scanner) longOption(word string) (*option, value, string) {
	name, text, given := strings.Cut(word, "=")
	for i := range s.options {
		o := &s.options[i]
		if o.long != name {
			continue
		}
		if o.arity != bare && !given {
			return s.nextWord(o)
		}
		if o.arity == bare && given {
			return nil, value{}, unwantedValue
		}
		return o, value{text, given}, ""
	}
	return nil, value{}, unknownOption
}

func (s *scanner) shortOption() (*option, value, string) {
	letter := s.joined[0]
	s.joined = s.joined[1:]
	for i := range s.options {
		o := &s.options[i]
		if o.short != letter {
			continue
		}
		if o.arity == bare {
			if strings.HasPrefix(s.joined, "=") {
				return nil, value{}, unwantedValue
			}
			return o, value{}, ""
		}
		if s.joined == "" {
			return s.nextWord(o)
		}
		text := strings.TrimPrefix(s.joined, "=")
		s.joined = ""
		return o, value{text, true}, ""
	}
	return nil, value{}, unknownOption
}

// nextWord takes the following word as the value of o.
func (s *scanner) nextWord(o *option) (*option, value, string) {
	switch {
	case s.next == len(s.words) && o.arity == valued:
		return nil, value{}, missingArgument
	case s.next == len(s.words), o.arity == maybeValued && strings.HasPrefix(s.words[s.next], "-"):
		return o, value{}, ""
	}
	s.next++
	return o, value{s.words[s.next-1], true}, ""
}

// last is the word that was taken last: libpopt blames it for every fault.
func (s *scanner) last() string { return s.words[s.next-1] }

// argument returns the next word that is no option.
func (s *scanner) argument() (string, bool) {
	if len(s.rest) == 0 {
		return "", false
	}
	word := s.rest[0]
	s.rest = s.rest[1:]
	return word, true
}
