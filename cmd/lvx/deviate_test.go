package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

func TestOptionsChooseHowToDifferFromIPVS(t *testing.T) {
	const empty, wrong = service.EmptyUDPChecksum, service.WrongSCTPChecksum
	for _, c := range []struct {
		line string
		want service.Deviations
	}{
		{"", service.DefaultDeviations()},
		{"--strict", 0},
		{"--strict --deviate empty-udp-checksum,wrong-sctp-checksum", empty | wrong},
		{"--deviate empty-udp-checksum --strict --deviate wrong-sctp-checksum", empty | wrong},
		{"--no-deviate empty-udp-checksum", service.DefaultDeviations() &^ empty},
	} {
		var d deviating
		f := optionsOf("", stdio{})
		d.define(f)
		err := f.Parse(strings.Fields(c.line))
		if got, wrong := d.chosen(); err != nil || wrong != nil || got != c.want {
			t.Errorf("%q: %v, %v, %v", c.line, got, err, wrong)
		}
	}
}

func TestHelpTellsOfEverySwitch(t *testing.T) {
	var out bytes.Buffer
	if _, code, ok := parseRun([]string{"-h"}, stdio{out: &out}); code != exitOK || ok {
		t.Errorf("code %d, %v", code, ok)
	}
	for _, d := range service.AllDeviations() {
		if d.Switch != 0 && !strings.Contains(out.String(), d.Name+" (") {
			t.Errorf("%s is not in\n%s", d.Name, &out)
		}
	}
	out.Reset()
	if _, code, ok := parseRun([]string{"--nic", "x", "--deviate", "nonsense"}, stdio{err: &out}); code != exitUsage || ok || !strings.Contains(out.String(), "no such deviation") {
		t.Errorf("code %d, %v: %s", code, ok, &out)
	}
}
