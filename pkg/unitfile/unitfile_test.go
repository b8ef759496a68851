package unitfile

import (
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/google/go-cmp/cmp"
)

// one is a file with one directive.
func one(key string, v Value) File {
	return File{Name: "a.service", Sections: []Section{{Name: "Service", Entries: []Entry{{Key: key, Value: v}}}}}
}

func TestRender(t *testing.T) {
	got, err := File{
		Name:     "a.service",
		Comments: []string{"First paragraph.", strings.Repeat("word ", 30)},
		Sections: []Section{
			{Name: "Unit", Entries: []Entry{
				{Key: "Description", Value: Text("100% of it")},
				{Key: "After", Value: Units{"b.target", "c@1.service"}, Why: "it needs them"},
			}},
			{Name: "Service", Entries: []Entry{
				{Key: "ExecStart", Value: Reset},
				{Key: "ExecStart", Value: Command("/bin/x", "a b")},
			}},
		},
	}.Render()
	if err != nil {
		t.Fatal(err)
	}
	want := `# First paragraph.
#
# word word word word word word word word word word word word word word word word word word word
# word word word word word word word word word word word

[Unit]
Description=100%% of it
# it needs them
After=b.target c@1.service

[Service]
ExecStart=
ExecStart=/bin/x "a b"
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestValues(t *testing.T) {
	for name, c := range map[string]struct {
		value Value
		want  string
	}{
		"text":               {Text("plain text"), "plain text"},
		"percent":            {Text("50%i"), "50%%i"},
		"specifier":          {Concat{Text("mode %"), Specifier('i')}, "mode %%%i"},
		"reset":              {Reset, ""},
		"yes":                {Bool(true), "yes"},
		"no":                 {Bool(false), "no"},
		"int":                {Int(-5), "-5"},
		"weight":             {Weight(10000), "10000"},
		"bytes":              {Bytes(1025), "1025"},
		"mebibytes":          {Bytes(1536 << 20), "1536M"},
		"gibibytes":          {Bytes(4 << 30), "4G"},
		"no bytes":           {Bytes(0), "0"},
		"tebibytes":          {Bytes(2048 << 40), "2048T"},
		"unlimited":          {Unlimited, "infinity"},
		"seconds":            {Duration(90 * time.Second), "90s"},
		"milliseconds":       {Duration(1500 * time.Millisecond), "1500ms"},
		"microseconds":       {Duration(time.Microsecond), "1us"},
		"zero":               {Duration(0), "0"},
		"forever":            {Forever, "infinity"},
		"units":              {Units{`dev-disk-by\x2dlabel.device`, "-.slice"}, `dev-disk-by\x2dlabel.device -.slice`},
		"tokens":             {Tokens{"@system-service", "~@x%"}, "@system-service ~@x%%"},
		"path":               {Path("/a b/%c"), "/a b/%%c"},
		"optional path":      {Path("-/a"), "-/a"},
		"env":                {Env{"A_1", Text("b")}, "A_1=b"},
		"env with spaces":    {Env{"A", Concat{Text(`"b" $c\`), Specifier('C')}}, `"A=\"b\" $c\\%C"`},
		"exec":               {Command("/bin/x", "--a=b", "", ";", "$HOME", `"`, `\`, "it's", "50%"), `/bin/x --a=b "" ";" $$HOME "\"" "\\" "it's" 50%%`},
		"exec mark":          {Exec{Prefix: "-+", Path: Text("/bin/x")}, "-+/bin/x"},
		"exec path quoted":   {Command("/opt/my app/x"), `"/opt/my app/x"`},
		"exec path instance": {Exec{Path: Concat{Text("/bin/check_"), Specifier('i')}}, "/bin/check_%i"},
	} {
		t.Run(name, func(t *testing.T) {
			opts, err := one("Key", c.value).Options()
			if err != nil {
				t.Fatal(err)
			}
			want := []*unit.UnitOption{unit.NewUnitOption("Service", "Key", c.want)}
			if diff := cmp.Diff(want, opts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file File
		want string // within the error
	}{
		"newline":             {one("Key", Text("a\nUser=root")), `"a\nUser=root" holds the control character U+000A`},
		"newline in argument": {one("Key", Command("/bin/x", "a\nb")), "control character U+000A"},
		"carriage return":     {one("Key", Text("a\rb")), "U+000D"},
		"nul":                 {one("Key", Text("a\x00b")), "U+0000"},
		"next line":           {one("Key", Text("a\u0085b")), "U+0085"},
		"line separator":      {one("Key", Text("a\u2028b")), "U+2028"},
		"writing direction":   {one("Key", Text("a\u202eb")), "U+202E"},
		"not UTF-8":           {one("Key", Text("a\xffb")), "not UTF-8"},
		"continuation":        {one("Key", Text(`a\`)), "ends with a backslash"},
		"white space":         {one("Key", Text(" a")), "white space"},
		"empty":               {one("Key", Text("")), "use Reset"},
		"missing":             {one("Key", nil), "no value"},
		"too long":            {one("Key", Text(strings.Repeat("a", MaxLine-4))), "2048 bytes long"},
		"key":                 {one("Key=x\nUser", Text("a")), `key "Key=x\nUser": a key is letters`},
		"comment key":         {one("#Key", Text("a")), "a key is letters"},
		"weight 0":            {one("Key", Weight(0)), "1 to 10000"},
		"weight":              {one("Key", Weight(10001)), "1 to 10000"},
		"negative duration":   {one("Key", Duration(-1)), "negative"},
		"fine duration":       {one("Key", Duration(1)), "finer"},
		"no units":            {one("Key", Units{}), "empty"},
		"unit type":           {one("Key", Units{"sshd"}), `"sshd" does not end with a type`},
		"unit injection":      {one("Key", Units{"a.service b.service"}), "holds something else"},
		"unit specifier":      {one("Key", Units{"a%i.service"}), "holds something else"},
		"unit stem":           {one("Key", Units{".service"}), "nothing before"},
		"unit template stem":  {one("Key", Units{"@a.service"}), "nothing before"},
		"unit length":         {one("Key", Units{strings.Repeat("a", 250) + ".service"}), "longer than 255"},
		"no tokens":           {one("Key", Tokens{}), "empty"},
		"token":               {one("Key", Tokens{"a b"}), "no plain word"},
		"empty token":         {one("Key", Tokens{""}), "no plain word"},
		"relative path":       {one("Key", Path("etc")), "not an absolute path"},
		"path upwards":        {one("Key", Path("/a/../b")), "not an absolute path"},
		"specifier":           {one("Key", Specifier('%')), "not a letter"},
		"concat":              {one("Key", Concat{nil}), "missing"},
		"env name":            {one("Key", Env{"1A", Text("b")}), "no name"},
		"env injection":       {one("Key", Env{"A=b C", Text("b")}), "no name"},
		"env empty":           {one("Key", Env{"", Text("b")}), "needs a name"},
		"exec relative":       {one("Key", Command("true")), "not an absolute path"},
		"exec empty":          {one("Key", Exec{}), "needs the path"},
		"exec folder":         {one("Key", Command("/")), "is a folder"},
		"exec variable":       {one("Key", Command("/bin/$SHELL")), "dollar"},
		"exec prefix":         {one("Key", Exec{Prefix: ":", Path: Text("/bin/x")}), "prefix"},
		"exec missing arg":    {one("Key", Exec{Path: Text("/bin/x"), Args: []Word{nil}}), "missing"},
		"name":                {File{Name: "../a.service"}, "neither a unit's"},
		"drop-in":             {File{Name: "a.service.d/x"}, "neither a unit's"},
		"drop-in of nothing":  {File{Name: "a.d/x.conf"}, "type of unit"},
		"no section":          {File{Name: "a.service"}, "no section"},
		"section":             {File{Name: "a.service", Sections: []Section{{Name: "A]\n["}}}, "a section's name"},
		"empty section":       {File{Name: "a.service", Sections: []Section{{Name: "A"}}}, "is empty"},
		"section twice": {File{Name: "a.service", Sections: []Section{
			{Name: "A", Entries: []Entry{{Key: "K", Value: Int(1)}}}, {Name: "A", Entries: []Entry{{Key: "K", Value: Int(1)}}},
		}}, "twice"},
		"comment newline": {File{Name: "a.service", Comments: []string{"a\nb"}, Sections: one("K", Int(1)).Sections}, "comment at the top"},
		"empty comment":   {File{Name: "a.service", Comments: []string{" "}, Sections: one("K", Int(1)).Sections}, "empty"},
		"comment continuation": {File{Name: "a.service", Sections: []Section{{Name: "A", Entries: []Entry{
			{Key: "K", Value: Int(1), Why: `a\ b`},
		}}}}, "section A, key K: comment"},
		"comment word": {File{Name: "a.service", Comments: []string{strings.Repeat("a", MaxLine)}, Sections: one("K", Int(1)).Sections}, "limit of a line"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := c.file.Render()
			if err == nil {
				t.Fatalf("rendered:\n%s", text)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not hold %q", err, c.want)
			}
		})
	}
}

func TestErrorNamesPlace(t *testing.T) {
	_, err := one("ExecStart", Text("a\nb")).Render()
	if err == nil || !strings.HasPrefix(err.Error(), "unit a.service: section Service, key ExecStart: ") {
		t.Errorf("error %v does not name unit, section and key", err)
	}
}

func TestDropIn(t *testing.T) {
	f := one("Key", Int(1))
	f.Name = "a@.service.d/50-dubnium.conf"
	if _, err := f.Render(); err != nil {
		t.Error(err)
	}
}
