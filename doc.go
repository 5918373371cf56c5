// Package lvx is an LVS-NAT director in user space: it balances TCP, UDP and
// SCTP connections to virtual services over real servers, as `ipvsadm -m` does,
// on AF_XDP sockets and without kernel IPVS.
//
// A Director is what the command `lvx run` runs, for programs to embed:
//
//	d, err := lvx.New(lvx.Config{NICs: []string{"eth0", "eth1"}})
//	...
//	defer d.Close()
//	err = d.Apply(ctx, []service.Edit{
//		{Op: service.AddService, Service: web},
//		{Op: service.AddServer, Service: web, Server: first},
//	})
//	err = d.Run(ctx) // forwards until ctx ends
//
// It needs root, or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and
// CAP_IPC_LOCK. The packages below it can be used alone: dataplane processes
// bytes without any right.
package lvx
