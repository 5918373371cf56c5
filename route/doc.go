// Package route mirrors what the kernel knows about the way to a packet's next
// hop: routes, rules, neighbours, links and addresses of one network
// namespace, read by netlink and kept up to date by its events.
//
// A Mirror answers Lookup from an immutable snapshot, without lock or
// allocation, so the director may ask it for every new connection. One
// goroutine follows the kernel: it applies events to state of its own and
// publishes a new snapshot a few milliseconds after the first change, so that
// a burst of changes costs one. Where events cannot tell the whole truth (the
// kernel drops IPv4 routes of a dead link without a word, and a full event
// queue loses events) it reads everything again.
//
// The kernel never uses a neighbour that only the director uses. Resolve keeps
// such a neighbour alive.
//
// Words: a path is everything a route says beside its prefix; rivals are the
// routes of one prefix and table among which the lowest metric wins; a way is
// a path with what links and addresses add to it (MTU, source), ready to be
// answered.
package route
