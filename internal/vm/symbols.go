package vm

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// symbol is a function in the memory of a guest.
type symbol struct {
	start, end uint64
	name       string
}

// symbols are functions, ordered by their addresses.
type symbols []symbol

// kernelHalf is where the addresses of the kernel begin.
const kernelHalf = 1 << 63

// programSymbols reads the functions of a program that is linked to fixed
// addresses.
func programSymbols(path string) (symbols, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := file.Symbols()
	if err != nil {
		return nil, fmt.Errorf("read symbols of %s: %w", path, err)
	}
	var s symbols
	for _, f := range all {
		if elf.ST_TYPE(f.Info) == elf.STT_FUNC && f.Size > 0 {
			s = append(s, symbol{f.Value, f.Value + f.Size, f.Name})
		}
	}
	s.sort()
	return s, nil
}

// kernelSymbols reads what /proc/kallsyms says, programs of XDP among it. A
// function is taken to reach to the next one.
func kernelSymbols(r io.Reader) (symbols, error) {
	var s symbols
	for lines := bufio.NewScanner(r); ; {
		if !lines.Scan() {
			s.sort()
			return s, lines.Err()
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || !strings.Contains("tTwW", fields[1]) {
			continue
		}
		start, err := strconv.ParseUint(fields[0], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read symbols: %w", err)
		}
		if start >= kernelHalf {
			s = append(s, symbol{start, start, fields[2]})
		}
	}
}

func (s symbols) sort() {
	slices.SortStableFunc(s, func(a, b symbol) int {
		if a.start < b.start {
			return -1
		}
		return int(min(a.start-b.start, 1))
	})
	for i := range s[:max(0, len(s)-1)] {
		if s[i].end == s[i].start {
			s[i].end = s[i+1].start
		}
	}
}

// at returns the function that an address lies in, and whether it begins it.
func (s symbols) at(address uint64) (name string, first bool) {
	i, found := slices.BinarySearchFunc(s, address, func(a symbol, address uint64) int {
		if a.start < address {
			return -1
		}
		return int(min(a.start-address, 1))
	})
	if !found {
		i--
	}
	if i < 0 || address >= s[i].end && s[i].end > s[i].start {
		if address < kernelHalf {
			return "other programs", false
		}
		return "kernel without a name", false
	}
	return s[i].name, found
}
