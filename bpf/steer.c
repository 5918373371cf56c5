//go:build ignore

// steer decides for every received frame whether lvx or the kernel gets it.
// lvx gets, through the AF_XDP socket of the frame's queue:
//
//   service   to a virtual service:    link, protocol, destination address and port,
//             or the link, the protocol, the prefix and the range of ports
//             that are marked for one
//   reply     from a real server:      link, protocol, source address and port,
//             and to no address of the director
//   awaited   TCP to or from such an address by a port that a data connection
//             of FTP is awaited at, or has: counted as service or reply
//   error     an ICMP error whose quoted packet is one of the above, reversed
//   fragment  any fragment to the address of a service, or from the address of
//             a real server to no address of the director
//
// Only frames to one of the NIC's own MAC addresses are looked at. A frame
// that is lvx's but finds no socket is dropped and counted: the kernel would
// answer it with a reset, or send it on untranslated. All others are passed.

#include "kernel.h"

#define MAX_TAGS 2
#define MAX_HEADERS 8 // behind the IPv6 header: extension headers and the transport header

// Counters, in the order of the Go type.
enum reason {
	NONE, // the kernel's
	SERVICE,
	REPLY,
	ERROR,
	FRAGMENT,
	NO_SOCKET,
	TOO_LARGE,
	REASONS,
};

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, SCTP = 132 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENTED = 44, DESTINATION_OPTIONS = 60 };

// Set before the program is loaded.
volatile const u32 queues = 64;       // sockets a NIC
volatile const u32 all_sockets = 0;   // sockets of all NICs
volatile const u32 frame_bytes = 3840; // what a chunk has room for

// IPv4 addresses are held as ::ffff:a.b.c.d.
struct addr {
	u32 word[4];
};

// door is one MAC address by which a NIC is entered.
struct door {
	u32 ifindex;
	u8 mac[6];
	u16 zero;
};

// endpoint is an address and port on a link: a NIC and its VLAN ids, outer
// first. Port 0 is any port; protocol 0 with port 0 is the address itself.
struct endpoint {
	u32 ifindex;
	u16 tag[MAX_TAGS];
	struct addr addr;
	u16 port; // network order
	u8 proto;
	u8 tags;
	u32 zero; // whole words are hashed and compared
} __attribute__((aligned(8)));

// hint answers for a map of endpoints without asking it: hint number hash(key)
// names the only key with that hash, or says that there are several. Another
// key is in the map only then.
struct hint {
	struct endpoint key; // one of them; all zero = none
	u32 several;
	u32 keys; // for those who change it
};

enum { HINTS = 4096 };

// entrance is a door that is found without asking the map.
struct entrance {
	struct door door;
	u32 first; // slot in sockets, + 1; 0 = ask the map
};

enum { ENTRANCES = 256 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct door);
	__type(value, u32); // first slot of the NIC in sockets
} doors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENTRANCES);
	__type(key, u32);
	__type(value, struct entrance);
} entrances SEC(".maps");

// The values of services and replies count the uses of an address; the
// program asks only whether the key is there. own are the addresses of the
// director, as endpoints of no link.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint);
	__type(value, u32);
} services SEC(".maps"), replies SEC(".maps"), own SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HINTS);
	__type(key, u32);
	__type(value, struct hint);
} service_hints SEC(".maps"), reply_hints SEC(".maps"), own_hints SEC(".maps");

// zone is a prefix whose ports may be marked for services, of one protocol. The
// longest zone of an address tells all. Protocol 0 is for fragments, which have
// port 0 there.
struct zone {
	u32 bits; // how many count, from here on
	u32 ifindex;
	u16 tag[MAX_TAGS];
	u8 tags;
	u8 proto;
	u8 v4;
	u8 zero;
	struct addr addr;
};

enum { RANGES = 64 };

struct range {
	u16 from;
	u16 to;
};

// ranges of ports are in their order and apart; the last one is repeated.
struct ranges {
	struct range range[RANGES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct zone);
	__type(value, struct ranges);
} zones SEC(".maps");

