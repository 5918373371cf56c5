package vm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// work is how often a block of instructions ran, and how many it executed.
type work struct{ runs, instructions float64 }

// profile is the work of blocks, by the addresses at which they begin.
type profile map[uint64]work

// less returns what p has done since before.
func (p profile) less(before profile) profile {
	since := profile{}
	for address, w := range p {
		b := before[address]
		since[address] = work{w.runs - b.runs, w.instructions - b.instructions}
	}
	for address, b := range before {
		if _, ok := p[address]; !ok {
			since[address] = work{-b.runs, -b.instructions}
		}
	}
	return since
}

// over returns the share of one of n.
func (p profile) over(n float64) profile {
	share := profile{}
	for address, w := range p {
		share[address] = work{w.runs / n, w.instructions / n}
	}
	return share
}

// sum returns the instructions of programs and of the kernel.
func (p profile) sum() (programs, kernel float64) {
	for address, w := range p {
		if address < kernelHalf {
			programs += w.instructions
		} else {
			kernel += w.instructions
		}
	}
	return programs, kernel
}

func (p profile) total() float64 {
	programs, kernel := p.sum()
	return programs + kernel
}

func (p profile) String() string {
	programs, kernel := p.sum()
	return fmt.Sprintf("%.0f (programs %.0f, kernel %.0f)", programs+kernel, programs, kernel)
}

// functions are the work of functions, by their names. A run is a call.
func (p profile) functions(s symbols) map[string]work {
	functions := map[string]work{}
	for address, w := range p {
		name, first := s.at(address)
		f := functions[name]
		f.instructions += w.instructions
		if first {
			f.runs += w.runs
		}
		functions[name] = f
	}
	return functions
}

// shown is how many functions of either half a table shows.
const shown = 40

// table returns the functions that execute most, programs before the kernel.
func (p profile) table(s symbols) string {
	programs, kernel := profile{}, profile{}
	for address, w := range p {
		if address < kernelHalf {
			programs[address] = w
		} else {
			kernel[address] = w
		}
	}
	return "instructions calls\n" + top(programs.functions(s)) + top(kernel.functions(s))
}

func top(functions map[string]work) string {
	names := slices.SortedFunc(maps.Keys(functions), func(a, b string) int {
		return cmp.Or(cmp.Compare(functions[b].instructions, functions[a].instructions), cmp.Compare(a, b))
	})
	var text strings.Builder
	for _, name := range names[:min(shown, len(names))] {
		fmt.Fprintf(&text, "%12.1f %5.2f  %s\n", functions[name].instructions, functions[name].runs, name)
	}
	return text.String()
}
