package vm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// kernels are those that a machine can boot: by name, the suite they come
// from and what their versions begin with.
var kernels = map[string]struct{ suite, version string }{
	"newest": {"sid", ""},
	"6.12":   {"bookworm", "6.12."},
	"6.1":    {"bookworm", "6.1."},
}

var (
	suites = map[string][]string{
		"sid":      {"sid"},
		"bookworm": {"bookworm", "bookworm-backports"},
	}
	// QEMU 7.2 of bookworm has no igb.
	toolPackages = []string{
		"qemu-system-x86/bookworm-backports", "qemu-system-common/bookworm-backports",
		"qemu-system-data/bookworm-backports", "seabios/bookworm-backports",
		"bash", "busybox-static", "curl", "ethtool", "iperf3", "iproute2", "iputils-ping", "ipvsadm", "kmod", "nftables", "procps",
	}
	programs = []string{"bash", "busybox", "curl", "ethtool", "iperf3", "ip", "ipvsadm", "nft", "ping", "kmod", "sysctl"}
	modules  = []string{"igb", "e1000e", "vmxnet3", "virtio_pci", "virtio_net", "veth", "8021q", "ip_vs", "ip_vs_rr", "pktgen",
		"crc32c_generic", "tun", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_fo", "ip_vs_ovf", "ip_vs_lblc", "ip_vs_lblcr",
		"ip_vs_dh", "ip_vs_sh", "ip_vs_mh", "ip_vs_sed", "ip_vs_nq", "ip_vs_ftp", "nf_tables"}
)

// store is the cache folder: what was unpacked and built stays there.
type store struct {
	dir  string
	lock *os.File
}

// openStore opens the cache folder, for one process at a time.
func openStore() (*store, error) {
	dir := os.Getenv("LVX_VM_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find cache folder: %w; set LVX_VM_CACHE", err)
		}
		dir = filepath.Join(base, "lvx-vm")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cache folder: %w", err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("lock cache folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock cache folder: %w", err), lock.Close())
	}
	return &store{dir, lock}, nil
}

func (s *store) close() error { return s.lock.Close() }

// folder returns the folder of that name, which build fills if it is not
// there or was filled for another recipe.
func (s *store) folder(name string, recipe []string, build func(dir string) error) (string, error) {
	sum := sha256.Sum256([]byte(strings.Join(recipe, "\n")))
	dir := filepath.Join(s.dir, fmt.Sprintf("%s-%x", name, sum[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	old, _ := filepath.Glob(filepath.Join(s.dir, name+"-????????"))
	for _, o := range append(old, dir+".new") {
		if err := os.RemoveAll(o); err != nil {
			return "", err
		}
	}
	if err := os.Mkdir(dir+".new", 0o755); err != nil {
		return "", err
	}
	if err := build(dir + ".new"); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	return dir, os.Rename(dir+".new", dir)
}

// tools returns the folder with QEMU and the programs of the guest.
func (s *store) tools() (toolbox, error) {
	dir, err := s.folder("tools", toolPackages, func(dir string) error {
		a, err := newAPT(filepath.Join(s.dir, "apt-bookworm"), suites["bookworm"]...)
		if err != nil {
			return err
		}
		return a.unpackAll(dir, toolPackages...)
	})
	return toolbox(dir), err
}

// image is a kernel and the initramfs that goes with it.
type image struct {
	version         string
	kernel, archive string
}

// image returns a kernel of that name with modules and programs.
func (s *store) image(name string, t toolbox) (image, error) {
	recipe := append(append(append([]string{}, toolPackages...), programs...), modules...)
	dir, err := s.folder("kernel-"+name, recipe, func(dir string) error { return s.buildImage(dir, name, t) })
	if err != nil {
		return image{}, err
	}
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	return image{string(version), filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initramfs")}, err
}

func (s *store) buildImage(dir, name string, t toolbox) error {
	k := kernels[name]
	a, err := newAPT(filepath.Join(s.dir, "apt-"+k.suite), suites[k.suite]...)
	if err != nil {
		return err
	}
	versions, err := a.versions("linux-image-amd64", "linux-image-")
	if err != nil {
		return err
	}
	version := ""
	for _, v := range versions {
		if version == "" && strings.HasPrefix(v, k.version) {
			version = v
		}
	}
	// Newer releases split a kernel into several packages.
	var packages []string
	for _, part := range []string{"linux-image-", "linux-binary-", "linux-modules-"} {
		if version != "" && a.has(part+version) {
			packages = append(packages, part+version)
		}
	}
	if len(packages) == 0 {
		return fmt.Errorf("%w: there is no kernel %s in %s", ErrPackages, k.version, k.suite)
	}
	root := filepath.Join(dir, "root")
	defer os.RemoveAll(root)
	if err := a.unpack(root, packages...); err != nil {
		return err
	}
	return build(dir, root, t)
}
