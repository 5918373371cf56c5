// Package admin is how an administrator talks to a director: the commands of
// ipvsadm, their wire form over a unix socket, and both ends of that socket.
//
// A command line becomes a Command (Parse), a Command becomes edits or a
// listing (Run), and both travel as one request and its replies between a
// Client and a Server. The Client is a Director too, so a program may hold
// either without knowing which:
//
//	ipvsadm -A -t 192.0.2.1:80 ─ Parse ─ Run ─ Client ═ socket ═ Server ─ Director
//
// Messages, listings and exit codes are those of ipvsadm 1.31 byte for byte,
// because scripts read them.
package admin
