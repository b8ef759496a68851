// Package vllm asks a vLLM server how it is.
//
// It speaks HTTP itself, just enough for a GET to a server on this machine:
// net/http would add four megabytes to each of the small tools that ask, and
// brings redirects, proxies, HTTP/2 and connection pools that none of them
// wants. Whatever answers is bounded in time and size, and is never trusted to
// be vLLM.
package vllm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of one answer.
const (
	DefaultTimeout = 5 * time.Second // when the context has no deadline
	maxHead        = 64 << 10        // bytes of status line and headers
	maxBody        = 1 << 20         // bytes of body
)

// Addr is the address of a server: a host (a name, or an address of either
// family) and a TCP port.
func Addr(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

// StatusError is an answer with another HTTP status than was hoped for.
type StatusError struct {
	Path   string
	Status int
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("GET %s was answered with status %d", e.Path, e.Status)
}

// response is an answer, whole.
type response struct {
	status int
	body   []byte
}

// get sends one GET and reads the whole answer, within ctx.
func get(ctx context.Context, addr, path string) (response, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return response{}, fmt.Errorf("ask vLLM at %s: %w", addr, inTime(ctx, err))
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return response{}, fmt.Errorf("ask vLLM at %s: %w", addr, err)
	}
	// Only a deadline in the past ends a read that waits; closing later is
	// then ours alone.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\nAccept: */*\r\nUser-Agent: dubnium\r\nConnection: close\r\n\r\n", path, addr)
	var r response
	if err == nil {
		r, err = readResponse(conn)
	}
	if err != nil {
		return response{}, fmt.Errorf("ask vLLM at %s for %s: %w", addr, path, inTime(ctx, err))
	}
	return r, nil
}

// inTime gives the end of ctx as the reason for an error that it caused.
func inTime(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return context.DeadlineExceeded // the socket's clock was the first to fire
	}
	return err
}

// refused tells whether nobody listens.
func refused(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// readResponse reads one answer, HTTP/1.0 or 1.1.
func readResponse(conn io.Reader) (response, error) {
	head := &io.LimitedReader{R: conn, N: maxHead}
	in := bufio.NewReader(head)
	status, err := readStatus(in)
	if err != nil {
		return response{}, headError(head, err)
	}
	length, chunked := int64(-1), false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return response{}, headError(head, err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "content-length":
			length, err = strconv.ParseInt(value, 10, 64)
			if err != nil || length < 0 {
				return response{}, fmt.Errorf("the answer has the Content-Length %.20q", value)
			}
		case "transfer-encoding":
			chunked = strings.EqualFold(value, "chunked")
			if !chunked {
				return response{}, fmt.Errorf("the answer has the Transfer-Encoding %.20q", value)
			}
		}
	}
	// What is left of the buffered bytes belongs to the body too.
	head.N = maxBody + maxHead
	body, err := readBody(in, length, chunked)
	if err != nil {
		return response{}, err
	}
	return response{status: status, body: body}, nil
}

func readStatus(in *bufio.Reader) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	version, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(version, "HTTP/1.") || status < 100 || status > 999 {
		return 0, fmt.Errorf("the answer is no HTTP: it starts with %.40q", line)
	}
	return status, nil
}

// headError says why the head of an answer ended early.
func headError(head *io.LimitedReader, err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case head.N <= 0:
		return fmt.Errorf("the answer has over %d bytes of headers", maxHead)
	default:
		return errors.New("the answer ended within its headers")
	}
}

var errBody = fmt.Errorf("the answer has over %d bytes", maxBody)

// readBody reads a body to its end, as told by its length, its chunks or the
// end of the connection.
func readBody(in *bufio.Reader, length int64, chunked bool) ([]byte, error) {
	if chunked {
		return readChunks(in)
	}
	if length > maxBody {
		return nil, errBody
	}
	limit := int64(maxBody + 1)
	if length >= 0 {
		limit = length
	}
	body, err := io.ReadAll(io.LimitReader(in, limit))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxBody:
		return nil, errBody
	case length >= 0 && int64(len(body)) < length:
		return nil, fmt.Errorf("the answer ended after %d of its %d bytes", len(body), length)
	}
	return body, nil
}

// readChunks reads a chunked body, which a server may send despite HTTP/1.0.
func readChunks(in *bufio.Reader) ([]byte, error) {
	var body bytes.Buffer
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("the answer ended within its chunks: %w", err)
		}
		digits, _, _ := strings.Cut(string(line), ";")
		size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 31)
		if err != nil {
			return nil, fmt.Errorf("the answer has a chunk of the length %.20q", line)
		}
		if size == 0 {
			return body.Bytes(), nil // trailers are of no interest
		}
		if body.Len()+int(size) > maxBody {
			return nil, errBody
		}
		if _, err := io.CopyN(&body, in, int64(size)); err != nil {
			return nil, fmt.Errorf("the answer ended within its chunks: %w", err)
		}
		if end, err := in.ReadString('\n'); err != nil || strings.TrimRight(end, "\r\n") != "" {
			return nil, fmt.Errorf("the answer has a chunk that does not end where it says: %.20q", end)
		}
	}
}
