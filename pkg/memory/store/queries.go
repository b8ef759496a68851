package store

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed queries/*.sql
var queryFiles embed.FS

// queries are the texts by their file's name without .sql.
var queries = sync.OnceValue(func() map[string]string {
	return texts(queryFiles, "queries")
})

func texts(files fs.FS, dir string) map[string]string {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		panic(err) // embedded
	}
	all := make(map[string]string, len(entries))
	for _, e := range entries {
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			panic(err) // embedded
		}
		all[strings.TrimSuffix(e.Name(), ".sql")] = string(text)
	}
	return all
}

// query is the text of a file of this package.
func query(name string) string {
	text, ok := queries()[name]
	if !ok {
		panic(fmt.Sprintf("there is no query %s", name))
	}
	return text
}

// shaped are the texts by name, model and part, of which there are few.
var shaped sync.Map

// shape is what a text is made for, besides its parameters.
type shape struct {
	name  string
	model int32
	of    portion
}

// portion is a part of a scope that an index leads to: lines of a query that begin
// with "-- part NAME: " are of that query for the part alone.
type portion string

// The parts of a scope.
const (
	wholeScope   portion = ""
	sessionPart  portion = "session"
	taskPart     portion = "task"
	verifiedPart portion = "verified"
	rejectedPart portion = "rejected"
)

// queryOf is query for the table of a model's vectors: a table's name is the
// one thing that can be no parameter. The files name embedding_0.
func queryOf(name string, model int32) string { return queryOfPart(name, model, wholeScope) }

// queryOfPart is queryOf for a part of a scope. A condition that is not always
// there would keep Postgres from the index.
func queryOfPart(name string, model int32, of portion) string {
	key := shape{name, model, of}
	if text, ok := shaped.Load(key); ok {
		return text.(string)
	}
	text := strings.ReplaceAll(query(name), "embedding_0", "embedding_"+strconv.Itoa(int(model)))
	if of != wholeScope {
		text = strings.ReplaceAll(text, "-- part "+string(of)+": ", "")
	}
	shaped.Store(key, text)
	return text
}
