package admin

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

func TestMessagesCarryTheirLength(t *testing.T) {
	var line bytes.Buffer
	if err := writeMessage(&line, request{Versions: []int{1}, Ask: askInfo}, maxRequest); err != nil {
		t.Fatal(err)
	}
	if got, want := line.String(), "\x00\x00\x00\x1d"+`{"versions":[1],"ask":"info"}`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestALengthIsNotBelieved(t *testing.T) {
	promise := []byte{0x00, 0xff, 0xff, 0xff, 'x'}
	if _, err := readMessage(bytes.NewReader(promise), maxRequest); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(10, func() { readMessage(bytes.NewReader(promise), maxRequest) }); n > 12 {
		t.Errorf("%v allocations for one byte", n)
	}
}

// FuzzRequest holds that any bytes are refused or are a request that means
// the same after another crossing.
func FuzzRequest(f *testing.F) {
	f.Add(message(`{"versions":[1],"ask":"info"}`))
	f.Add(message(`{"versions":[1],"ask":"apply","edits":[{"op":4,"service":{"protocol":6,"address":"192.0.2.1:80"},"server":{"address":"[::1]:80"}}]}`))
	f.Add(message(`{"versions":[1],"ask":"apply-each","edits":[{"op":11,"service":{"address":""},"server":{"address":""},"mark":{"mark":5,"prefix":"192.0.2.0/24","protocol":6,"from":80,"to":81,"nic":"eth0"}}]}`))
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, line []byte) {
		body, err := readMessage(bytes.NewReader(line), maxRequest)
		if err != nil {
			return
		}
		q, version, err := decodeRequest(body)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
				t.Error(err)
			}
			return
		}
		var crossing bytes.Buffer
		if err := writeMessage(&crossing, q, maxReply); err != nil {
			t.Fatal(err)
		}
		body, err = readMessage(&crossing, maxReply)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := decodeRequest(body)
		if err != nil || version != 1 || !reflect.DeepEqual(plainEdits(again), plainEdits(q)) {
			t.Errorf("%v: version %d\n%+v\n%+v", err, version, again, q)
		}
	})
}

// plainEdits takes empty and absent lists for the same.
func plainEdits(q request) request {
	q.Edits = append([]service.Edit{}, q.Edits...)
	for i := range q.Edits {
		q.Edits[i].Service.Flags = append([]string{}, q.Edits[i].Service.Flags...)
	}
	return q
}

// FuzzReply holds that any bytes are refused or are a reply.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"version":1,"services":[{"protocol":6,"address":"192.0.2.1:80","scheduler":"rr","servers":[{"address":"10.0.0.1:80"}]}]}`))
	f.Add([]byte(`{"version":1,"fault":{"code":"busy","text":"no"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := decodeReply(body)
		if err == nil && a.Fault != nil {
			t.Error("a fault is no error")
		}
	})
}
