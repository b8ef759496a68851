package httpapi_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestBrokenOff sends a part of a body and hangs up: that is the client's doing,
// and no fault of ours in the log.
func TestBrokenOff(t *testing.T) {
	s := newSite(t)
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]string{
		"/memory/artifacts?scope=project:dubnium": "text/plain", "/memory/import": "application/x-ndjson", "/memory/store": "application/json",
	} {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\n\n", path, at.Host, kind); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", path, resp.Status)
		}
		_ = conn.Close()
	}
	if s.log.Len() > 0 {
		t.Errorf("a client that hung up is in the log: %s", s.log)
	}
}

// TestRefusedIsRead sends all of a body before it reads, as many HTTP clients
// do: one that is refused early is told why, instead of finding the connection
// closed under it.
func TestRefusedIsRead(t *testing.T) {
	s := newSite(t)
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		path, kind string
		body       string
		status     int
	}{
		"too large":             {"/memory/store", "application/json", `{"summary":"` + strings.Repeat("a", 8<<20) + `"}`, 413},
		"no such path":          {"/memory/stores", "application/json", strings.Repeat("a", 8<<20), 404},
		"another type":          {"/memory/store", "text/plain", strings.Repeat("a", 8<<20), 415},
		"the first line's type": {"/memory/import", "application/x-ndjson", "x\n" + strings.Repeat("{}\n", 3<<20), 422},
		"an artifact":           {"/memory/artifacts?scope=project:dubnium", "text/plain", strings.Repeat("a", 8<<20), 413},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", at.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", tc.path, at.Host, tc.kind, len(tc.body), tc.body); err != nil {
				t.Fatalf("the body can't be sent to its end: %v", err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tc.status {
				t.Errorf("%s, not %d", resp.Status, tc.status)
			}
		})
	}
}
