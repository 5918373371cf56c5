package lvx

import (
	"errors"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

func TestAConfigIsRefusedBeforeAnythingIsOpened(t *testing.T) {
	for _, c := range []Config{
		{Conns: -1}, {Conns: maxConns + 1}, {Rings: 100}, {Rings: 32}, {Rings: 1 << 16}, {Rings: -2048},
		{Workers: -1}, {Workers: maxQueues + 1}, {Name: "a-name-too-long"}, {Name: "../etc"}, {Name: ".."}, {Name: "a b"},
		{FTP: []uint16{1}}, {FTP: make([]uint16, maxFTP+1)}, {SlowStart: -1}, {SlowStart: maxSlowStart + 1},
		{Deviate: service.EmptyUDPChecksum, NoDeviate: service.EmptyUDPChecksum},
	} {
		c.NICs = []string{"nosuch"}
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v, want %v", c, err, ErrConfig)
		}
	}
}

func TestTheDefaultsAndTheLimitsOfAConfigAreGood(t *testing.T) {
	for _, c := range []Config{{}, {Conns: 1}, {Conns: maxConns}, {Rings: minRings}, {Rings: maxRings}, {Name: "fourteen-bytes"}} {
		c = c.withDefaults()
		if err := c.check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
