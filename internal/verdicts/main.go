// Command verdicts runs `go test` with the given arguments and prints one line
// a test as it ends, what failing and skipped tests said, and a closing line.
// Its exit status is that of `go test`.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// event is one line of `go test -json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// tally is what has been printed and counted so far.
type tally struct {
	out      io.Writer
	said     map[string][]string // output of tests that have not ended
	pass     int
	fail     int
	skip     int
	packages int
}

func main() {
	start := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "verdicts:", err)
		os.Exit(1)
	}
	t := &tally{out: os.Stdout, said: map[string][]string{}}
	t.read(lines)
	err = cmd.Wait()
	t.close(time.Since(start), err == nil)
	if err != nil {
		os.Exit(1)
	}
}

func (t *tally) read(lines io.Reader) {
	scan := bufio.NewScanner(lines)
	scan.Buffer(nil, 64<<20)
	for scan.Scan() {
		var e event
		if json.Unmarshal(scan.Bytes(), &e) != nil {
			fmt.Fprintln(t.out, scan.Text())
			continue
		}
		t.add(e)
	}
}

func (t *tally) add(e event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		t.said[name] = append(t.said[name], e.Output)
	case "build-fail":
		t.print(name)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(e, name)
		} else {
			t.endTest(e, name)
		}
		delete(t.said, name)
	}
}

func (t *tally) endTest(e event, name string) {
	depth := strings.Count(e.Test, "/")
	switch {
	case e.Action == "skip": // parts of tests too: nothing is left out silently
		t.skip++
	case depth == 0 && e.Action == "fail":
		t.fail++
	case depth == 0:
		t.pass++
	}
	if depth == 0 || e.Action != "pass" {
		fmt.Fprintf(t.out, "%s%s %s (%.2fs)\n", strings.Repeat("    ", depth), strings.ToUpper(e.Action), e.Test, e.Elapsed)
	}
	if e.Action != "pass" {
		t.print(name)
	}
}

func (t *tally) endPackage(e event, name string) {
	if e.Action == "fail" {
		t.print(name)
	}
	if e.Action != "skip" { // a package without tests
		t.packages++
		fmt.Fprintf(t.out, "%-4s %s %.1fs\n\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Package, e.Elapsed)
	}
}

// print shows what a test said, without the lines that go test frames it with.
func (t *tally) print(name string) {
	for _, line := range t.said[name] {
		if s := strings.TrimSpace(line); strings.HasPrefix(s, "=== ") || strings.HasPrefix(s, "--- ") {
			continue
		}
		fmt.Fprint(t.out, "    ", line)
	}
}

func (t *tally) close(took time.Duration, ok bool) {
	word := "ok"
	if !ok {
		word = "FAIL"
	}
	fmt.Fprintf(t.out, "%s: %d tests passed, %d failed, %d skipped in %d packages (%s)\n",
		word, t.pass, t.fail, t.skip, t.packages, took.Round(time.Second))
}