// any_port counts the endpoints of services and of replies that have port 0,
// and the zones, so that nobody looks for one where there is none.
enum { OF_SERVICES, OF_REPLIES, OF_ZONES };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, u32);
	__type(value, u32);
} any_port SEC(".maps");

// awaited counts by port, of all services and servers together, the data
// connections that are expected or there. Workers write it in memory, so that
// it stands before the packet leaves that tells the client.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, u64);
} awaited SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, enum reason);
	__type(value, u64);
} counters SEC(".maps");

// large is the NIC by which the last frame came that no chunk has room for.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} large SEC(".maps");

struct cursor {
	u8 *at;
	u8 *end;
};

inline_ void *take(struct cursor *c, u32 n)
{
	u8 *p = c->at;

	if (p + n > c->end)
		return 0;
	c->at = p + n;
	return p;
}

struct ethernet {
	u8 dst[6];
	u8 src[6];
	u16 type;
};

struct vlan {
	u16 tag;
	u16 type;
};

struct ipv4 {
	u8 version_length;
	u8 tos;
	u16 length;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 proto;
	u16 checksum;
	u32 src;
	u32 dst;
};

struct ipv6 {
	u32 version_class_label;
	u16 length;
	u8 next;
	u8 hops;
	struct addr src;
	struct addr dst;
};

struct extension {
	u8 next;
	u8 length; // in 8 bytes, without the first 8
	u8 data[6];
};

struct icmp {
	u8 type;
	u8 code;
	u8 rest[6];
};

struct ports {
	u16 src;
	u16 dst;
};

// flow is what is known of a packet, outer or quoted.
struct flow {
	struct addr src;
	struct addr dst;
	struct ports port;
	u8 proto;
	bool fragment; // ports are not known, or not for all of the datagram
};

inline_ void map4(struct addr *a, u32 ip)
{
	a->word[0] = 0;
	a->word[1] = 0;
	a->word[2] = net32(0xffff);
	a->word[3] = ip;
}

inline_ bool read4(struct cursor *c, struct flow *f)
{
	struct ipv4 *ip = take(c, sizeof(*ip));

	if (!ip || ip->version_length >> 4 != 4)
		return 0;
	u32 length = (ip->version_length & 15) * 4;
	if (length < sizeof(*ip))
		return 0;
	map4(&f->src, ip->src);
	map4(&f->dst, ip->dst);
	f->proto = ip->proto;
	f->fragment = (ip->fragment & net16(0x3fff)) != 0; // more fragments, or an offset
	return take(c, length - sizeof(*ip)) != 0;
}

inline_ bool read6(struct cursor *c, struct flow *f)
{
	struct ipv6 *ip = take(c, sizeof(*ip));

	if (!ip || (ip->version_class_label & net32(0xf0000000)) != net32(0x60000000))
		return 0;
	f->src = ip->src;
	f->dst = ip->dst;
	f->proto = ip->next;
	f->fragment = 0;
	for (int i = 0; i < MAX_HEADERS; i++) {
		if (f->proto == FRAGMENTED) {
			f->fragment = 1;
			return 1;
		}
		if (f->proto != HOP_BY_HOP && f->proto != ROUTING && f->proto != DESTINATION_OPTIONS)
			return 1;
		struct extension *x = take(c, sizeof(*x));
		if (!x)
			return 0;
		f->proto = x->next;
		if (!take(c, x->length * 8))
			return 0;
	}
	return 0;
}

inline_ bool read_ports(struct cursor *c, struct flow *f)
{
	if (f->proto != TCP && f->proto != UDP && f->proto != SCTP)
		return 0;
	struct ports *p = take(c, sizeof(*p));
	if (!p)
		return 0;
	f->port = *p;
	return 1;
}

