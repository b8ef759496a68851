package clidoc

import "strings"

// block is a piece of a manual's text.
type block struct {
	kind  blockKind
	lines []string // of a paragraph one, of a list one an item, of code as they are
}

type blockKind int

const (
	paragraph blockKind = iota
	list
	code
)

// parseManual splits a manual into paragraphs, lists ("- " begins an item, and
// what is indented below goes on with it) and code, which is indented by four
// spaces or a tab. Blank lines separate; a list may also follow a paragraph
// directly.
func parseManual(text string) []block {
	var blocks []block
	blank := true
	add := func(kind blockKind, line string) {
		last := len(blocks) - 1
		if last < 0 || blocks[last].kind != kind || (blank && kind == paragraph) {
			blocks = append(blocks, block{kind: kind})
			last++
		}
		b := &blocks[last]
		switch {
		case kind == paragraph && len(b.lines) > 0:
			b.lines[0] += " " + line
		default:
			b.lines = append(b.lines, line)
		}
	}
	for raw := range strings.Lines(text) {
		line := strings.TrimRight(raw, " \t\r\n")
		body := strings.Join(strings.Fields(line), " ")
		indented := strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")
		inList := len(blocks) > 0 && blocks[len(blocks)-1].kind == list
		inCode := len(blocks) > 0 && blocks[len(blocks)-1].kind == code
		switch {
		case body == "":
			blank = true
			continue
		case strings.HasPrefix(line, "- "):
			add(list, strings.TrimPrefix(body, "- "))
		case inList && !blank && line[0] == ' ':
			items := blocks[len(blocks)-1].lines
			items[len(items)-1] += " " + body
		case indented:
			if inCode && blank {
				add(code, "")
			}
			add(code, strings.TrimPrefix(strings.TrimPrefix(line, "    "), "\t"))
		default:
			add(paragraph, body)
		}
		blank = false
	}
	return blocks
}
