// probe is all that the images of the tests have as a program: it does what its
// arguments say, step by step, and prints a line for each, "VERB ARG: RESULT".
// Steps are separated by a plus sign. Errors are results, in the kernel's words.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Args[0] == "orphan" { // see below
		os.Exit(0)
	}
	for _, step := range split(os.Args[1:]) {
		verb, rest := step[0], step[1:]
		act, known := verbs[verb]
		if !known {
			fmt.Printf("%s: no such verb\n", verb)
			os.Exit(99)
		}
		result, err := act(rest)
		if err != nil {
			result = reason(err)
		}
		fmt.Printf("%s: %s\n", strings.Join(step, " "), result)
	}
}

func split(args []string) [][]string {
	var all [][]string
	for len(args) > 0 {
		i := slices.Index(args, "+")
		if i < 0 {
			return append(all, args)
		}
		all, args = append(all, args[:i]), args[i+1:]
	}
	return all
}

// reason is what the kernel said.
func reason(err error) string {
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return unix.ErrnoName(no)
	}
	return err.Error()
}

var verbs = map[string]func([]string) (string, error){
	"write": func(a []string) (string, error) { return "ok", os.WriteFile(a[0], []byte(a[1]), 0o644) },
	"read": func(a []string) (string, error) {
		data, err := os.ReadFile(a[0])
		return strings.TrimSpace(string(data)), err
	},
	"list": func(a []string) (string, error) {
		entries, err := os.ReadDir(a[0])
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " "), err
	},
	"open": func(a []string) (string, error) {
		f, err := os.OpenFile(a[0], os.O_RDWR|unix.O_NONBLOCK, 0)
		if err == nil {
			f.Close()
		}
		return "ok", err
	},
	// fill writes mebibytes until one is refused.
	"fill": func(a []string) (string, error) {
		f, err := os.Create(a[0])
		if err != nil {
			return "", err
		}
		defer f.Close()
		for chunk := bytes.Repeat([]byte{1}, 1<<20); err == nil; {
			_, err = f.Write(chunk)
		}
		return "", err
	},
	"mknod": func(a []string) (string, error) { return "ok", unix.Mknod(a[0], unix.S_IFCHR|0o666, 0x103) },
	"chmod": func(a []string) (string, error) { return "ok", os.Chmod(a[0], 0o700) },
	"mount": func(a []string) (string, error) { return "ok", unix.Mount("none", a[0], "tmpfs", 0, "") },
	"remount": func(a []string) (string, error) {
		return "ok", unix.Mount("", a[0], "", unix.MS_REMOUNT|unix.MS_BIND, "")
	},
	"exec": func(a []string) (string, error) {
		out, err := exec.Command(a[0], a[1:]...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	},
	// effective is the user that a program runs as for this user.
	"effective": func([]string) (string, error) { return strconv.Itoa(os.Geteuid()), nil },
	"setuid":    func(a []string) (string, error) { n, _ := strconv.Atoi(a[0]); return "ok", syscall.Setuid(n) },
	"status": func(a []string) (string, error) {
		data, err := os.ReadFile("/proc/" + a[0] + "/status")
		for line := range strings.Lines(string(data)) {
			if key, value, _ := strings.Cut(line, ":"); key == a[1] {
				return strings.TrimSpace(value), nil
			}
		}
		return "", err
	},
	"ids": func([]string) (string, error) {
		host, err := os.Hostname()
		return fmt.Sprintf("pid %d parent %d host %s", os.Getpid(), os.Getppid(), host), err
	},
	"files": func([]string) (string, error) {
		var all []string
		for fd := range 256 {
			// Beyond the first three, what Go's own poller has open.
			if to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && !strings.HasPrefix(to, "anon_inode:") {
				all = append(all, strconv.Itoa(fd))
			}
		}
		return strings.Join(all, " "), nil
	},
	"interfaces": func([]string) (string, error) {
		all, err := net.Interfaces()
		var names []string
		for _, i := range all {
			names = append(names, fmt.Sprintf("%s %v", i.Name, i.Flags&net.FlagUp != 0))
		}
		return strings.Join(names, ", "), err
	},
	"listen": func([]string) (string, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Close()
		}
		return "ok", err
	},
	"environ": func([]string) (string, error) { return strings.Join(os.Environ(), " "), nil },
	"rdev": func(a []string) (string, error) {
		var st unix.Stat_t
		err := unix.Stat(a[0], &st)
		return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), err
	},
	// writable lists what of a tree this user can open for writing.
	"writable": func(a []string) (string, error) {
		var all []string
		err := filepath.WalkDir(a[0], func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if d.IsDir() {
				if ofProcess(path) {
					return filepath.SkipDir
				}
				return nil
			}
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || d.Type() == os.ModeSymlink {
				return nil
			}
			if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil {
				unix.Close(fd)
				all = append(all, path)
			}
			return nil
		})
		return strings.Join(all, " "), err
	},
	// orphans leaves processes behind that end at once and that somebody else has
	// to reap, and counts those that nobody does.
	"orphans": func([]string) (string, error) {
		if _, err := exec.Command("/probe", "leave").CombinedOutput(); err != nil {
			return "", err
		}
		for range 500 {
			if others() == 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		return strconv.Itoa(others()) + " left", nil
	},
	"leave": func([]string) (string, error) {
		for range 5 {
			c := exec.Command("/probe")
			c.Args = []string{"orphan"}
			if err := c.Start(); err != nil {
				return "", err
			}
		}
		return "ok", nil
	},
	"term": func(a []string) (string, error) {
		got := make(chan os.Signal, 1)
		signal.Notify(got, unix.SIGTERM)
		fmt.Println("ready")
		<-got
		n, err := strconv.Atoi(a[0])
		if err != nil {
			return "", err
		}
		fmt.Println("told")
		os.Exit(n)
		return "", nil
	},
	"wait": func([]string) (string, error) {
		fmt.Println("ready")
		for {
			time.Sleep(time.Hour)
		}
	},
	"exit": func(a []string) (string, error) { n, _ := strconv.Atoi(a[0]); os.Exit(n); return "", nil },
	"kill": func([]string) (string, error) { return "", unix.Kill(unix.Getpid(), unix.SIGKILL) },
}

func ofProcess(path string) bool {
	name := filepath.Base(path)
	return filepath.Dir(path) == "/proc" && (strings.Trim(name, "0123456789") == "" || name == "self" || name == "thread-self")
}

// others counts the processes besides the first one and this.
func others() int {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	return len(all) - 2
}
