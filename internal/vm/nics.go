package vm

import "fmt"

// NIC is an emulated NIC, found in the guest by its MAC address.
type NIC struct {
	Model string // a QEMU device with its properties
	MAC   string
	Wire  int // NICs with the same number are connected
}

// VirtIO is a virtio-net that takes zero copy: only behind an IOMMU does the
// driver offer it.
const VirtIO = "virtio-net-pci,disable-legacy=on,iommu_platform=on"

// Arguments returns what makes QEMU emulate the NICs. Each gets a root port of
// its own, as an igb takes up the slots beside it.
func Arguments(nics ...NIC) []string {
	var args []string
	for i, n := range nics {
		args = append(args,
			"-device", fmt.Sprintf("pcie-root-port,id=port%d,chassis=%d", i, i+1),
			"-netdev", fmt.Sprintf("hubport,id=net%d,hubid=%d", i, n.Wire),
			"-device", fmt.Sprintf("%s,bus=port%d,netdev=net%d,mac=%s,romfile=", n.Model, i, i, n.MAC))
	}
	return args
}
