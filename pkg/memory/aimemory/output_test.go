package aimemory

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// gone is stdout whose reader has what it wanted.
type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestReaderGone holds that what is copied to stdout may be read in part, as by
// head, and that a service that breaks off is told all the same.
func TestReaderGone(t *testing.T) {
	whole := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("line\n", 1<<10))
	}))
	defer whole.Close()
	torn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "line\n")
	}))
	defer torn.Close()
	for name, tc := range map[string]struct {
		url  string
		to   io.Writer
		code exitcode.Code
		says string
	}{
		"a reader that is gone":     {whole.URL, gone{}, exitcode.OK, ""},
		"a service that breaks off": {torn.URL, io.Discard, exitcode.Inspection, "ai-memory: copy to stdout: unexpected EOF\n"},
	} {
		for _, args := range [][]string{{"export", "--scope", "project:x"}, {"artifacts", "get", "--scope", "project:x", "11111111-1111-4111-8111-111111111111"}} {
			var stderr bytes.Buffer
			code := cli.ExecuteContext(context.Background(), Program(), append(args, "--url", tc.url), strings.NewReader(""), tc.to, &stderr, func(string) string { return "" })
			if code != tc.code || stderr.String() != tc.says {
				t.Errorf("%s, %s: %d, %q; want %d, %q", name, args[0], code, stderr.String(), tc.code, tc.says)
			}
		}
	}
}
