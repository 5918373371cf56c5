package netlab

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestReadyIsALineOfItsOwn(t *testing.T) {
	n := lab(t, TwoNIC)
	for _, c := range []struct {
		script   string
		patience time.Duration
		want     string
	}{
		{"echo starting; printf rea; printf 'dy\n'; exec sleep 1000", patience, ""},
		{"echo already ready; exec sleep 1000", 500 * time.Millisecond, "not ready: context deadline exceeded"},
		{"exit 3", patience, "it ended before it was ready: exit status 3"},
		{"exit 0", patience, "it ended before it was ready: exit status 0"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.patience)
		p, err := n.Client.StartReady(ctx, exec.Command("sh", "-c", c.script))
		cancel()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.script, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.script, err, c.want)
		}
		if err == nil {
			p.Stop()
		}
	}
}
