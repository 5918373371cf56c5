package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lvx-lb/lvx/service"
)

const sysctlHelp = `lvx adm sysctl NAME...           show settings
lvx adm sysctl NAME=VALUE...     change settings, all of them or none
lvx adm sysctl -a                show all settings

NAME is a sysctl of IPVS, with or without ` + service.SysctlPrefix + ` before it. Changes
last until the director stops; lvx run --sysctl NAME=VALUE sets one at its start,
and lvx save keeps them.
`

// RunSysctl shows and changes settings of the director at socket as sysctl(8)
// does with the kernel's, and returns the exit code of the process.
func RunSysctl(ctx context.Context, args []string, stdout, stderr io.Writer, socket string) int {
	t := tool{ctx: ctx, errs: stderr, socket: socket}
	var names []string
	var edits []service.Edit
	for _, word := range args {
		switch {
		case word == "-h" || word == "--help":
			fmt.Fprint(stdout, sysctlHelp)
			return 0
		case word == "-a" || word == "-A" || word == "--all":
			for _, c := range service.DefaultSettings().All() {
				names = append(names, c.Name)
			}
		case word == "-w" || word == "--write": // as sysctl(8) has it; the equals sign says it all
		case strings.HasPrefix(word, "-"):
			return t.fail(exitUsage, fmt.Sprintf("lvx adm sysctl: unknown option %s; `lvx adm sysctl -h` tells the options", word))
		default:
			name, _, writes := strings.Cut(word, "=")
			names = append(names, strings.TrimSpace(name))
			if !writes {
				continue
			}
			c, err := service.ParseSysctl(word)
			if err != nil {
				return t.fail(exitUsage, err.Error())
			}
			edits = append(edits, service.Edit{Op: service.SetSysctl, Sysctl: c})
		}
	}
	if len(names) == 0 {
		return t.fail(exitUsage, strings.TrimSpace(sysctlHelp))
	}
	return t.sysctl(names, edits, stdout)
}

// sysctl makes the edits and shows the settings of the names.
func (t *tool) sysctl(names []string, edits []service.Edit, stdout io.Writer) int {
	if err := t.reach(); err != nil {
		return t.fail(exitUsage, err.Error())
	}
	if len(edits) > 0 {
		if err := t.director.Apply(t.ctx, edits); err != nil {
			return t.sysctlRefused(err)
		}
	}
	settings, err := t.director.Settings(t.ctx)
	if err != nil {
		return t.sysctlRefused(err)
	}
	code := 0
	for _, name := range names {
		value, err := settings.Get(name)
		if err != nil {
			code = t.fail(exitRefused, err.Error())
			continue
		}
		fmt.Fprintf(stdout, "%s%s = %d\n", service.SysctlPrefix, strings.TrimPrefix(name, service.SysctlPrefix), value)
	}
	return code
}

func (t *tool) sysctlRefused(err error) int {
	if errors.Is(err, ErrUnreachable) || errors.Is(err, ErrForbidden) {
		return t.fail(exitUsage, unreachable(t.socket, err).Error())
	}
	return t.fail(exitRefused, err.Error())
}
