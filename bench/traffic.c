//go:build ignore

// traffic has the two ends of a measurement.
//
// lvx_generate is run by BPF_PROG_TEST_RUN on live frames: it writes a UDP or
// TCP packet of the next flow into the frame and sends it out of the NIC that
// the frame pretends to have come in by. A frame that is not due yet, as the
// rate is limited, is dropped and counts as never made.
//
// lvx_sink drops and counts what arrives at the other end, and passes what no
// generator has made to the kernel.

#include "../bpf/kernel.h"

static long (*const bpf_xdp_adjust_tail)(struct xdp_md *md, int delta) = (void *)65;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;

char license_[] SEC("license") = "Dual BSD/GPL";

enum { TCP = 6, UDP = 17 };

#define ETHERNET 14
#define IPV4 20
#define IPV6 40
#define MAGIC 0x6c767862 // "lvxb"
#define PATIENCE (1000000ull << 10) // 1 ms

// What is sent, set before the program is loaded. Words are as they lie in a
// frame unless said otherwise.
volatile const u8 macs[12];       // destination, source
volatile const u32 v6;            // 1 = IPv6
volatile const u32 protocol;      // TCP (SYN) or UDP
volatile const u32 src[4];        // the first source address; the last word counts up, in host order
volatile const u32 dst[4];        // IPv4: the first word
volatile const u32 flows = 1;     // how many flows there are, host order, as all below
volatile const u32 in_order;      // 1 = one after the other, 0 = at random
volatile const u32 fresh_share;   // of 2^32: frames that open a new flow
volatile const u32 repeats = 1;   // frames of a flow in a row
volatile const u32 src_ports[2] = {1024, 64512}; // first, how many
volatile const u32 dst_ports[2] = {80, 1};
volatile const u32 sizes[16];     // of frames without FCS, taken in turn
volatile const u32 all_sizes = 1; // how many of sizes are used
volatile const u32 size_max;      // what the frame is before it is cut
volatile const u64 gap;           // ns between two frames, times 1024; 0 = as fast as it can
volatile const u64 most;          // frames in all; 0 = no limit
volatile const u32 stamped;       // 1 = frames carry the time they were made

u64 sent, sent_bytes, opened; // what was made; read by the other side
u32 stopped;                  // 1 = the other side wants no more
u64 due, state = 88172645463325252ull, flow;
u32 left, turn;

struct ethernet {
	u16 mac[6];
	u16 type;
} __attribute__((packed));

struct ipv4 {
	u16 version, length, id, offset;
	u8 ttl, protocol;
	u16 checksum;
	u32 src, dst;
} __attribute__((packed));

struct ipv6 {
	u32 version;
	u16 length;
	u8 next, hops;
	u32 src[4], dst[4];
} __attribute__((packed));

// mark follows the UDP header of every frame.
struct mark {
	u32 magic, number;
	u32 stamp[2];
} __attribute__((packed));

struct udp {
	u16 src, dst, length, checksum;
	struct mark mark;
} __attribute__((packed));

struct tcp {
	u16 src, dst;
	u32 seq, ack;
	u16 flags, window, checksum, urgent;
} __attribute__((packed));

inline_ u16 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

// dice is xorshift64: the kernel's own takes longer than all the rest.
inline_ u32 dice(void)
{
	u64 x = state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	state = x;
	return x >> 32;
}

// is_due says whether it is time for a frame. What was missed between two runs
// is not made up for: it would be a burst.
inline_ bool is_due(u64 now)
{
	if (stopped || (most && sent >= most))
		return 0;
	if (!gap)
		return 1;
	u64 ticks = now << 10;
	if (ticks < due)
		return 0;
	due = ticks - due > PATIENCE ? ticks + gap : due + gap;
	return 1;
}

// next_flow returns the number of the flow whose turn it is.
inline_ u64 next_flow(void)
{
	if (left) {
		left--;
		return flow;
	}
	left = repeats - 1;
	if (fresh_share && (fresh_share == 0xffffffff || dice() < fresh_share))
		flow = flows + opened++;
	else if (in_order)
		flow = turn, turn = turn + 1 < flows ? turn + 1 : 0;
	else
		flow = (u64)dice() * flows >> 32;
	return flow;
}

