package vm

import (
	"bytes"
	"compress/gzip"
	"io"
	"reflect"
	"strconv"
	"testing"
)

// read is the slow twin of archive: it returns names, modes and contents.
func read(t *testing.T, packed []byte) (names []string, modes map[string]int, files map[string]string) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	modes, files = map[string]int{}, map[string]string{}
	for at := 0; ; {
		field := func(i int) int {
			n, err := strconv.ParseUint(string(all[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				t.Fatalf("at %d: %v", at, err)
			}
			return int(n)
		}
		if at%4 != 0 || string(all[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		mode, size, length := field(1), field(6), field(11)
		name := string(all[at+110 : at+110+length-1])
		if name == "TRAILER!!!" {
			return names, modes, files
		}
		at = (at + 110 + length + 3) &^ 3
		names, modes[name], files[name] = append(names, name), mode, string(all[at:at+size])
		at = (at + size + 3) &^ 3
	}
}

func TestAnArchiveHoldsFilesAndTheirFolders(t *testing.T) {
	var packed bytes.Buffer
	a := newArchive(&packed)
	a.put("usr/bin/true", plain, []byte("x"))
	a.put("/usr/bin/false", link, []byte("true"))
	a.put("usr/bin/true", plain, []byte("once only"))
	a.put("init", plain, []byte("1234"))
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	names, modes, files := read(t, packed.Bytes())
	if want := []string{"usr", "usr/bin", "usr/bin/true", "usr/bin/false", "init"}; !reflect.DeepEqual(names, want) {
		t.Errorf("names %v, want %v", names, want)
	}
	if modes["usr"] != folder || modes["init"] != plain || modes["usr/bin/false"] != link {
		t.Errorf("modes %v", modes)
	}
	if files["usr/bin/true"] != "x" || files["usr/bin/false"] != "true" || files["init"] != "1234" {
		t.Errorf("files %q", files)
	}
}

func TestAFileThatIsMissingFailsTheArchive(t *testing.T) {
	a := newArchive(io.Discard)
	a.copy("x", "no/such/file")
	if a.close() == nil {
		t.Error("no error")
	}
}
