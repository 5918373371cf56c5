package scheduler

// bucketBits is the size of the tables of dh and sh, IPVS's default.
const bucketBits = 8

// buckets hashes an address to one of 256 places that the servers share. dh
// hashes the destination and gives the servers places in turn; sh hashes the
// source and gives a server as many places in a row as it has weight.
//
// A server of weight 0 has places as one of weight 1 has, and the clients of
// those are refused.
type buckets struct {
	bySource bool
	byPort   bool // sh-port: hash the client's port too
	fallback bool // sh-fallback: look for another server if that one is not usable

	table [1 << bucketBits]mark
}

func newDestinationHash(*options) Scheduler {
	b := &buckets{}
	b.Update(nil)
	return b
}

func newSourceHash(o *options) Scheduler {
	b := &buckets{bySource: true, byPort: o.flags&portFlag != 0, fallback: o.flags&fallbackFlag != 0}
	b.Update(nil)
	return b
}

func (b *buckets) Pick(servers []Server, k Key) int {
	home := int(hash32(b.sum(&k), bucketBits))
	i := b.table[home].find(servers)
	if i >= 0 && servers[i].usable() {
		return i
	}
	if !b.fallback {
		return -1
	}
	// The search begins as far behind home as home is behind 0: IPVS adds
	// it twice.
	for step := range len(b.table) {
		i := b.table[(2*home+step)%len(b.table)].find(servers)
		if i >= 0 && servers[i].usable() {
			return i
		}
	}
	return -1
}

func (b *buckets) sum(k *Key) uint32 {
	if !b.bySource {
		return fold(k.Dst)
	}
	if b.byPort {
		return fold(k.Src) + uint32(k.SrcPort)
	}
	return fold(k.Src)
}

// Update fills the table anew.
func (b *buckets) Update(servers []Server) {
	i, given := 0, 0
	for place := range b.table {
		if len(servers) == 0 {
			b.table[place] = head
			continue
		}
		b.table[place] = markOf(servers, i)
		if given++; !b.bySource || given >= servers[i].Weight {
			i, given = (i+1)%len(servers), 0
		}
	}
}

// hash32 is Linux's multiplicative hash to so many bits.
func hash32(v uint32, bits uint) uint32 { return v * 0x61c88647 >> (32 - bits) }