inline_ u64 write_udp(struct udp *u, u16 sport, u16 dport, u16 length, u64 now)
{
	u->src = sport;
	u->dst = dport;
	u->length = length;
	u->checksum = 0;
	u->mark.magic = MAGIC;
	u->mark.number = sent;
	u->mark.stamp[0] = now;
	u->mark.stamp[1] = now >> 32;
	return (u64)sport + dport + length + MAGIC + u->mark.number + u->mark.stamp[0] + u->mark.stamp[1];
}

inline_ u64 write_tcp(struct tcp *t, u16 sport, u16 dport)
{
	t->src = sport;
	t->dst = dport;
	t->seq = sent;
	t->ack = 0;
	t->flags = net16(0x5002);
	t->window = 0xffff;
	t->checksum = t->urgent = 0;
	return (u64)sport + dport + t->seq + t->flags + t->window;
}

// write_transport writes what follows the IP header; sum is that of the
// addresses.
inline_ bool write_transport(void *at, void *end, u64 sum, u64 number, u32 length, u64 now)
{
	u16 sport = net16(src_ports[0] + (u32)number % src_ports[1]);
	u16 dport = net16(dst_ports[0] + (u32)number % dst_ports[1]);
	sum += net16(protocol) + net16(length);
	if (protocol == TCP) {
		struct tcp *t = at;
		if ((void *)(t + 1) > end)
			return 0;
		t->checksum = fold(sum + write_tcp(t, sport, dport));
		return 1;
	}
	struct udp *u = at;
	if ((void *)(u + 1) > end)
		return 0;
	u16 checksum = fold(sum + write_udp(u, sport, dport, net16(length), now));
	u->checksum = checksum ? checksum : 0xffff;
	return 1;
}

inline_ bool write_ipv4(void *at, void *end, u64 number, u32 size, u64 now)
{
	struct ipv4 *ip = at;
	if ((void *)(ip + 1) > end)
		return 0;
	ip->version = net16(0x4500);
	ip->length = net16(size - ETHERNET);
	ip->id = 0;
	ip->offset = net16(0x4000);
	ip->ttl = 64;
	ip->protocol = protocol;
	ip->src = net32(src[3] + (u32)number / src_ports[1]);
	ip->dst = dst[0];
	u64 addresses = (u64)ip->src + ip->dst;
	ip->checksum = fold(addresses + ip->version + ip->length + ip->offset + 64 + (protocol << 8));
	return write_transport(ip + 1, end, addresses, number, size - ETHERNET - IPV4, now);
}

inline_ bool write_ipv6(void *at, void *end, u64 number, u32 size, u64 now)
{
	struct ipv6 *ip = at;
	if ((void *)(ip + 1) > end)
		return 0;
	ip->version = net32(0x60000000);
	ip->length = net16(size - ETHERNET - IPV6);
	ip->next = protocol;
	ip->hops = 64;
	for (int i = 0; i < 3; i++)
		ip->src[i] = src[i];
	ip->src[3] = net32(src[3] + (u32)number / src_ports[1]);
	u64 sum = ip->src[3];
	for (int i = 0; i < 4; i++) {
		ip->dst[i] = dst[i];
		sum += (u64)dst[i] + (i < 3 ? src[i] : 0);
	}
	return write_transport(ip + 1, end, sum, number, size - ETHERNET - IPV6, now);
}

SEC("xdp") int lvx_generate(struct xdp_md *md)
{
	u64 now = gap || stamped ? bpf_ktime_get_ns() : 0;
	if (!is_due(now))
		return XDP_DROP;
	u32 size = sizes[sent % all_sizes & 15];
	if (size < size_max && bpf_xdp_adjust_tail(md, (int)size - (int)size_max))
		return XDP_DROP;
	void *data = (void *)(long)md->data, *end = (void *)(long)md->data_end;
	struct ethernet *e = data;
	if ((void *)(e + 1) > end)
		return XDP_DROP;
	for (int i = 0; i < 6; i++)
		e->mac[i] = macs[2 * i] | macs[2 * i + 1] << 8;
	e->type = v6 ? net16(0x86dd) : net16(0x0800);
	u64 number = next_flow(), stamp = stamped ? now : 0;
	if (!(v6 ? write_ipv6(e + 1, end, number, size, stamp) : write_ipv4(e + 1, end, number, size, stamp)))
		return XDP_DROP;
	sent++;
	sent_bytes += size;
	return XDP_TX;
}

