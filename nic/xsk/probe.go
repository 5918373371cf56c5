package xsk

// probeChunks is a UMEM small enough for any limit.
const probeChunks = 64

// Probe reports whether a socket of that mode can be bound to a queue, by
// binding one and closing it. For Native and Generic it says only that the
// queue exists and is free: whether a program attaches is another question.
// errors.Is(err, ErrNotSupported) tells a driver that cannot from other
// trouble.
func Probe(ifindex, queue int, mode Mode) error {
	u, err := NewPool(probeChunks, 4096, -1)
	if err != nil {
		return err
	}
	defer u.Close()
	s, err := Open(u, Config{
		Ifindex: ifindex, Queue: queue, Mode: mode,
		RxSize: probeChunks, TxSize: probeChunks, FillSize: probeChunks, CompletionSize: probeChunks,
		Fill: u.Chunks(),
	})
	if err != nil {
		return err
	}
	return s.Close()
}
