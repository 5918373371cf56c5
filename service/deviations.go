package service

// deviations is the one list of how lvx differs from IPVS. Each line with a
// switch has a test that plays both.
var deviations = [...]Deviation{
	{
		Name: "empty-udp-checksum", Switch: EmptyUDPChecksum, Default: true,
		IPVS: "a UDP checksum of 0 (none) is computed",
		LVX:  "a UDP checksum of 0 stays 0, as RFC 768 has it",
	}, {
		Name: "wrong-sctp-checksum", Switch: WrongSCTPChecksum, Default: true,
		IPVS: "a wrong SCTP checksum becomes right where the port changes",
		LVX:  "a wrong SCTP checksum stays wrong, as those of TCP and UDP do",
	}, {
		Name: "parameter-problems", Switch: ParameterProblems, Default: true,
		IPVS: "ICMP type 12 (parameter problem) is not translated",
		LVX:  "ICMP type 12 is translated, as the other errors are",
	}, {
		Name: "moving-datagrams", Switch: MovingDatagrams, Default: true,
		IPVS: "a UDP client's packets for a deleted server are dropped as long as it sends some; with expire_nodest_conn it stays with a server of weight 0",
		LVX:  "a UDP client's next packet for a deleted server goes to another one; with expire_nodest_conn also that for a server of weight 0",
	}, {
		Name: "other-client-ports", Switch: OtherClientPorts, Default: true,
		IPVS: "of two connections of one client port to two services with one server, the newest gets the answers of both",
		LVX:  "of two connections of one client port to two services with one server, the later one has another client port towards the server",
	}, {
		Name: "idle-probes", Switch: IdleProbes, Default: true,
		IPVS: "an established TCP connection is forgotten when it was idle for its timeout",
		LVX:  "the ends of an established TCP connection that was idle for its timeout are asked first whether they know it: if both do, its time begins anew, else both are reset",
	}, {
		Name: "idle-resets", Switch: IdleResets,
		IPVS: "both ends of a forgotten TCP connection learn of it with their next packet",
		LVX:  "both ends of a TCP connection are reset when it was idle for its timeout, whatever they know",
	}, {
		Name: "one-packet-answers", Switch: OnePacketAnswers, Default: true,
		IPVS: "answers to the datagrams of a service with `-o` and `-m` leave untranslated, so that no client takes them",
		LVX:  "answers to datagrams of `-o` come from the VIP; one is awaited for 10 s",
	}, {
		Name: "short-fragment-wait", Switch: ShortFragmentWait, Default: true,
		IPVS: "an incomplete datagram waits 30 s for its rest, one of IPv6 60 s",
		LVX:  "an incomplete datagram waits 5 s for its rest",
	}, {
		Name: "careful-ftp", Switch: CarefulFTP, Default: true,
		IPVS: "FTP is read where a packet begins; PORT may name any address; an answer that comes again names the server; any packet of the two ends begins a data connection",
		LVX:  "every line of FTP is read; a client can name its own address only; an answer that comes again names the VIP again; a SYN begins a data connection",
	}, {
		Name: "narrow-ftp", Switch: NarrowFTP, Default: true,
		IPVS: "a persistent service of port 21 takes port 20 and every unprivileged TCP port of its VIP",
		LVX:  "a persistent service of port 21 takes the data connections that its control connections tell of",
	}, {
		IPVS: "`ipvsadm -a` without `-m` is direct routing",
		LVX:  "it is refused",
		Why:  "masquerading is the only forwarding method that there is",
	}, {
		IPVS: "a server may be the director itself, by any of its addresses but 127.0.0.0/8",
		LVX:  "such a server gets nothing, and a warning says so; 127.0.0.0/8 is refused",
		Why:  "AF_XDP does not see what the machine itself sends",
	}, {
		IPVS: "only packets to an address of the director are looked at; others are routed",
		LVX:  "packets to a VIP are looked at that come to a MAC address of the director, whoever has the VIP",
		Why:  "one that takes over is ready before it has the address; a backup with `use_vmac` hears what its switch floods",
	}, {
		IPVS: "iptables puts firewall marks on packets, by whatever it matches",
		LVX:  "`lvx mark` does, by destination, protocol, port and NIC",
		Why:  "netfilter does not see the packets",
	}, {
		IPVS: "persistence remembers every client, while there is memory",
		LVX:  "it remembers at most as many as `--conns`; then one without connections gives way, or the newcomer is dropped",
		Why:  "nothing here grows without bound",
	}, {
		IPVS: "incomplete datagrams take at most 4 MB",
		LVX:  "incomplete datagrams take at most 1/16 of the frames, each at most 64 fragments; the oldest gives way",
		Why:  "frames are what the NICs receive into",
	}, {
		IPVS: "up to 101 packets wait for a neighbour's MAC address",
		LVX:  "3 frames wait for a neighbour, 64 if they come at once, for all neighbours at most 1/32 of the frames",
		Why:  "frames are what the NICs receive into",
	}, {
		IPVS: "a server's datagram that belongs to no connection is put together and cut anew",
		LVX:  "its fragments go on as they came",
		Why:  "they are the kernel's, which gets what came",
	}, {
		IPVS: "the time of day is written into the IPv4 timestamp option",
		LVX:  "the timestamp option stays as it came",
		Why:  "the fast path reads no clock, and no router has to",
	}, {
		IPVS: "an answer may come by any NIC, and an ICMP error about a connection may be for anybody",
		LVX:  "answers come by a link that leads to their server, errors are for the connection's client; others go on as they came",
		Why:  "their sources are forged",
	}, {
		IPVS: "IPv6 packets from an address of the director, from :: or with stops to come in a routing header are taken",
		LVX:  "they are dropped",
		Why:  "so are those of IPv4",
	}, {
		IPVS: "a packet with lengths in its TCP or UDP header that contradict it is translated",
		LVX:  "it is dropped",
		Why:  "nobody can read it",
	}, {
		IPVS: "a client port of 0 is none: each packet from there is scheduled anew",
		LVX:  "it is a port like others",
		Why:  "a client stays with its server",
	}, {
		IPVS: "a datagram with DF in its fragments is refused as too large, an answer always, another if all of it is larger than the MTU",
		LVX:  "it goes on, cut as it came, without DF",
		Why:  "its sender has cut it already",
	}, {
		IPVS: "ICMPv6 errors of all types below 128 are translated",
		LVX:  "those of types 1 to 4 are, others go on as they came",
		Why:  "nobody sends others",
	}, {
		IPVS: "a host is sent up to 16 ICMPv6 errors a second, by the length of its route's prefix",
		LVX:  "it is sent one a second, as of IPv4",
		Why:  "the limit knows no routes",
	}, {
		IPVS: "with nat_icmp_send a server that calls a service by the port that it answers at is refused, as are its answers to the director",
		LVX:  "it is served, and they are the kernel's",
		Why:  "neither is without a connection",
	}, {
		IPVS: "a CIPSO option is refused, unless the director was told of its domain",
		LVX:  "it stays as it came",
		Why:  "labels are for hosts",
	}, {
		IPVS: "of several gateways to a server all clients' packets take one",
		LVX:  "each client's take one of them",
		Why:  "all of them are there to be used",
	}, {
		IPVS: "drop_entry, drop_packet and secure_tcp 1 and 2 are on while memory is short",
		LVX:  "they are on while the connection table is",
		Why:  "the memory of lvx is there from the start; what a flood uses up is the table",
	}, {
		IPVS: "FTP data connections may go to any address that 227 names",
		LVX:  "a server can name its own address or the VIP",
		Why:  "other addresses are for attacks (RFC 2577)",
	}, {
		IPVS: "netfilter's connection tracking, which FTP needs, drops of FTP's connections what it finds invalid",
		LVX:  "it goes on, and its receiver finds that",
		Why:  "a director need not know the window of a connection",
	}, {
		IPVS: "two FTP servers may name one port to clients behind one address; their calls are told apart by chance",
		LVX:  "the second client is told another port",
		Why:  "a call at the wrong server is of no use to anybody",
	}, {
		IPVS: "FTP data connections of a service by firewall mark need no mark",
		LVX:  "they need it",
		Why:  "steering takes awaited ports at addresses of services, and a mark has none",
	}, {
		IPVS: "a number above 255 in PORT is taken without its upper bits: 350 is 94",
		LVX:  "such a request goes on as it came",
		Why:  "it names no address",
	}, {
		IPVS: "PORT that names the client's end of a data connection which has ended takes up that connection",
		LVX:  "another one is expected beside it",
		Why:  "the server begins a new one",
	}, {
		IPVS: "a server's packet to port 0 of its client meets the client's persistence template, which takes on the state of a connection",
		LVX:  "it meets nothing",
		Why:  "a template is not a connection, and nobody listens on port 0",
	}, {
		IPVS: "a control connection of FTP that is called anew stays beside the new one while it has data connections",
		LVX:  "it ends",
		Why:  "no packet finds it any more",
	}, {
		IPVS: "ipvsadm lists firewall marks from 2147483648 on as negative numbers",
		LVX:  "they are listed as they were given",
		Why:  "a list that is read back must name the same mark",
	}, {
		IPVS: "FTP data connections are expected while there is memory",
		LVX:  "8 are expected at a time of one control connection, 4,096 of all, which are at most 65,536",
		Why:  "nothing here grows without bound",
	},
}
