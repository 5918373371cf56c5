package lvx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/netlab"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/nic/xsk"
)

func TestQueuesProveThatTheySend(t *testing.T) {
	pool := nic.NewPool(8, chunkBytes)
	free := []uint64{0, 4096, 8192, 12288}
	sends, late, never := nic.NewMemory(pool, nic.Rings{}), nic.NewMemory(pool, nic.Rings{}), nic.NewMemory(pool, nic.Rings{})
	late.SetDown(true)
	never.SetDown(true)
	mac := [6]byte{2, 0, 0, 0, 0, 0xd1}
	var all []trial
	for name, q := range map[string]*nic.Memory{"sends": sends, "late": late, "never": never} {
		all = append(all, trial{name, q, mac, 1500, &free})
	}
	rests := 0
	left := unproved(pool, all, func() bool {
		rests++
		late.SetDown(rests < 3)
		return rests < 5
	})
	if len(left) != 1 || left[0].name != "never" || rests != 5 {
		t.Errorf("%+v are left after %d rests", left, rests)
	}
	if slices.Sort(free); len(slices.Compact(free)) != 3 {
		t.Errorf("free chunks are %v, one lies in a ring", free)
	}
	for _, q := range []*nic.Memory{sends, late} {
		sent := q.Sent()
		if len(sent) != 1 || len(sent[0]) != 1514 || !bytes.HasPrefix(sent[0], slices.Concat(mac[:], mac[:], []byte{0x88, 0xb5, 0, 0})) {
			t.Errorf("sent %x", sent)
		}
	}
}

func TestZeroCopyThatDoesNotSendIsNotBelieved(t *testing.T) {
	var told strings.Builder
	log := slog.New(slog.NewTextHandler(&told, nil))
	left := []trial{{name: "eth7", mtu: 1500}}
	if err := doubt(xsk.ZeroCopy, left, log); !errors.Is(err, ErrSending) || !strings.Contains(err.Error(), "eth7") {
		t.Errorf("zero copy: %v", err)
	}
	if err := doubt(xsk.Native, left, log); err != nil || !strings.Contains(told.String(), "nic=eth7 bytes=1514") {
		t.Errorf("copy: %v, told %q", err, told.String())
	}
	if err := doubt(xsk.ZeroCopy, nil, log); err != nil {
		t.Error(err)
	}
}

func TestADirectorSendsOneFrameToItselfAtItsStart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces and AF_XDP")
	}
	lab, err := netlab.New()
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	hosts, err := lab.Hosts("director", "switch")
	if err == nil {
		err = errors.Join(lab.Link(hosts[0], "eth0", hosts[1], "eth0"), hosts[0].Address("eth0", "192.0.2.1/24"))
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hosts[1].Raw("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var d *Director
	err = hosts[0].Do(func() (err error) {
		d, err = New(Config{NICs: []string{"eth0"}, Conns: 1024, Log: slog.New(slog.DiscardHandler)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer hosts[0].Do(d.Close)
	n, err := hosts[0].NIC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		size, err := raw.Receive(buf, time.Now().Add(30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if binary.BigEndian.Uint16(buf[12:]) != experimental {
			continue
		}
		if size != ethernetHeader+n.MTU || !bytes.Equal(buf[:6], n.HardwareAddr) || !bytes.Equal(buf[6:12], n.HardwareAddr) {
			t.Errorf("%d bytes, %x", size, buf[:14])
		}
		return
	}
}
