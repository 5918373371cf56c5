// Package packet finds the headers of frames and rewrites them.
//
// It is a leaf: bytes in, bytes out, no clock, no allocation. Parse fills a
// Packet that the caller owns and reuses; Translate and TranslateQuote replace
// one endpoint and mend the checksums by difference (RFC 1624); the builders
// (BuildReset, BuildError, Fragmenter) write new frames into the caller's
// memory.
//
// A frame is Ethernet bytes in a buffer, a packet is a frame whose headers
// were found. IPv4 and IPv6 share one code wherever the headers allow it.
package packet
