// Package sockopt lets unmodified programs that speak the socket options of
// the kernel's IPVS, as ipvsadm and keepalived do, command a director.
//
// Supervise runs a program under a seccomp filter. The program's calls of
// getsockopt and setsockopt with IPVS's options, and its attempts to read
// /proc/net/ip_vs, ip_vs_conn and ip_vs_stats, stop in the kernel until the
// supervisor has answered them; it asks the director over its admin socket
// like any client. All other calls go on as ever. The filter also keeps the
// program from loading the kernel's own ip_vs, by name or by asking generic
// netlink for it.
//
// Only programs of the machine's own architecture are answered, and only of
// IPv4: the structures have no room for more, nor for a word that says which,
// and ipvsadm and keepalived refuse IPv6 themselves when there is no generic
// netlink. The supervisor says then what to do. A signal that comes before a
// call is received takes the caller out of it, as out of any slow call; a
// program whose signals do not restart calls may see EINTR from open.
//
// The pieces: filter.go says which calls are stopped, enter.go installs that
// in the child, supervise.go starts and outlives it, family.go reaps it and
// passes signals on, notify.go receives calls and answer.go answers them,
// caller.go looks at the thread that waits in one, rights.go at what it may do
// and beyond.go for IPv6 that it was told of, options.go and files.go are the
// kernel's side of the answers, structures.go its forms.
package sockopt
