package admin

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/lvx-lb/lvx/service"
)

// A connection carries one request and its replies. Each is a message: its
// length as four bytes, most significant first, then JSON. A list comes in
// several replies; More says that another follows. After the reply to a
// capture come bytes of pcap until the client hangs up.
//
// The client names the versions of this protocol that it speaks, the server
// takes the highest that it speaks too and names it in its reply. A request
// with a field that the server does not know is refused, because to ignore
// it might do something else than was asked for.

// wireVersions are the versions spoken here.
var wireVersions = []int{1}

// Sizes of messages.
const (
	maxRequest = 16 << 20
	maxReply   = 64 << 20
)

// What a request asks for: the methods of a Director.
const (
	askApply    = "apply"
	askEach     = "apply-each"
	askStatus   = "status"
	askConns    = "conns"
	askTimeouts = "timeouts"
	askSettings = "settings"
	askMarks    = "marks"
	askInfo     = "info"
	askCapture  = "capture"
	askDrain    = "drain"
)

type request struct {
	Versions []int          `json:"versions"`
	Ask      string         `json:"ask"`
	Edits    []service.Edit `json:"edits,omitempty"`
	Drain    *service.Drain `json:"drain,omitempty"`
}

type reply struct {
	Version  int                `json:"version"`
	Fault    *fault             `json:"fault,omitempty"`
	More     bool               `json:"more,omitempty"`
	Services []service.Status   `json:"services,omitempty"`
	Conns    []service.Conn     `json:"conns,omitempty"`
	Timeouts *service.Timeouts  `json:"timeouts,omitempty"`
	Settings *service.Settings  `json:"settings,omitempty"`
	Marks    []service.MarkRule `json:"marks,omitempty"`
	Info     *Info              `json:"info,omitempty"`
	Refused  []*fault           `json:"refused,omitempty"`
	Warnings []string           `json:"warnings,omitempty"`
	Left     *service.Left      `json:"left,omitempty"`
}

// writeMessage sends v as one message.
func writeMessage(w io.Writer, v any, limit int) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(body) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), limit)
	}
	message := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	if _, err := w.Write(append(message, body...)); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// readMessage receives one message. Memory grows with what has arrived, not
// with what the length promises.
func readMessage(r io.Reader, limit int) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > int64(limit) {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, limit)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, n); err != nil {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	return body.Bytes(), nil
}

// decodeRequest returns the request and the version to answer in.
func decodeRequest(body []byte) (request, int, error) {
	var versions struct {
		Versions []int `json:"versions"`
	}
	if err := json.Unmarshal(body, &versions); err != nil {
		return request{}, 0, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	version := 0
	for _, v := range versions.Versions {
		if slices.Contains(wireVersions, v) {
			version = max(version, v)
		}
	}
	if version == 0 {
		return request{}, 0, fmt.Errorf("%w: client has %v, server has %v", ErrVersion, versions.Versions, wireVersions)
	}
	var q request
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&q); err != nil {
		return request{}, version, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return q, version, nil
}

func decodeReply(body []byte) (reply, error) {
	var a reply
	if err := json.Unmarshal(body, &a); err != nil {
		return reply{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return a, a.Fault.err()
}
