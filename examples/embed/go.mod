module example.com/embed

go 1.25.0

require github.com/lvx-lb/lvx v0.0.0

require (
	github.com/cilium/ebpf v0.22.0 // indirect
	github.com/gaissmai/bart v0.30.0 // indirect
	github.com/vishvananda/netlink v1.3.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	golang.org/x/sys v0.43.0 // indirect
)

replace github.com/lvx-lb/lvx => ../..
