package admin

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/scheduler"
	"github.com/lvx-lb/lvx/service"
)

func TestPortsAreReadFromEtcServices(t *testing.T) {
	p := readPorts(strings.NewReader(`
# a comment
http		80/tcp		www		# WorldWideWeb HTTP
http		80/udp
other		80/tcp
domain 53/udp
domain 70/udp
broken
worse x/tcp
large 65536/tcp
exotic 5/dccp
`))
	for want, got := range map[string]string{
		"http": p.names[portNumber{service.TCP, 80}], "domain": p.names[portNumber{service.UDP, 53}],
		"": p.names[portNumber{service.SCTP, 80}],
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for at, want := range map[portName]uint16{
		{service.TCP, "http"}: 80, {service.TCP, "www"}: 80, {service.TCP, "other"}: 80, {service.UDP, "www"}: 0,
		{service.UDP, "domain"}: 53, {service.TCP, "80/tcp"}: 0, {service.TCP, "large"}: 0, {service.TCP, "worse"}: 0,
	} {
		if got := p.numbers[at]; got != want {
			t.Errorf("%v is %d, want %d", at, got, want)
		}
	}
}

func TestTheHelpNamesEveryOptionAndScheduler(t *testing.T) {
	for _, o := range optionTable {
		family, _, _ := strings.Cut(o.long, "-")
		if o.short != 0 && strings.Contains(helpText, " -"+string(o.short)) {
			continue
		}
		if !strings.Contains(helpText, "--"+o.long) && !strings.Contains(helpText, "--"+family+"-...") {
			t.Errorf("the help does not name --%s", o.long)
		}
	}
	for _, name := range scheduler.Names() {
		if !strings.Contains(helpText, name) {
			t.Errorf("the help does not name the scheduler %s", name)
		}
	}
}

func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	var said bytes.Buffer
	if code := Run(t.Context(), []string{"-h"}, nil, full{}, &said, "", Names{}); code != exitList || said.String() != "write output: no space\n" {
		t.Error(code, said.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }
