package aimemory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
)

// input is a file of the person's, or stdin; what can't be read of it is told
// apart from what can't be sent.
type input struct {
	io.ReadCloser
	name string
}

// inputError is an input that can't be read.
type inputError struct {
	name string
	err  error
}

// Error names the input.
func (e *inputError) Error() string { return fmt.Sprintf("read %s: %v", e.name, e.err) }

// Unwrap gives the cause.
func (e *inputError) Unwrap() error { return e.err }

// Read reads.
func (i input) Read(p []byte) (int, error) {
	n, err := i.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		var at *os.PathError
		if errors.As(err, &at) { // its text has the name, too
			err = at.Err
		}
		err = &inputError{i.name, err}
	}
	return n, err
}

// called is the name of an input for people.
func called(name string) string {
	if name == "-" {
		return "stdin"
	}
	return name
}

// file opens a file, or stdin for "-".
func file(env *cli.Env, name string) (io.ReadCloser, error) {
	if name == "-" {
		return input{io.NopCloser(env.Stdin), called(name)}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, exitcode.With(exitcode.Usage, err)
	}
	return input{f, name}, nil
}

// object reads a JSON object from a flag.
func object(flag, text string) (memory.Object, error) {
	if text == "" {
		return nil, nil
	}
	var o memory.Object
	if err := json.Unmarshal([]byte(text), &o); err != nil || o == nil {
		return nil, exitcode.Errorf(exitcode.Usage, `%s: is no JSON object, such as {"key": "value"}`, flag)
	}
	return o, nil
}

// decode reads an object, or a list of objects, and nothing more.
func decode(text []byte) (drafts []memory.Draft, many bool, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		if err := dec.Decode(&drafts); err != nil {
			return nil, true, fault(err)
		}
		if dec.More() {
			return nil, true, errors.New("has something after the list")
		}
		if len(drafts) == 0 {
			return nil, true, errors.New("the list is empty")
		}
		return drafts, true, nil
	}
	var one memory.Draft
	if err := dec.Decode(&one); err != nil {
		return nil, false, fault(err)
	}
	if dec.More() {
		return nil, false, errors.New("has something after the first object: store several as a list, [...]")
	}
	return []memory.Draft{one}, false, nil
}

// fault says what is wrong with a document, without the words of Go.
func fault(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("is no JSON: it breaks at byte %d", syntax.Offset)
	case errors.Is(err, io.EOF):
		return errors.New("is empty: it is to be a JSON object, or a list of them")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("is no JSON: it ends in the middle")
	case errors.As(err, &kind):
		is := map[reflect.Kind]string{reflect.Float64: "number", reflect.String: "string", reflect.Slice: "list", reflect.Map: "object", reflect.Struct: "object"}[kind.Type.Kind()]
		if kind.Field == "" {
			return errors.New("is no JSON object, and no list of them")
		}
		return fmt.Errorf("%s is no %s", kind.Field, is)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}
