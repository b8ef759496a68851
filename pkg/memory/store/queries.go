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

// modelQueries are the texts by name and model, of which there are few.
var modelQueries sync.Map

type modelQuery struct {
	name  string
	model int32
}

// queryOf is query for the table of a model's vectors: a table's name is the
// one thing that can be no parameter. The files name embedding_0.
func queryOf(name string, model int32) string {
	key := modelQuery{name, model}
	if text, ok := modelQueries.Load(key); ok {
		return text.(string)
	}
	text := strings.ReplaceAll(query(name), "embedding_0", "embedding_"+strconv.Itoa(int(model)))
	modelQueries.Store(key, text)
	return text
}
