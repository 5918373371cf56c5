package service

import "time"

// EstimatorStep is the time between two calls of Estimator.Step.
const EstimatorStep = 2 * time.Second

// Estimator makes of cumulative counters what ipvsadm --stats and --rate
// show, as IPVS does: every two seconds the average moves by a quarter towards
// the rate of those two seconds. The zero Estimator stands for counters that
// began at zero.
type Estimator struct {
	total Stats // counters at the last step
	zero  Stats // counters at the last Zero
	// Averages in fixed point, connections and packets in 1/1024, bytes in
	// 1/32 a second.
	conns, inPkts, outPkts, inBytes, outBytes int64
}

// Step takes the counters as they are now; their rates are not looked at.
func (e *Estimator) Step(now Stats) {
	// A shift by one less than the point's position divides by the two seconds.
	approach(&e.conns, now.Conns-e.total.Conns, 9)
	approach(&e.inPkts, now.InPkts-e.total.InPkts, 9)
	approach(&e.outPkts, now.OutPkts-e.total.OutPkts, 9)
	approach(&e.inBytes, now.InBytes-e.total.InBytes, 4)
	approach(&e.outBytes, now.OutBytes-e.total.OutBytes, 4)
	e.total = now
}

func approach(average *int64, delta uint64, shift uint) {
	*average += (int64(delta<<shift) - *average) >> 2
}

// Zero makes the counters of the last step the new beginning and the rates
// zero.
func (e *Estimator) Zero() { e.ZeroAt(e.total) }

// ZeroAt is Zero for counters as they are now.
func (e *Estimator) ZeroAt(now Stats) { *e = Estimator{total: now, zero: now} }

// Stats returns the counters as of the last step, since the last Zero, and
// their rates: what IPVS shows.
func (e *Estimator) Stats() Stats { return e.StatsAt(e.total) }

// StatsAt returns Stats with the counters as they are now.
func (e *Estimator) StatsAt(now Stats) Stats {
	return Stats{
		Conns:    now.Conns - e.zero.Conns,
		InPkts:   now.InPkts - e.zero.InPkts,
		OutPkts:  now.OutPkts - e.zero.OutPkts,
		InBytes:  now.InBytes - e.zero.InBytes,
		OutBytes: now.OutBytes - e.zero.OutBytes,
		CPS:      shown(e.conns, 10),
		InPPS:    shown(e.inPkts, 10),
		OutPPS:   shown(e.outPkts, 10),
		InBPS:    shown(e.inBytes, 5),
		OutBPS:   shown(e.outBytes, 5),
	}
}

// shown rounds half down, as IPVS does.
func shown(average int64, point uint) uint64 {
	return uint64(average+1<<(point-1)-1) >> point
}
