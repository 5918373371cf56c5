package oracle

import "testing"

// TestStepsKeepClearOfTimers plays scenarios to lvx alone: no step may come
// when nobody knows what the kernel still has.
func TestStepsKeepClearOfTimers(t *testing.T) {
	for _, s := range fixed(t) {
		x := newTwin(t, nil)
		for i := range s.Steps {
			step := &s.Steps[i]
			x.advance(epoch + step.Due)
			if step.Sleep == 0 && x.timers.doubt(x.now, 0) != 0 {
				t.Errorf("%s, step %d (%s):\n%v", s.Scenario, i+1, step.Kind, x.timers)
			}
			switch {
			case len(step.Frames) > 0:
				_ = x.arrive(step.NIC, step.Frames)
			case len(step.Command) > 0:
				_ = x.command(step.Command, step.Input)
			}
			x.sent()
		}
		if x.timers.confused != "" {
			t.Errorf("%s: nobody knows in which order: %s", s.Scenario, x.timers.confused)
		}
	}
}
