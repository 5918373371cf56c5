package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Settings of the whole machine that a measurement changes while it runs:
// with sched_autogroup a busy terminal takes half of a core from a pinned
// director, and with a small conntrack hash nftables walks long chains.
var machineSettings = map[string]string{
	"/proc/sys/kernel/sched_autogroup_enabled":     "0",
	"/sys/module/nf_conntrack/parameters/hashsize": "4194304",
	"/proc/sys/net/netfilter/nf_conntrack_max":     "16777216",
}

// settingsBefore keeps the machine's own settings while they are changed: a run
// that was killed is made good by the next one.
const settingsBefore = "/run/lvx-bench.json"

// changeMachine makes the changes and returns what undoes them. A setting
// that is not there or may not be changed stays as it is.
func changeMachine() (restore func() error, err error) {
	old := map[string]string{}
	if text, err := os.ReadFile(settingsBefore); err == nil {
		err = json.Unmarshal(text, &old)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", settingsBefore, err)
		}
	}
	for path := range machineSettings {
		if was, err := os.ReadFile(path); err == nil && old[path] == "" {
			old[path] = strings.TrimSpace(string(was))
		}
	}
	text, err := json.Marshal(old)
	if err == nil {
		err = os.WriteFile(settingsBefore, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("note settings: %w", err)
	}
	for path, value := range machineSettings {
		_ = os.WriteFile(path, []byte(value), 0)
	}
	return func() error {
		var errs []error
		for path, value := range old {
			if now, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(now)) != value {
				errs = append(errs, os.WriteFile(path, []byte(value), 0))
			}
		}
		return errors.Join(append(errs, os.Remove(settingsBefore))...)
	}, nil
}

// The generator has a CPU of its own; the director has the other one.
const generatorCPU = 0

func directorCPU() int { return min(1, runtime.NumCPU()-1) }

// slice is how long a thread put before others runs before they have their
// turn. A short one makes it preempt them when it wakes (Linux 6.12); a nice
// value alone does not.
const slice = 100 * time.Microsecond

// Nice values. A worker that has to share its core with the thread that polls
// its NIC gets further if it is put before that thread: what is received and
// finds the ring full is lost work.
const (
	asIs   = 0
	first  = -20
	second = -12
)

// pin keeps a thread on one CPU and gives it a nice value, unless that is
// asIs. Thread 0 is the calling one.
func pin(thread, cpu, nice int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(thread, &set); err != nil {
		return fmt.Errorf("pin thread %d to CPU %d: %w", thread, cpu, err)
	}
	if nice != asIs { // refused in some containers
		unix.SchedSetAttr(thread, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Nice: int32(nice), Runtime: uint64(slice)}, 0)
	}
	return nil
}

// pinProcess pins all threads of a process. Threads that it starts later are
// where the one that starts them is.
func pinProcess(pid, cpu, nice int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
	if err != nil || threads == nil {
		return fmt.Errorf("pin process %d: it is not there", pid)
	}
	for _, path := range threads {
		thread, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		if err := pin(thread, cpu, nice); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// pinPolling pins the kernel's threads that poll a NIC of that name, in any
// namespace, and returns how many there are.
func pinPolling(nic string, cpu, nice int) (n int) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range names {
		name, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(name), "napi/"+nic+"-") {
			continue
		}
		thread, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && pin(thread, cpu, nice) == nil {
			n++
		}
	}
	return n
}

// cpuTime is what a process has used of all CPUs, in nanoseconds.
func cpuTime(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	// The name may hold spaces; it ends at the last bracket.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const utime, stime, tick = 11, 12, 1e9 / 100
	if len(fields) <= stime {
		return 0, fmt.Errorf("read CPU time of %d: %d fields", pid, len(fields))
	}
	user, err := strconv.ParseInt(fields[utime], 10, 64)
	system, err2 := strconv.ParseInt(fields[stime], 10, 64)
	return (user + system) * tick, errors.Join(err, err2)
}

// resident is the resident set of a process and what of it is anonymous, in
// bytes.
func resident(pid int) (all, anonymous int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read resident set: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			all = kilobytes << 10
		case "RssAnon:":
			anonymous = kilobytes << 10
		}
	}
	return all, anonymous, nil
}

// mapBytes is what the kernel charges a process for its eBPF maps, the
// connection table among them.
func mapBytes(pid int) (sum int64) {
	seen := map[string]bool{}
	infos, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, path := range infos {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var id, bytes string
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			switch name {
			case "map_id":
				id = strings.TrimSpace(value)
			case "memlock":
				bytes = strings.TrimSpace(value)
			}
		}
		if id != "" && !seen[id] {
			seen[id] = true
			n, _ := strconv.ParseInt(bytes, 10, 64)
			sum += n
		}
	}
	return sum
}

// machine describes what the figures were taken on.
func machine() [][2]string {
	rows := [][2]string{{"CPU", fmt.Sprintf("%d × %s", runtime.NumCPU(), cpuField("model name"))}}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		rows = append(rows, [2]string{"kernel", unix.ByteSliceToString(name.Release[:])})
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		rows = append(rows, [2]string{"memory", fmt.Sprintf("%d GB", uint64(info.Totalram)*uint64(info.Unit)>>30)})
	}
	return append(rows, [2]string{"Go", runtime.Version()}, [2]string{"load before", load()})
}

func cpuField(name string) string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if field, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(field) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// load is the load average of the last minute.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// HostName is a neutral name for this machine: "two-core-vm".
func HostName() string {
	words := map[int]string{1: "one", 2: "two", 4: "four", 8: "eight", 16: "sixteen"}
	n, ok := words[runtime.NumCPU()]
	if !ok {
		n = strconv.Itoa(runtime.NumCPU())
	}
	if strings.Contains(" "+cpuField("flags")+" ", " hypervisor ") {
		return n + "-core-vm"
	}
	return n + "-core"
}
