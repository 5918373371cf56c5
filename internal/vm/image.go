package vm

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// toolbox is a folder with unpacked packages. Its programs run with its own
// libraries and loader, whatever this machine has.
type toolbox string

const loader = "lib64/ld-linux-x86-64.so.2"

var libraryFolders = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/pulseaudio"}

func (t toolbox) path(name string) string { return filepath.Join(string(t), name) }

// command prepares a program of the toolbox that is to find itself called
// name.
func (t toolbox) command(program, name string, args ...string) *exec.Cmd {
	var libraries []string
	for _, f := range libraryFolders {
		libraries = append(libraries, t.path(f))
	}
	start := []string{"--library-path", strings.Join(libraries, ":"), "--argv0", name, program}
	return exec.Command(t.path(loader), append(start, args...)...)
}

// find looks for a file in some folders of the toolbox.
func (t toolbox) find(name string, folders ...string) (string, error) {
	for _, f := range folders {
		if info, err := os.Stat(t.path(filepath.Join(f, name))); err == nil && !info.IsDir() {
			return filepath.Join(f, name), nil
		}
	}
	return "", fmt.Errorf("%w: no %s among them", ErrPackages, name)
}

// build makes vmlinuz and initramfs in dir out of the unpacked kernel.
func build(dir, root string, t toolbox) error {
	base := filepath.Join(root, "usr")
	if _, err := os.Stat(filepath.Join(base, "lib/modules")); err != nil {
		base = root
	}
	found, err := filepath.Glob(filepath.Join(base, "lib/modules/*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("find modules: %v, %w", found, errors.Join(err, ErrPackages))
	}
	version := filepath.Base(found[0])
	kernel := filepath.Join(found[0], "vmlinuz")
	if _, err := os.Stat(kernel); err != nil {
		kernel = filepath.Join(root, "boot/vmlinuz-"+version)
	}
	if err := os.Rename(kernel, filepath.Join(dir, "vmlinuz")); err != nil {
		return fmt.Errorf("find kernel: %w", err)
	}
	kmod, err := t.find("kmod", "bin", "usr/bin")
	if err != nil {
		return err
	}
	if out, err := t.command(t.path(kmod), "depmod", "-b", base, version).CombinedOutput(); err != nil {
		return fmt.Errorf("list dependencies of modules: %w: %s", err, out)
	}
	file, err := os.Create(filepath.Join(dir, "initramfs"))
	if err != nil {
		return err
	}
	defer file.Close()
	a := newArchive(file)
	if err := addModules(a, found[0], version); err != nil {
		return err
	}
	if err := addPrograms(a, t); err != nil {
		return err
	}
	if err := a.close(); err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "version"), []byte(version), 0o644)
}

// addModules adds the modules and those they need, by the lists of depmod.
func addModules(a *archive, dir, version string) error {
	list, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return err
	}
	to := "lib/modules/" + version + "/"
	for line := range strings.Lines(string(list)) {
		path, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ := strings.Cut(filepath.Base(path), ".ko")
		if !slices.Contains(modules, strings.ReplaceAll(name, "-", "_")) {
			continue
		}
		for _, file := range append(strings.Fields(needs), path) {
			a.copy(to+file, filepath.Join(dir, file))
		}
	}
	lists, err := filepath.Glob(filepath.Join(dir, "modules.*"))
	for _, l := range lists {
		a.copy(to+filepath.Base(l), l)
	}
	return err
}

// addPrograms adds the guest's programs with their libraries.
func addPrograms(a *archive, t toolbox) error {
	a.copy(loader, t.path(loader))
	for _, name := range programs {
		path, err := t.find(name, "bin", "usr/bin", "sbin", "usr/sbin")
		if err != nil {
			return err
		}
		a.copy("usr/bin/"+name, t.path(path))
		if err := addLibraries(a, t, t.path(path)); err != nil {
			return err
		}
	}
	for _, name := range []string{"depmod", "insmod", "lsmod", "modprobe", "rmmod"} {
		a.put("usr/bin/"+name, link, []byte("kmod"))
	}
	out, err := exec.Command(t.path("usr/bin/busybox"), "--list").Output()
	if err != nil {
		out, err = exec.Command(t.path("bin/busybox"), "--list").Output()
	}
	for name := range bytes.FieldsSeq(out) {
		a.put("usr/bin/"+string(name), link, []byte("busybox"))
	}
	a.put("bin", link, []byte("usr/bin"))
	a.put("sbin", link, []byte("usr/bin"))
	for path, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/:/bin/bash\n", "etc/group": "root:x:0:\n", "etc/hosts": "127.0.0.1 localhost\n",
		"etc/protocols": "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n",
	} {
		a.put(path, plain, []byte(text))
	}
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run/netns", "var", "root"} {
		a.put(dir, folder, nil)
	}
	return err
}

// addLibraries adds what a program is linked with.
func addLibraries(a *archive, t toolbox, program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(program), err)
	}
	defer file.Close()
	names, err := file.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, name := range names {
		if filepath.Base(loader) == name {
			continue
		}
		path, err := t.find(name, libraryFolders...)
		if err != nil {
			return err
		}
		if to := "lib/x86_64-linux-gnu/" + name; !a.made[to] {
			a.copy(to, t.path(path))
			if err := addLibraries(a, t, t.path(path)); err != nil {
				return err
			}
		}
	}
	return nil
}
