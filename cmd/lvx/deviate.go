package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lvx-lb/lvx/service"
)

// deviating is the choice of how to differ from IPVS, as options.
type deviating struct {
	strict  bool
	on, off deviations
}

// deviations is a flag NAME[,NAME...] that may be repeated.
type deviations service.Deviations

func (d *deviations) String() string { return service.Deviations(*d).String() }

func (d *deviations) Set(names string) error {
	s, err := service.ParseDeviations(names)
	*d |= deviations(s)
	return err
}

// define adds the options to f.
func (d *deviating) define(f *options) {
	f.BoolVar(&d.strict, "strict", false, "differ from IPVS in nothing that has a switch")
	f.Var(&d.on, "deviate", "`NAME,...` of ways to differ from IPVS, also with --strict; may be repeated:\n"+listDeviations())
	f.Func("idle", "`HOW` an established TCP connection ends that was idle for its timeout: probe, only if one of its ends does not know it any more; reset; or forget, as IPVS. Unless given probe, with --strict forget", d.idle)
	f.Var(&d.off, "no-deviate", "`NAME,...` of the same, not to differ; may be repeated")
}

// idle is a word for the deviations of idle connections.
func (d *deviating) idle(how string) error {
	switch how {
	case "probe":
		d.on |= deviations(service.IdleProbes)
	case "reset":
		d.on |= deviations(service.IdleResets)
	case "forget":
		d.off |= deviations(service.IdleProbes | service.IdleResets)
	default:
		return errors.New("not probe, reset or forget")
	}
	return nil
}

// chosen returns what the options say.
func (d *deviating) chosen() (service.Deviations, error) {
	return service.ChooseDeviations(d.strict, service.Deviations(d.on), service.Deviations(d.off))
}

// listDeviations says what each switch does when it is on.
func listDeviations() string {
	var lines []string
	for _, d := range service.AllDeviations() {
		if d.Switch == 0 {
			continue
		}
		state := "off"
		if d.Default {
			state = "on"
		}
		lines = append(lines, fmt.Sprintf("%s (%s): %s", d.Name, state, strings.ReplaceAll(d.LVX, "`", "")))
	}
	return strings.Join(lines, "\n")
}
