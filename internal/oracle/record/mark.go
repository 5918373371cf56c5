package record

import (
	"fmt"

	"github.com/lvx-lb/lvx/service"
)

// Mark returns what the command of a Step does to the rules by which packets
// are marked: mark add RULE, mark del RULE or mark flush, as lvx has them.
func (s *Step) Mark() (e service.Edit, err error) {
	words := s.Command[1:]
	if len(words) == 1 && words[0] == "flush" {
		return service.Edit{Op: service.ClearMarks}, nil
	}
	if len(words) > 1 {
		e.Op = map[string]service.Op{"add": service.AddMark, "del": service.DeleteMark}[words[0]]
		e.Mark, err = service.ParseMarkRule(words[1:])
	}
	if e.Op == 0 {
		err = fmt.Errorf("%q is no command about marks", s.Command)
	}
	return e, err
}
