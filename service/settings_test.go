package service

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSettingsBeginAsThoseOfIPVS(t *testing.T) {
	want := map[string]int{"am_droprate": 10, "conn_reuse_mode": 1, "pmtu_disc": 1, "run_estimation": 1, "snat_reroute": 1}
	all := new(Set).Settings().All()
	if len(all) != reflect.TypeFor[Settings]().NumField() {
		t.Errorf("%d of the settings have a name", len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b Sysctl) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("not sorted: %v", all)
	}
	for _, c := range all {
		if c.Value != want[c.Name] {
			t.Errorf("%s is %d, want %d", c.Name, c.Value, want[c.Name])
		}
	}
}

func TestEverySettingIsWrittenByItsName(t *testing.T) {
	for i, name := range new(Set).Settings().All() {
		set := new(Set)
		was := set.Settings()
		for _, c := range []Sysctl{{name.Name, 1}, {SysctlPrefix + name.Name, 1}} {
			if err := set.Apply(Edit{Op: SetSysctl, Sysctl: c}); err != nil {
				t.Error(err)
			}
		}
		now := set.Settings()
		if v, err := now.Get(SysctlPrefix + name.Name); v != 1 || err != nil {
			t.Errorf("%s is %d, %v", name.Name, v, err)
		}
		for k, c := range now.All() {
			if old := was.All()[k]; k != i && c != old {
				t.Errorf("%s changed %v to %v", name.Name, old, c)
			}
		}
	}
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{"conn_reuse_mode=4", ErrRange}, {"conn_reuse_mode=-1", ErrRange}, {"sloppy_tcp=2", ErrRange},
		{"drop_entry=4", ErrRange}, {"am_droprate=0", ErrRange},
		{"conntrack=1", ErrNotSupported}, {"net.ipv4.vs.sync_version=1", ErrNotSupported}, {"amemthresh=1", ErrNotSupported},
		{"nonsense=1", ErrNoSysctl}, {"=1", ErrNoSysctl}, {"net.ipv4.ip_forward=1", ErrNoSysctl},
		{"sloppy_tcp", ErrInvalid}, {"sloppy_tcp=", ErrInvalid}, {"sloppy_tcp=yes", ErrInvalid}, {"sync_threshold=3 50", ErrInvalid},
	} {
		set := new(Set)
		s, err := ParseSysctl(c.text)
		if err == nil {
			err = set.Apply(Edit{Op: SetSysctl, Sysctl: s})
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.text, err, c.want)
		}
		if set.Settings() != DefaultSettings() {
			t.Errorf("%s changed something", c.text)
		}
	}
}

func TestSpacesMayStandAroundTheEqualsSign(t *testing.T) {
	if c, err := ParseSysctl(" sloppy_tcp = 1 "); c != (Sysctl{"sloppy_tcp", 1}) || err != nil {
		t.Errorf("%v, %v", c, err)
	}
}

func TestACloneHasSettingsOfItsOwnAndClearLeavesThem(t *testing.T) {
	set := new(Set)
	clone := set.Clone()
	if err := clone.Apply(Edit{Op: SetSysctl, Sysctl: Sysctl{"sloppy_tcp", 1}}); err != nil {
		t.Fatal(err)
	}
	if err := clone.Apply(Edit{Op: Clear}); err != nil {
		t.Fatal(err)
	}
	if set.Settings().SloppyTCP != 0 || clone.Settings().SloppyTCP != 1 {
		t.Errorf("%v, %v", set.Settings(), clone.Settings())
	}
}

func TestADefenceThatWaitsTellsWhetherRoomIsShort(t *testing.T) {
	for mode, want := range map[int][2]int{0: {0, 0}, 1: {1, 2}, 2: {1, 2}, 3: {3, 3}} {
		s := Settings{DropConn: mode, DropPacket: mode, SecureTCP: mode, ConnReuseMode: mode}
		for i, short := range []bool{false, true} {
			if got := s.Seen(short); got != (Settings{DropConn: want[i], DropPacket: want[i], SecureTCP: want[i], ConnReuseMode: mode}) {
				t.Errorf("mode %d, short %v: %+v", mode, short, got)
			}
		}
	}
}
