package main

import (
	"compress/gzip"
	"html"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// minWords is the shortest paragraph that is taken: below are navigation and
// captions.
const minWords = 5

var (
	htmlDropped = regexp.MustCompile(`(?is)<(script|style|pre|head)\b.*?</(script|style|pre|head)>`)
	htmlBlock   = regexp.MustCompile(`(?i)</?(p|li|h\d|dd|dt|td|th|tr|div|table|ul|ol|br|hr)\b[^>]*>`)
	htmlTag     = regexp.MustCompile(`(?s)<[^>]*>`)
	blankLines  = regexp.MustCompile(`\n\s*\n`)
)

// prose writes each paragraph once, in the order of the files' names.
type prose struct {
	*text
	seen map[string]bool
}

// htmlFolder takes the pages of a folder and the folders below it.
func (p prose) htmlFolder(folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".html" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		page := htmlDropped.ReplaceAllString(string(data), " ")
		page = htmlBlock.ReplaceAllString(page, "\x00")
		page = html.UnescapeString(htmlTag.ReplaceAllString(page, " "))
		p.paragraphs(strings.Split(page, "\x00"))
		return nil
	})
}

// dictionary takes a dict(1) file: text, compressed so that gzip reads it.
func (p prose) dictionary(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	p.paragraphs(blankLines.Split(string(data), -1))
	return nil
}

func (p prose) paragraphs(texts []string) {
	for _, text := range texts {
		text = strings.Join(strings.Fields(text), " ")
		if strings.Count(text, " ")+1 < minWords || p.seen[text] {
			continue
		}
		p.seen[text] = true
		p.add(text)
	}
}
