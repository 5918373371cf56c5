package oracle

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/internal/vm"
)

const (
	// portion is how many scenarios the guest plays at a time.
	portion = 10
	// forever is on the guest's clock, where years go by.
	forever = 5000 * time.Hour
)

// fixed are the scenarios that nobody throws dice for.
func fixed(t testing.TB) []*record.Scenario {
	return slices.Concat(scripts(t), matrix(), associations(), choices())
}

// plan says what is played: the fixed scenarios, and random ones.
func plan(t *testing.T) []*record.Scenario {
	t.Helper()
	all := fixed(t)
	first, last := seeds(t)
	for seed := first; seed <= last; seed++ {
		all = append(all, write(t, seed))
	}
	all = chosen(t, all)
	times, _ := strconv.Atoi(os.Getenv("IPVS_TIMES"))
	return slices.Repeat(all, max(times, 1))
}

// seeds returns the first and the last seed of the random scenarios: IPVS_SEED is
// one of them, or two with a hyphen between.
func seeds(t *testing.T) (first, last uint64) {
	t.Helper()
	text := os.Getenv("IPVS_SEED")
	switch {
	case text == "" && os.Getenv("IPVS_SHORT") != "":
		return 1, 30
	case text == "":
		return 1, 120
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 32)
	last, wrong := strconv.ParseUint(to, 10, 32)
	if err = errors.Join(err, wrong); err != nil {
		t.Fatalf("IPVS_SEED: %v", err)
	}
	return first, last
}

// TestKernelAndLvxAgree plays all scenarios to the kernel and to lvx.
func TestKernelAndLvxAgree(t *testing.T) {
	if os.Getenv("LVX_IPVS") == "" {
		t.Skip("takes minutes and packages from Debian's archive; run: make test-ipvs")
	}
	t.Parallel() // so that others go on beside the machine
	began := time.Now()
	all := plan(t)
	guest := boot(t, all)
	t.Logf("%s: kernel %s has booted", time.Since(began).Round(time.Second), guest.Version)
	var recording []*record.Scenario
	counted, lively := newTally(), newLive()
	for n := range (len(all) + portion - 1) / portion {
		played := play(t, guest, fmt.Sprintf("/scenarios/%d", n), "")
		for _, s := range played {
			counted.scenarios++
			for _, d := range replay(t, s, nil, counted) {
				t.Errorf("%v", d)
			}
		}
		lively.follow(t, guest, n, played)
		recording = append(recording, played...)
		t.Logf("%s: %d of %d scenarios, %d packets; %v", time.Since(began).Round(time.Second), len(recording), len(all), counted.packets, lively)
	}
	whole := os.Getenv("IPVS_SEED")+os.Getenv("IPVS_SCENARIO") == ""
	if whole {
		findLiveFaults(t, guest, recording)
	}
	guest.Stop()
	keep(t, recording)
	t.Log(counted)
	t.Log(lively.report())
	if whole {
		findFaults(t, recording)
	}
	t.Logf("%s in all", time.Since(began).Round(time.Second))
}

// boot starts a machine with the scenarios in it.
func boot(t *testing.T, all []*record.Scenario) *vm.Machine {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"setup.sh": "guest/setup.sh"}
	for name, source := range map[string]string{"init": "internal/vm/guest", "usr/bin/oracle": "internal/oracle/guest", "usr/bin/lvx": "cmd/lvx"} {
		files[name] = filepath.Join(dir, filepath.Base(source)+filepath.Base(name))
		cmd := exec.Command("go", "build", "-trimpath", "-o", files[name], "github.com/lvx-lb/lvx/"+source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v: %s", source, err, out)
		}
	}
	put := func(name string, all ...*record.Scenario) {
		var text bytes.Buffer
		files[name] = filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := errors.Join(record.Write(&text, all...), os.WriteFile(files[name], text.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for part := range slices.Chunk(all, portion) {
		put(fmt.Sprintf("scenarios/%d", n), part...)
		put(fmt.Sprintf("live/%d", n), alive(part)...)
		n++
	}
	for _, f := range liveFaults {
		if s := called(all, f.scenario); s != nil {
			put("faults/"+s.Scenario, s)
		}
	}
	m, err := vm.Boot(vm.Config{Kernel: "6.1", Dense: true, Files: files})
	if errors.Is(err, vm.ErrPackages) && os.Getenv("IPVS_SHORT") != "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	if out, code, err := m.Run("bash /setup.sh", forever); code != 0 || err != nil {
		t.Fatalf("set up the network: %s %v", out, err)
	}
	return m
}

// play has the guest play a file of scenarios, to the kernel or to lvx with
// these options, and returns the recording.
func play(t *testing.T, m *vm.Machine, file, lvx string) []*record.Scenario {
	t.Helper()
	out, code, err := m.Run(fmt.Sprintf("oracle -lvx '%s' %s /recording && base64 -w0 /recording", lvx, file), forever)
	if code != 0 || err != nil {
		t.Fatalf("play scenarios: %s %v\n%s", out, err, m.Console())
	}
	packed, err := base64.StdEncoding.DecodeString(out)
	if err != nil {
		t.Fatalf("read the guest's recording: %v", err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	all, err := record.Read(zip)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// keep writes the recording of a failed run for a closer look. With -update a
// part of it becomes what other runs replay: scripts, cells, choices and some
// random scenarios; the golden ones each in a file of its own. What was not
// played this time stays.
func keep(t *testing.T, all []*record.Scenario) {
	t.Helper()
	if !*update && !t.Failed() {
		return
	}
	if !*update {
		store(t, filepath.Join(os.TempDir(), "lvx-oracle.jsonl.gz"), all...)
		return
	}
	var rest []*record.Scenario
	for _, s := range all {
		switch {
		case strings.HasPrefix(s.Scenario, golden):
			store(t, "testdata/recordings/"+s.Scenario+".jsonl.gz", s)
		case s.Seed <= 30:
			rest = append(rest, s)
		}
	}
	const name = "testdata/recordings/kernel-6.1.jsonl.gz"
	store(t, name, renewed(readRecording(t, name), rest)...)
}

// renewed returns the old recordings with the new ones in their place or, of
// other scenarios, behind them.
func renewed(old, new []*record.Scenario) []*record.Scenario {
	for _, s := range new {
		at := slices.IndexFunc(old, func(o *record.Scenario) bool { return o.Scenario == s.Scenario })
		if at < 0 {
			old = append(old, s)
		} else {
			old[at] = s
		}
	}
	return old
}

func store(t *testing.T, name string, all ...*record.Scenario) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	zip, _ := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err := errors.Join(record.Write(zip, all...), zip.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("recording: %s", name)
}
