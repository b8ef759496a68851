package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// machine makes a root with content at the default path; nil makes none.
func machine(t *testing.T, content []byte) hostfs.Root {
	t.Helper()
	root := hostfs.Root(t.TempDir())
	at := root.Path(DefaultPath)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if content != nil {
		if err := os.WriteFile(at, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLoadAbsentIsDefault(t *testing.T) {
	for _, path := range []string{"", DefaultPath} {
		got, err := Load(machine(t, nil), path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Default(), got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", path, diff)
		}
	}
}

func TestLoadReadsBelowRoot(t *testing.T) {
	root := machine(t, []byte("vllm.port = 9000\n"))
	for _, path := range []string{"", DefaultPath, DefaultPath[1:]} {
		got, err := Load(root, path)
		if err != nil {
			t.Fatal(err)
		}
		if got.VLLM.Port != 9000 {
			t.Errorf("%q: port is %d, want 9000", path, got.VLLM.Port)
		}
	}
}

func TestLoadRelativeOnTheRunningMachine(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("own.toml", []byte("vllm.port = 9000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Load("", "own.toml")
	if err != nil {
		t.Fatal(err)
	}
	if got.VLLM.Port != 9000 {
		t.Errorf("port is %d, want 9000", got.VLLM.Port)
	}
}

func TestLoadNamesTheFileAsTheMachineDoes(t *testing.T) {
	_, err := Load(machine(t, []byte("\nvllm.prot = 1\n")), "")
	want := "/etc/dubnium/dubnium.toml:2: vllm.prot: unknown key; did you mean vllm.port?"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLoadUnreadable(t *testing.T) {
	root := machine(t, nil)
	at := func(name string) string { return root.Path("/etc/dubnium", name) }
	for _, err := range []error{
		unix.Mkfifo(at("fifo"), 0o644),
		os.Mkdir(at("folder"), 0o755),
		os.WriteFile(at("large"), make([]byte, MaxFile+1), 0o644),
		os.WriteFile(at("file"), nil, 0o644),
		os.Symlink("loop", at("loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		path, message string
		is            error
	}{
		{"/etc/dubnium/none", "there is no such file; name one that exists, or leave --config out to use /etc/dubnium/dubnium.toml", fs.ErrNotExist},
		{"/etc/dubnium/fifo", "not a regular file; the configuration is one plain file", hostfs.ErrNotRegular},
		{"/etc/dubnium/folder", "not a regular file; the configuration is one plain file", hostfs.ErrNotRegular},
		{"/etc/dubnium/large", "over 1048576 bytes; no configuration is that large", hostfs.ErrTooLarge},
		{"/etc/dubnium/file/below", "cannot be read: not a directory", unix.ENOTDIR},
		{"/etc/dubnium/loop", "cannot be read: too many levels of symbolic links", unix.ELOOP},
	}
	for _, tt := range tests {
		_, err := Load(root, tt.path)
		checkUnreadable(t, err, tt.path+": "+tt.message, tt.is)
	}
}

// A test that runs as root may read everything, so the error is given.
func TestUnreadableForWantOfPermission(t *testing.T) {
	err := unreadable("f", &fs.PathError{Op: "open", Path: "/root/below/f", Err: unix.EACCES})
	checkUnreadable(t, err, "f: may not be read; guards run without privileges, so the file has to be readable by all (chmod 644)", fs.ErrPermission)
}

func checkUnreadable(t *testing.T, err error, want string, is error) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !errors.Is(err, is) {
		t.Errorf("%v is not %v", err, is)
	}
	var coder exitcode.Coder
	if !errors.As(err, &coder) || coder.ExitCode() != exitcode.Config {
		t.Errorf("%v does not end the process with %d", err, exitcode.Config)
	}
}
