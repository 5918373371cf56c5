package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// echo sends every datagram back to where it came from: echo ADDRESS:PORT.
func echo(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: echo ADDRESS:PORT")
	}
	socket, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return err
	}
	var buf [65536]byte
	for {
		n, from, err := socket.ReadFrom(buf[:])
		if err != nil {
			return err
		}
		// An error here is about a client that is gone.
		socket.WriteTo(buf[:n], from)
	}
}

// ask sends a datagram of SIZE bytes, which nobody may fragment, from each of
// COUNT ports from FIRST on, and prints how many came back as they were: ask
// ADDRESS:PORT SIZE FIRST COUNT.
func ask(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: ask ADDRESS:PORT SIZE FIRST COUNT")
	}
	var number [3]int
	for i := range number {
		var err error
		if number[i], err = strconv.Atoi(args[i+1]); err != nil {
			return err
		}
	}
	var answered atomic.Int32
	var group sync.WaitGroup
	for i := range number[2] {
		group.Go(func() {
			if err := askFrom(number[1]+i, args[0], number[0]); err != nil {
				println(err.Error())
				return
			}
			answered.Add(1)
		})
	}
	group.Wait()
	fmt.Println(answered.Load())
	return nil
}

func askFrom(port int, address string, size int) error {
	d := net.Dialer{
		LocalAddr: &net.UDPAddr{Port: port},
		Control: func(network, _ string, c syscall.RawConn) (err error) {
			level, option, do := unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO
			if network == "udp6" {
				level, option, do = unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO
			}
			c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, do) })
			return err
		},
	}
	conn, err := d.Dial("udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	question := bytes.Repeat([]byte{byte(port)}, size)
	if _, err := conn.Write(question); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer := make([]byte, 65536)
	n, err := conn.Read(answer)
	if err == nil && !bytes.Equal(answer[:n], question) {
		err = fmt.Errorf("port %d: %d other bytes came back", port, n)
	}
	return err
}