// What the sink does beside counting.
volatile const u32 verify;  // 1 = check the checksums
volatile const u32 measure; // 1 = keep a histogram of the time under way

enum { FRAMES, BYTES, BAD_IP, BAD_TRANSPORT, COUNTS };
#define SERVERS 16
#define FINE 32 // buckets of the histogram from one power of two to the next

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS + SERVERS);
	__type(key, u32);
	__type(value, u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64 * FINE);
	__type(key, u32);
	__type(value, u64);
} delays SEC(".maps");

inline_ void count(u32 which, u64 by)
{
	u64 *n = bpf_map_lookup_elem(&counts, &which);
	if (n)
		*n += by;
}

inline_ u32 log2(u64 v)
{
	u32 r = 0;
	if (v >> 32) r += 32, v >>= 32;
	if (v >> 16) r += 16, v >>= 16;
	if (v >> 8) r += 8, v >>= 8;
	if (v >> 4) r += 4, v >>= 4;
	if (v >> 2) r += 2, v >>= 2;
	return r + (v >> 1);
}

// keep counts a delay in its bucket: the power of two, and the five bits that
// follow it. Below 32 ns a bucket is one nanosecond.
inline_ void keep(u64 delay)
{
	u32 power = log2(delay);
	u32 bucket = power < 5 ? (u32)delay : (power - 4) * FINE + ((u32)(delay >> (power - 5)) & (FINE - 1));
	u64 *n = bpf_map_lookup_elem(&delays, &bucket);
	if (n)
		*n += 1;
}

// sum_of adds up the bytes of a packet from at on, as 16-bit words.
inline_ u64 sum_of(void *at, void *end, u64 sum)
{
	u16 *word = at;
	for (int i = 0; i < 760; i++, word++) {
		if ((void *)(word + 1) > end)
			break;
		sum += *word;
	}
	if ((void *)word < end && (void *)word + 1 <= end)
		sum += *(u8 *)word;
	return sum;
}

inline_ void check(void *transport, void *end, u64 addresses, u32 proto, u32 length)
{
	if (fold(sum_of(transport, end, addresses + net16(proto) + net16(length))))
		count(BAD_TRANSPORT, 1);
}

inline_ int swallow(struct udp *u, void *end, u32 proto, u64 size, u32 server)
{
	if (proto == UDP && ((void *)(u + 1) > end || u->mark.magic != MAGIC))
		return XDP_PASS;
	count(FRAMES, 1);
	count(BYTES, size);
	if (measure && proto == UDP) {
		if ((void *)(u + 1) > end)
			return XDP_PASS;
		u64 stamp = u->mark.stamp[0] | (u64)u->mark.stamp[1] << 32;
		if (stamp)
			keep(bpf_ktime_get_ns() - stamp);
	}
	if (verify)
		count(COUNTS + (server & (SERVERS - 1)), 1);
	return XDP_DROP;
}

SEC("xdp") int lvx_sink(struct xdp_md *md)
{
	void *data = (void *)(long)md->data, *end = (void *)(long)md->data_end;
	struct ethernet *e = data;
	struct ipv4 *ip = (void *)(e + 1);
	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	if (e->type == net16(0x0800)) {
		if (ip->protocol != UDP && ip->protocol != TCP)
			return XDP_PASS;
		int verdict = swallow((void *)(ip + 1), end, ip->protocol, end - data, net32(ip->dst));
		if (verify && verdict == XDP_DROP) {
			if (fold(sum_of(ip, ip + 1, 0)))
				count(BAD_IP, 1);
			check(ip + 1, end, (u64)ip->src + ip->dst, ip->protocol, net16(ip->length) - IPV4);
		}
		return verdict;
	}
	struct ipv6 *ip6 = (void *)(e + 1);
	if (e->type != net16(0x86dd) || (void *)(ip6 + 1) > end || (ip6->next != UDP && ip6->next != TCP))
		return XDP_PASS;
	int verdict = swallow((void *)(ip6 + 1), end, ip6->next, end - data, net32(ip6->dst[3]));
	if (verify && verdict == XDP_DROP) {
		u64 sum = 0;
		for (int i = 0; i < 4; i++)
			sum += (u64)ip6->src[i] + ip6->dst[i];
		check(ip6 + 1, end, sum, ip6->next, net16(ip6->length));
	}
	return verdict;
}
