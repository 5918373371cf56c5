// Command child32 is built for a 32-bit architecture: it makes the calls of
// ipvsadm by that architecture's numbers and prints the answers.
package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

func main() {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, err = syscall.GetsockoptInt(fd, 0, 1153) // through socketcall
	fmt.Println("socketcall:", err)
	var b [44]byte
	size := uint32(len(b))
	_, _, errno := syscall.Syscall6(365, uintptr(fd), 0, 1153, uintptr(unsafe.Pointer(&b)), uintptr(unsafe.Pointer(&size)), 0)
	fmt.Println("getsockopt:", errno)
	_, _, errno = syscall.Syscall6(366, uintptr(fd), 0, 1154, uintptr(unsafe.Pointer(&b)), 44, 0)
	fmt.Println("setsockopt:", errno)
	_, _, errno = syscall.Syscall(359, syscall.AF_NETLINK, syscall.SOCK_RAW, 16)
	fmt.Println("generic netlink:", errno)
	_, _, errno = syscall.Syscall(350, 0, uintptr(unsafe.Pointer(&b)), 0)
	fmt.Println("finit_module:", errno)
	_, err = os.Stat("/etc")
	fmt.Println("else:", err)
}
