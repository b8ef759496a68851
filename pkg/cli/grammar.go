package cli

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// exit is what kong's exit becomes: --help or --version has printed, and the
// parse need not go on.
type exit struct{}

// newKong builds the parser of a program. It has no way to end the process.
func newKong(p Program) (*kong.Kong, error) {
	if _, ok := p.Model.(interface{ base() *Base }); !ok || reflect.ValueOf(p.Model).IsNil() {
		return nil, fmt.Errorf("the model %T is no pointer to a struct that embeds cli.Flags or cli.Base", p.Model)
	}
	vars := kong.Vars{"config": DefaultConfig, "timeout": "0"}
	if p.Timeout != 0 {
		vars["timeout"] = p.Timeout.String()
	}
	maps.Copy(vars, p.Vars)
	k, err := kong.New(p.Model,
		kong.Name(p.Name),
		kong.Description(capital(p.Summary)+"."),
		vars,
		kong.Exit(func(int) { panic(exit{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: helpWidth}),
		kong.ValueFormatter(ValueHelp),
		kong.KindMapper(reflect.String, kong.MapperFunc(asWritten)),
		kong.Help(p.printHelp),
	)
	if err != nil {
		return nil, err
	}
	k.Model.Detail = FirstParagraph(p.Manual)
	polish(k.Model)
	return k, nil
}

// asWritten takes a string as its bytes, which need not be UTF-8 in the name of
// a file. kong's own takes it through JSON.
func asWritten(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	text, ok := token.Value.(string)
	if !ok {
		return fmt.Errorf("%v is no text", token.Value)
	}
	target.SetString(text)
	return nil
}

// polish gives the built model the words that kong has no tags for.
func polish(app *kong.Application) {
	help := app.HelpFlag
	help.Help = "Print this help and exit."
	if !app.Leaf() {
		help.Help = "Print this help and exit; each command has help of its own."
	}
	help.OrigHelp = help.Help
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		n.Group = titled(n.Group)
		for _, f := range n.Flags {
			f.Group = titled(f.Group)
			if f.Name == "version" {
				help.Group = f.Group
			}
			if f.PlaceHolder == "" && !f.IsBool() && !f.IsCounter() {
				f.PlaceHolder = placeHolder(f)
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(app.Node)
}

// titled ends the title of a group as kong's own headings end.
func titled(g *kong.Group) *kong.Group {
	if g == nil || strings.HasSuffix(g.Title, ":") {
		return g
	}
	return &kong.Group{Key: g.Key, Title: g.Title + ":", Description: g.Description}
}

// placeHolder is what stands for a flag's value: its choices when they are
// few, else its kind. kong would show the default there.
func placeHolder(f *kong.Flag) string {
	const few = 32
	if choices := strings.Join(Choices(f.Value), "|"); choices != "" && len(choices) <= few {
		return choices
	}
	switch f.Tag.Type {
	case "path", "existingfile", "filecontent":
		return "FILE"
	case "existingdir":
		return "DIR"
	}
	if f.Target.Type() == reflect.TypeFor[time.Duration]() {
		return "DURATION"
	}
	switch f.Target.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "N"
	case reflect.Map:
		return "KEY=VALUE"
	}
	return strings.ToUpper(f.Name)
}

// Choices are the values of which a flag or an argument takes one, as people
// write them: without the empty one, which kong wants of a flag that need not
// be given. Other flags have none.
func Choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
}

// ValueHelp is the help of a flag or an argument with what it does not say
// itself: choices that its placeholder has no room for, and the default.
func ValueHelp(v *kong.Value) string {
	var notes []string
	shown := v.Flag != nil && strings.Contains(v.Flag.PlaceHolder, "|")
	if choices := Choices(v); len(choices) > 0 && !shown && !kong.HasInterpolatedVar(v.OrigHelp, "enum") {
		notes = append(notes, "one of "+strings.Join(choices, ", "))
	}
	if v.Default != "" && !v.IsBool() && !kong.HasInterpolatedVar(v.OrigHelp, "default") {
		notes = append(notes, "default "+v.Default)
	}
	if len(notes) == 0 {
		return v.Help
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + strings.Join(notes, "; ") + ")."
}

// parse parses args. It reports done when --help or --version has said all.
// The context is that of the parse as far as it came; it may be nil.
func parse(k *kong.Kong, args []string) (kctx *kong.Context, done bool, err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case exit:
			done = true
		default:
			panic(v)
		}
	}()
	kctx, err = k.Parse(args)
	var failed *kong.ParseError
	if errors.As(err, &failed) {
		kctx = failed.Context
	}
	return kctx, false, err
}

// commandPath is the program and the command as one types them.
func commandPath(n *kong.Node) string {
	if n.Parent == nil {
		return n.Name
	}
	return commandPath(n.Parent) + " " + n.Name
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