// holds reports whether e is a key of map.
inline_ bool holds(void *map, void *hints, const struct endpoint *e)
{
	const u64 *word = (const u64 *)e;
	u64 hash = 0;

	for (u32 i = 0; i < sizeof(*e) / sizeof(*word); i++) {
		hash = (hash ^ word[i]) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
	}
	u32 at = hash % HINTS;
	struct hint *hint = bpf_map_lookup_elem(hints, &at);
	if (!hint)
		return 0;
	const u64 *key = (const u64 *)&hint->key;
	if (!((word[0] ^ key[0]) | (word[1] ^ key[1]) | (word[2] ^ key[2]) | (word[3] ^ key[3])))
		return 1;
	return hint->several && bpf_map_lookup_elem(map, e);
}

// known reports whether the endpoint of a packet is in map; link holds the
// link and is completed here.
inline_ bool known(void *map, void *hints, u32 of, struct endpoint *link, const struct flow *f,
		   const struct addr *addr, u16 port)
{
	link->addr = *addr;
	link->port = f->fragment ? 0 : port;
	link->proto = f->fragment ? 0 : f->proto;
	if (holds(map, hints, link))
		return 1;
	if (f->fragment)
		return 0;
	u32 *any = bpf_map_lookup_elem(&any_port, &of);
	link->port = 0;
	if (any && *any && holds(map, hints, link))
		return 1;
	if (f->proto != TCP)
		return 0;
	u32 at = net16(port);
	u64 *data = bpf_map_lookup_elem(&awaited, &at);
	if (!data || !*data)
		return 0;
	link->proto = 0;
	return holds(map, hints, link);
}

// marked reports whether a packet is marked for a service.
inline_ bool marked(const struct endpoint *link, const struct flow *f)
{
	u32 of = OF_ZONES;
	u32 *any = bpf_map_lookup_elem(&any_port, &of);

	if (!any || !*any)
		return 0;
	const u32 *word = f->dst.word;
	struct zone zone = {
		.bits = 8 * (sizeof(zone) - sizeof(zone.bits)),
		.ifindex = link->ifindex,
		.tag = { link->tag[0], link->tag[1] },
		.tags = link->tags,
		.proto = f->fragment ? 0 : f->proto,
		.v4 = !(word[0] | word[1]) && word[2] == net32(0xffff),
		.addr = f->dst,
	};
	struct ranges *ranges = bpf_map_lookup_elem(&zones, &zone);
	if (!ranges)
		return 0;
	u16 port = f->fragment ? 0 : net16(f->port.dst);
	u32 at = 0; // the last one that begins before the port or there
	for (u32 step = RANGES / 2; step; step /= 2)
		if (ranges->range[at + step].from <= port)
			at += step;
	return ranges->range[at].from <= port && port <= ranges->range[at].to;
}

inline_ bool is_own(const struct addr *addr)
{
	struct endpoint e = { .addr = *addr };

	return holds(&own, &own_hints, &e);
}

inline_ bool is_error(const struct flow *f, const struct icmp *icmp)
{
	u8 t = icmp->type;

	if (f->proto == ICMPV6)
		return t >= 1 && t <= 4;
	return t == 3 || t == 4 || t == 11 || t == 12;
}

// quoted replaces f by the reverse of the packet that an ICMP error quotes,
// so that it reads like the packet that will not come.
inline_ bool quoted(struct cursor *c, struct flow *f, bool v6)
{
	struct icmp *icmp = take(c, sizeof(*icmp));

	if (!icmp || !is_error(f, icmp))
		return 0;
	struct flow q = {};
	if (!(v6 ? read6(c, &q) : read4(c, &q)))
		return 0;
	if (!q.fragment && !read_ports(c, &q))
		return 0;
	f->src = q.dst;
	f->dst = q.src;
	f->port.src = q.port.dst;
	f->port.dst = q.port.src;
	f->proto = q.proto;
	f->fragment = q.fragment;
	return 1;
}

