package vm

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
)

// archive writes an initramfs: a gzipped cpio of the "newc" format, whose
// folders appear as they are needed. Several may be joined into one file.
type archive struct {
	zip  *gzip.Writer
	made map[string]bool
	ino  int
	err  error
}

const (
	folder = 0o040755
	plain  = 0o100755
	link   = 0o120777
)

func newArchive(w io.Writer) *archive {
	zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
	return &archive{zip: zip, made: map[string]bool{".": true, "/": true}}
}

// put adds a file, once.
func (a *archive) put(name string, mode int, data []byte) {
	name = path.Clean("/" + name)[1:]
	if a.made[name] {
		return
	}
	if dir := path.Dir(name); !a.made[dir] {
		a.put(dir, folder, nil)
	}
	a.made[name] = true
	a.record(name, mode, data)
}

// record writes header, name and data, each padded to four bytes.
func (a *archive) record(name string, mode int, data []byte) {
	a.ino++
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	for _, part := range [][]byte{[]byte(header), data} {
		if a.err == nil {
			_, a.err = a.zip.Write(append(part, make([]byte, -len(part)&3)...))
		}
	}
}

// copy adds the file that from names, under another name.
func (a *archive) copy(name, from string) {
	data, err := os.ReadFile(from)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.put(name, plain, data)
}

func (a *archive) close() error {
	a.record("TRAILER!!!", 0, nil)
	if err := a.zip.Close(); a.err == nil {
		a.err = err
	}
	return a.err
}
