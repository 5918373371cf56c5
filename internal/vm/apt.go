package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrPackages says that Debian's packages cannot be had here.
var ErrPackages = errors.New("packages of Debian cannot be had")

const debianKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt asks Debian's archive, with lists, cache and a (void) list of installed
// packages of its own, so that it neither sees nor changes those of the
// machine.
type apt struct {
	dir     string
	options []string
}

// newAPT reads the package lists of the suites of Debian into dir.
func newAPT(dir string, suites ...string) (*apt, error) {
	for _, need := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(need); err != nil {
			return nil, fmt.Errorf("%w: there is no %s on this machine", ErrPackages, need)
		}
	}
	if _, err := os.Stat(debianKeys); err != nil {
		return nil, fmt.Errorf("%w: without %s nothing can be verified; install debian-archive-keyring", ErrPackages, debianKeys)
	}
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	archive := mirror()
	if archive == "" {
		return nil, fmt.Errorf("%w: apt's own sources name no archive of Debian", ErrPackages)
	}
	var sources strings.Builder
	for _, suite := range suites {
		fmt.Fprintf(&sources, "deb [arch=amd64 signed-by=%s] %s %s main\n", debianKeys, archive, suite)
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "sources.list"), []byte(sources.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "status"), nil, 0o644))
	if err != nil {
		return nil, err
	}
	a := &apt{dir: dir}
	for _, o := range []string{
		"APT::Architecture=amd64", "APT::Architectures=amd64", "APT::Sandbox::User=",
		"APT::Install-Recommends=false", "APT::Update::Error-Mode=any", "Acquire::Retries=3", "Acquire::Languages=none",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "Acquire::IndexTargets::deb::CNF::DefaultEnabled=false",
		"Dir::State=" + dir, "Dir::State::lists=" + dir + "/lists", "Dir::State::status=" + dir + "/status",
		"Dir::Cache=" + dir, "Dir::Cache::archives=" + dir + "/archives",
		"Dir::Etc::sourcelist=" + dir + "/sources.list", "Dir::Etc::sourceparts=/dev/null",
		"Dir::Etc::preferences=/dev/null", "Dir::Etc::preferencesparts=/dev/null",
	} {
		a.options = append(a.options, "-o", o)
	}
	_, err = a.run("apt-get", "update", "-q")
	return a, err
}

// mirror is the one that this machine uses, if it is a Debian.
func mirror() string {
	out, _ := exec.Command("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages").Output()
	for line := range strings.Lines(string(out)) {
		if url, found := strings.CutPrefix(strings.TrimSpace(line), "Debian http"); found {
			return "http" + strings.TrimSuffix(url, "/")
		}
	}
	return ""
}

func (a *apt) run(program string, args ...string) (string, error) {
	cmd := exec.Command(program, append(append([]string{}, a.options...), args...)...)
	cmd.Dir = filepath.Join(a.dir, "archives")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s %s: %w\n%s", ErrPackages, program, args[0], err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// versions returns the versions of a package's dependency whose name begins
// with prefix, as linux-image-amd64 depends on the image of each suite.
func (a *apt) versions(name, prefix string) ([]string, error) {
	out, err := a.run("apt-cache", "show", name)
	var found []string
	for line := range strings.Lines(out) {
		list, ok := strings.CutPrefix(line, "Depends: ")
		for dependency := range strings.SplitSeq(list, ",") {
			word, _, _ := strings.Cut(strings.TrimSpace(dependency), " ")
			if version, has := strings.CutPrefix(word, prefix); ok && has && version != "" && version[0] <= '9' {
				found = append(found, version)
			}
		}
	}
	return found, err
}

// has reports whether there is a package of that name.
func (a *apt) has(name string) bool {
	out, err := a.run("apt-cache", "show", name)
	return err == nil && strings.HasPrefix(out, "Package:")
}

// unpack unpacks packages into root, without running anything of theirs.
func (a *apt) unpack(root string, packages ...string) error {
	if _, err := a.run("apt-get", append([]string{"download", "-q"}, packages...)...); err != nil {
		return err
	}
	return a.extract(root)
}

// unpackAll does so with everything that the packages depend on.
func (a *apt) unpackAll(root string, packages ...string) error {
	if _, err := a.run("apt-get", append([]string{"install", "-q", "-y", "--download-only"}, packages...)...); err != nil {
		return err
	}
	return a.extract(root)
}

// extract unpacks what was downloaded and removes it.
func (a *apt) extract(root string) error {
	files, err := filepath.Glob(filepath.Join(a.dir, "archives", "*.deb"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%w: nothing was downloaded", ErrPackages)
	}
	if err != nil {
		return err
	}
	for _, file := range files {
		if out, err := exec.Command("dpkg-deb", "-x", file, root).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(file), err, out)
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}