// classify says whose the packet is that begins at c.
inline_ enum reason classify(struct cursor *c, struct endpoint *link, u16 type)
{
	struct flow f = {};
	bool v6 = type == net16(0x86dd);

	if (!v6 && type != net16(0x0800))
		return NONE;
	if (!(v6 ? read6(c, &f) : read4(c, &f)))
		return NONE;

	struct addr dst = f.dst;
	enum reason service = SERVICE, reply = REPLY;
	if (f.fragment) {
		service = reply = FRAGMENT;
	} else if (f.proto == (v6 ? ICMPV6 : ICMP)) {
		if (!quoted(c, &f, v6))
			return NONE;
		service = reply = ERROR;
	} else if (!read_ports(c, &f)) {
		return NONE;
	}

	if (known(&services, &service_hints, OF_SERVICES, link, &f, &f.dst, f.port.dst))
		return service;
	if (known(&replies, &reply_hints, OF_REPLIES, link, &f, &f.src, f.port.src) && !is_own(&dst))
		return reply;
	return marked(link, &f) ? service : NONE;
}

// read_tags reads up to two VLAN tags into link and returns the type of what
// follows. VLAN id 0 is a priority without a VLAN.
inline_ bool read_tags(struct cursor *c, struct endpoint *link, u16 *type)
{
	for (int i = 0; i < MAX_TAGS; i++) {
		if (*type != net16(0x8100) && *type != net16(0x88a8))
			return 1;
		struct vlan *v = take(c, sizeof(*v));
		if (!v)
			return 0;
		*type = v->type;
		u16 id = net16(v->tag) & 0xfff;
		if (id == 0)
			continue;
		if (link->tags++)
			link->tag[1] = id;
		else
			link->tag[0] = id;
	}
	return 1;
}

inline_ void count(enum reason reason)
{
	u64 *n = bpf_map_lookup_elem(&counters, &reason);

	if (n)
		(*n)++;
}

// first_slot returns the first slot in sockets of the NIC that has a door; -1
// = there is no such door.
inline_ long first_slot(const struct door *door)
{
	u32 at = (door->ifindex * 31 ^ door->mac[4] * 7 ^ door->mac[5]) % ENTRANCES;
	struct entrance *e = bpf_map_lookup_elem(&entrances, &at);
	const u32 *a = (const u32 *)door;

	if (e && e->first) {
		const u32 *b = (const u32 *)&e->door;
		if (!((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2])))
			return e->first - 1;
	}
	u32 *first = bpf_map_lookup_elem(&doors, door);
	return first ? (long)*first : -1;
}

SEC("xdp")
int lvx_steer(struct xdp_md *ctx)
{
	struct cursor c = { (u8 *)(long)ctx->data, (u8 *)(long)ctx->data_end };
	u64 bytes = c.end - c.at;
	struct ethernet *eth = take(&c, sizeof(*eth));

	if (!eth || eth->dst[0] & 1)
		return XDP_PASS;
	struct door door = { .ifindex = ctx->ingress_ifindex };
	__builtin_memcpy(door.mac, eth->dst, sizeof(door.mac));
	long first = first_slot(&door);
	if (first < 0)
		return XDP_PASS;

	struct endpoint link = { .ifindex = ctx->ingress_ifindex };
	u16 type = eth->type;
	if (!read_tags(&c, &link, &type))
		return XDP_PASS;
	enum reason reason = classify(&c, &link, type);
	if (reason == NONE)
		return XDP_PASS;
	if (bytes > frame_bytes) {
		u32 at = 0;
		u32 *nic = bpf_map_lookup_elem(&large, &at);
		if (nic)
			*nic = ctx->ingress_ifindex;
		count(TOO_LARGE);
		return XDP_DROP;
	}

	u32 queue = ctx->rx_queue_index;
	u32 slot = queue < queues ? first + queue : all_sockets;
	long verdict = bpf_redirect_map(&sockets, slot, XDP_DROP);
	count(verdict == XDP_REDIRECT ? reason : NO_SOCKET);
	return verdict;
}

char license_[] SEC("license") = "Dual BSD/GPL";
