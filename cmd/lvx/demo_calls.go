package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// The services of a demonstration: a web page over TCP and a name over UDP.
const (
	webVirtual  = "80"
	webReal     = "8080"
	nameVirtual = "5300"
	nameReal    = "53"
)

// serve starts the real servers' programs, which live in this process.
func (d *demonstration) serve(context.Context) error {
	d.say("web and UDP servers in %d namespaces", len(d.Servers))
	for i, host := range d.Servers {
		web, err := host.Listen("tcp4", net.JoinHostPort(d.RIPs[i], webReal))
		if err != nil {
			return err
		}
		names, err := host.ListenPacket("udp4", net.JoinHostPort(d.RIPs[i], nameReal))
		if err != nil {
			return err
		}
		go http.Serve(web, page(host))
		go tellName(names, host.Name)
	}
	return nil
}

// page answers with the server's name and the client that it sees.
func page(host *netlab.Host) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s to %s", host.Name, r.RemoteAddr)
	})
}

// tellName answers every datagram with the server's name.
func tellName(c net.PacketConn, name string) {
	buf := make([]byte, 2048)
	for {
		_, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		c.WriteTo(fmt.Appendf(nil, "%s to %s", name, from), from)
	}
}

// call sends requests to the VIP and prints who answers. Round robin reaches
// every server once before one is asked again.
func (d *demonstration) call(ctx context.Context) error {
	d.say("requests from the client")
	web := "http://" + net.JoinHostPort(d.VIP, webVirtual) + "/"
	return errors.Join(
		d.rounds(3, "GET "+web, func() (string, error) { return d.get(ctx, web) }),
		d.rounds(2, "UDP "+net.JoinHostPort(d.VIP, nameVirtual), func() (string, error) { return d.askName(ctx) }))
}

func (d *demonstration) rounds(n int, what string, ask func() (string, error)) error {
	for range n {
		answered := map[string]bool{}
		for range d.Servers {
			said, err := ask()
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			fmt.Fprintf(d.out, "    %s → %s\n", what, said)
			var server string
			fmt.Sscan(said, &server)
			if answered[server] {
				return fmt.Errorf("%s: %s answered twice in one round", what, server)
			}
			answered[server] = true
		}
	}
	return nil
}

// get asks over a new connection each time, as a connection stays with its
// server.
func (d *demonstration) get(ctx context.Context, url string) (string, error) {
	client := http.Client{Transport: &http.Transport{DialContext: d.Client.Dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func (d *demonstration) askName(ctx context.Context) (string, error) {
	c, err := d.Client.Dial(ctx, "udp4", net.JoinHostPort(d.VIP, nameVirtual))
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, "who are you?"); err != nil {
		return "", err
	}
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}
