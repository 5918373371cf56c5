// Package library tests lvx as a library: the example program, which is a
// module of its own, is built and run with two Directors in one process.
package library

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestMain(m *testing.M) { rig.Main(m) }

// output is what a process printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) has(line string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.text.String(), line)
}

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "embed")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = "../../../examples/embed"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build examples/embed: %v\n%s", err, out)
	}
	return path
}

// second joins client and first server to the director by two NICs more.
func second(r *rig.Rig) error {
	server := r.Servers[0]
	return errors.Join(
		r.Net.Lab.Link(r.Client, "eth1", r.Director, "pub1"),
		r.Net.Lab.Link(r.Director, "priv1", server, "eth1"),
		r.Client.Address("eth1", "198.51.100.10/24"),
		r.Director.Address("pub1", "198.51.100.1/24"),
		r.Director.Address("priv1", "10.77.0.1/24"),
		server.Address("eth1", "10.77.0.2/24"),
		server.Route("198.51.100.0/24", "10.77.0.1", "eth1"),
	)
}

func TestTwoDirectorsInOneProcess(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	embed := build(t)
	r.Must(second(r))
	r.Nginx(t.TempDir(), "8080")
	inner, err := r.Servers[0].Listen("tcp", "10.77.0.2:8080")
	r.Must(err)
	defer inner.Close()
	go http.Serve(inner, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "inner") }))
	said := &output{}
	cmd := exec.Command(embed,
		"pub0,priv0", r.VIP+":80", r.RIPs[0]+":8080", r.RIPs[1]+":8080", "--",
		"pub1,priv1", "198.51.100.200:80", "10.77.0.2:8080")
	cmd.Stdout, cmd.Stderr = said, said
	p, err := r.Director.Start(cmd)
	r.Must(err)
	r.Until("both directors are ready", func() bool { return said.has("embed0 ready") && said.has("embed1 ready") })
	for range 4 {
		r.Curl(r.Client, "http://"+r.VIP+"/")
		if who := r.Curl(r.Client, "http://198.51.100.200/"); who != "inner" {
			t.Errorf("the second director's only server is inner, %s answered", who)
		}
	}
	r.Until("the status shows the connections", func() bool {
		return said.has("embed1 198.51.100.200:80 10.77.0.2:8080 0 4 4") && said.has("embed0 "+r.VIP+":80 "+r.RIPs[1]+":8080 0 2 2")
	})
	r.Must(p.Stop())
}
