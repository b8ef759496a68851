// Package packages holds what the packages and releases promise: that they
// have what make install installs, that the same commit gives the same bytes,
// and that a machine on which one came and went is as it was.
package packages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const repository = "../.."

// at is the time of everything in the packages under test.
const at = "1700000000"

// command runs a program of the host in a folder, and gives what it prints.
func command(t *testing.T, dir string, env []string, argv ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(argv, " "), err, out, &stderr)
	}
	return string(out)
}

// built is a release of what is in bin, made once.
var built struct {
	sync.Once
	dir, deb, rpm, tarball string
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

// stamp is what the programs in bin say of their version and commit.
func stamp(t *testing.T) (version, commit string) {
	t.Helper()
	m := regexp.MustCompile(`^mode (\S+) \((?:commit ([0-9a-f]+))?`).FindStringSubmatch(command(t, repository, nil, "bin/mode", "--version"))
	if m == nil {
		t.Fatal("mode does not say its version: run make build first")
	}
	return m[1], m[2]
}

// packaged is a version as packages have it.
func packaged(version string) string { return strings.ReplaceAll(version, "-", "~") }

func packages(t *testing.T) (deb, rpm string) {
	t.Helper()
	built.Do(func() {
		version, _ := stamp(t)
		dir, err := os.MkdirTemp("", "dubnium-packages-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir
		command(t, repository, []string{"SOURCE_DATE_EPOCH=" + at, "VERSION=" + version}, "scripts/release", dir+"/release")
		for to, pattern := range map[*string]string{&built.deb: "*.deb", &built.rpm: "*.rpm", &built.tarball: "*.tar.zst"} {
			found, err := filepath.Glob(dir + "/release/" + pattern)
			if err != nil || len(found) != 1 {
				t.Fatalf("the release has %d of %s: %v", len(found), pattern, err)
			}
			*to = found[0]
		}
	})
	if built.tarball == "" {
		t.Fatal("the release could not be made: see the test that tried")
	}
	return built.deb, built.rpm
}

func digest(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// file is one of a package: mode and owner as ls has them, a link's target.
type file struct{ mode, owner, target string }

// debFiles lists a deb.
func debFiles(t *testing.T, deb string) map[string]file {
	t.Helper()
	files := map[string]file{}
	for line := range strings.Lines(command(t, ".", []string{"TZ=UTC"}, "dpkg-deb", "-c", deb)) {
		f := strings.Fields(line)
		if f[0][0] == 'd' {
			continue
		}
		if got, want := f[3]+" "+f[4], "2023-11-14 22:13"; got != want {
			t.Errorf("%s is of %s, want %s", f[5], got, want)
		}
		one := file{mode: f[0], owner: f[1]}
		if len(f) > 6 {
			one.target = f[7]
		}
		files[strings.TrimPrefix(f[5], ".")] = one
	}
	return files
}

// rpmFile is one of an rpm, with the flags that rpm has for it.
type rpmFile struct {
	file
	flags string
}

func rpmFiles(t *testing.T, rpm string) map[string]rpmFile {
	t.Helper()
	files := map[string]rpmFile{}
	const format = "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES} f%{FILEFLAGS:fflags} %{FILELINKTOS}\n]"
	for line := range strings.Lines(command(t, ".", nil, "rpm", "-qp", "--qf", format, rpm)) {
		f := strings.Fields(line)
		one := rpmFile{file{mode: f[0], owner: f[1]}, f[3][1:]}
		if len(f) > 4 {
			one.target = f[4]
		}
		files[f[2]] = one
	}
	return files
}

// TestContents holds that a package has what make install installs, with its
// manual compressed, and beside it only its configuration and its documentation.
func TestContents(t *testing.T) {
	deb, rpm := packages(t)
	stage := filepath.Join(t.TempDir(), "stage")
	command(t, repository, nil, "scripts/install", "stage", stage, "/usr")
	manifest, err := os.ReadFile(stage + "/usr/share/dubnium/manifest")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range strings.Fields(string(manifest)) {
		if strings.HasPrefix(name, "/usr/share/man/") {
			name += ".gz"
		}
		want = append(want, name)
	}
	want = append(want, "/etc/dubnium/dubnium.toml")
	slices.Sort(want)

	inDeb, inRPM := debFiles(t, deb), rpmFiles(t, rpm)
	var got []string
	for name, f := range inDeb {
		mode := "-rw-r--r--"
		switch {
		case strings.HasPrefix(name, "/usr/bin/"):
			mode = "-rwxr-xr-x"
		case f.target != "":
			mode = "lrwxrwxrwx"
		}
		if f.owner != "root/root" || f.mode != mode {
			t.Errorf("%s is %+v, want root's with %s", name, f, mode)
		}
		if !strings.HasPrefix(name, "/usr/share/doc/dubnium/") && name != "/usr/share/lintian/overrides/dubnium" {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the deb is not what is installed, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff("/etc/dubnium/dubnium.toml\n", command(t, ".", nil, "dpkg-deb", "-I", deb, "conffiles")); diff != "" {
		t.Errorf("conffiles, -want +got:\n%s", diff)
	}

	// The rpm has the same, and the folders that are its alone.
	for name, f := range inRPM {
		flags := ""
		switch {
		case name == "/etc/dubnium/dubnium.toml":
			flags = "cn" // a configuration, never replaced
		case name == "/usr/share/doc/dubnium/copyright":
			flags = "l"
		case f.mode[0] == 'd':
		case strings.HasPrefix(name, "/usr/share/doc/"), strings.HasPrefix(name, "/usr/share/man/"):
			flags = "d"
		}
		if f.flags != flags {
			t.Errorf("%s has the flags %q in the rpm, want %q", name, f.flags, flags)
		}
		if f.mode[0] == 'd' {
			if f.owner != "root/root" || f.mode != "drwxr-xr-x" || !strings.HasPrefix(name, "/usr/share/doc/dubnium") && !strings.HasSuffix(name, "/dubnium") {
				t.Errorf("the rpm owns the folder %s: %+v", name, f)
			}
			continue
		}
		have, found := inDeb[strings.Replace(name, "/changelog.md", "/changelog.gz", 1)]
		if !found || f.owner != have.owner || f.target != have.target || f.mode[1:] != have.mode[1:] && f.target == "" {
			t.Errorf("%s is %+v in the rpm, %+v in the deb", name, f.file, have)
		}
	}
	for name := range inDeb {
		_, found := inRPM[strings.Replace(name, "/changelog.gz", "/changelog.md", 1)]
		if !found && name != "/usr/share/lintian/overrides/dubnium" {
			t.Errorf("%s is in the deb, and not in the rpm", name)
		}
	}
}

// TestRPM holds what rpm itself says of the package.
func TestRPM(t *testing.T) {
	_, rpm := packages(t)
	version, _ := stamp(t)
	if out := command(t, ".", nil, "rpm", "-K", "--nosignature", rpm); !strings.Contains(out, "digests OK") {
		t.Error(out)
	}
	query := func(format string) string { return command(t, ".", nil, "rpm", "-qp", "--qf", format, rpm) }
	if got, want := query("%{NAME} %{VERSION} %{LICENSE} %{BUILDHOST} %{BUILDTIME}"), "dubnium "+packaged(version)+" LicenseRef-none-stated localhost "+at; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
	for _, what := range []string{"systemd", "dbus", "polkit"} {
		if !slices.Contains(strings.Fields(query("[%{REQUIRENAME} ]")), what) {
			t.Errorf("it does not require %s", what)
		}
	}
	for tag, want := range map[string][]string{
		"POSTIN": {"dubnium_arrived", `[ "$1" -eq 1 ]`}, "PREUN": {"dubnium_leaves ai.slice ", " || exit 1", "disable dubnium-embed-worker.service"}, "POSTUN": {"dubnium_left"},
	} {
		script := query("%{" + tag + "}")
		path := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		command(t, ".", nil, "sh", "-n", path)
		for _, w := range want {
			if !strings.Contains(script, w) {
				t.Errorf("%s lacks %s:\n%s", tag, w, script)
			}
		}
		if strings.Contains(script, "@") && regexp.MustCompile(`@[A-Z]+@`).MatchString(script) {
			t.Errorf("%s is not filled in:\n%s", tag, script)
		}
	}
	for _, tag := range []string{"PREIN", "PRETRANS", "POSTTRANS", "VERIFYSCRIPT"} {
		if got := query("%{" + tag + "}"); got != "(none)" {
			t.Errorf("%s runs %s", tag, got)
		}
	}
}

// TestLintian holds that Debian's own checks find nothing but what the
// overrides explain.
func TestLintian(t *testing.T) {
	deb, _ := packages(t)
	cmd := exec.CommandContext(t.Context(), "lintian", "--allow-root", "--fail-on", "error,warning", deb)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// TestReproducible holds that neither the folder, nor who builds there, when,
// or where in the world, is in what is built. Linking every program again
// would take a minute; the three are of each kind that there is: small, with
// net/http and Postgres, with cgo.
func TestReproducible(t *testing.T) {
	deb, _ := packages(t)
	tree := filepath.Join(t.TempDir(), "elsewhere", "dubnium")
	if err := os.MkdirAll(tree, 0o700); err != nil {
		t.Fatal(err)
	}
	// What git knows or would add, as a clone has it.
	command(t, repository, nil, "bash", "-c", `git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done | tar --null -T - -cf - | tar -C "$0" -xf -`, tree)
	command(t, repository, nil, "cp", "-r", "bin", tree)

	version, commit := stamp(t)
	programs := []string{"mode", "memory-api", "observe-gpu"}
	for _, p := range programs {
		if err := os.Remove(filepath.Join(tree, "bin", p)); err != nil {
			t.Fatal(err)
		}
	}
	command(t, tree, []string{"TZ=Asia/Tokyo"}, "make", "build", "VERSION="+version, "COMMIT="+commit, "PROGRAMS=./cmd/mode ./cmd/memory-api")
	for _, p := range programs {
		if digest(t, filepath.Join(tree, "bin", p)) != digest(t, filepath.Join(repository, "bin", p)) {
			t.Errorf("%s, built in another folder, is another file: is bin current (make build)?", p)
		}
	}
	again := filepath.Join(t.TempDir(), "release")
	command(t, tree, []string{"TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "USER=somebody", "TMPDIR=" + t.TempDir(), "SOURCE_DATE_EPOCH=" + at, "VERSION=" + version},
		"sh", "-c", `umask 077; exec scripts/release "$0"`, again)
	first, err := os.ReadFile(built.dir + "/release/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(again + "/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(first), "\n"), strings.Split(string(second), "\n")); diff != "" {
		t.Errorf("the release, made in another folder, is another one:\n%s", diff)
	}
	if n := strings.Count(string(first), "\n"); n != 4 {
		t.Errorf("it has %d files, want tarball, deb, rpm and bill of materials:\n%s", n, first)
	}
	command(t, filepath.Dir(deb), nil, "sha256sum", "--check", "--quiet", "SHA256SUMS")
}

// TestBillOfMaterials holds that it lists what go version -m says, and no more.
func TestBillOfMaterials(t *testing.T) {
	programs := strings.Fields(command(t, repository, nil, "scripts/install", "programs"))
	args := []string{"go", "version", "-m"}
	for _, p := range programs {
		args = append(args, "bin/"+p)
	}
	packages(t)
	version, _ := stamp(t)
	boms, err := filepath.Glob(built.dir + "/release/dubnium-" + version + ".cdx.json")
	if err != nil || len(boms) != 1 {
		t.Fatalf("the release has %d bills of materials: %v", len(boms), err)
	}
	text, err := os.ReadFile(boms[0])
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat, SpecVersion, SerialNumber string
		Components                           []struct{ Type, Name, Version, Purl string }
		Dependencies                         []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.5" || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(bom.SerialNumber) {
		t.Errorf("it begins with %s %s %s", bom.BOMFormat, bom.SpecVersion, bom.SerialNumber)
	}
	var modules, applications []string
	for _, c := range bom.Components {
		switch c.Type {
		case "library":
			modules = append(modules, c.Name+" "+c.Version)
		case "application":
			applications = append(applications, c.Name)
		}
	}
	want := map[string]bool{}
	for line := range strings.Lines(command(t, repository, nil, args...)) {
		f := strings.Fields(line)
		switch {
		case f[0] == "dep":
			want[f[1]+" "+f[2]] = true
		case strings.HasPrefix(line, "bin/"):
			want["stdlib "+strings.TrimPrefix(f[1], "go")] = true
		}
	}
	slices.Sort(modules)
	if diff := cmp.Diff(sorted(want), modules); diff != "" {
		t.Errorf("modules, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(programs, applications); diff != "" {
		t.Errorf("programs, -want +got:\n%s", diff)
	}
	if len(bom.Dependencies) != len(programs)+1 {
		t.Errorf("%d dependencies, want one of each program and of the whole", len(bom.Dependencies))
	}
}

func sorted(set map[string]bool) []string {
	var all []string
	for s := range set {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// TestNotices holds that every module's licence is passed on.
func TestNotices(t *testing.T) {
	deb, _ := packages(t)
	text := member(t, deb, "/usr/share/doc/dubnium/third-party.txt.gz")
	for _, want := range []string{"github.com/alecthomas/kong", "github.com/jackc/pgx/v5", "github.com/NVIDIA/go-nvml", "go1.", "the table of word vectors"} {
		if !strings.Contains(text, "==== "+want) {
			t.Errorf("nothing of %s is in third-party.txt", want)
		}
	}
	version, _ := stamp(t)
	if log := member(t, deb, "/usr/share/doc/dubnium/changelog.gz"); !strings.HasPrefix(log, "dubnium ("+packaged(version)+") unstable; urgency=medium\n\n  * ") {
		t.Errorf("the changelog begins with %.80q", log)
	}
}

// member is a compressed file in a deb.
func member(t *testing.T, deb, name string) string {
	t.Helper()
	return command(t, ".", nil, "sh", "-c", `dpkg-deb --fsys-tarfile "$0" | tar -xOf - ".$1" | gzip -d`, deb, name)
}
