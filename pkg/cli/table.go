package cli

import (
	"io"
	"strings"
)

const (
	columnGap  = "  "
	foldIndent = "      "
	minColumn  = 8 // a column is not cut shorter than this
)

// Table is rows of text in aligned columns. On a terminal the heading is set
// off and rows are cut to its width; elsewhere nothing is ever cut, and
// columns are at least two spaces apart.
type Table struct {
	env    *Env
	header []string
	rows   [][]string
	styles map[int]Style // of rows
	fold   int
}

// NewTable begins a table with these headings.
func (e *Env) NewTable(header ...string) *Table {
	return &Table{env: e, header: header}
}

// Row adds a row. Missing cells are empty and an empty cell prints as "-", so
// that each line has the same number of fields.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.header))
	for i := range row {
		row[i] = "-"
		if i < len(cells) && cells[i] != "" {
			row[i] = visible(cells[i], "")
		}
	}
	t.rows = append(t.rows, row)
}

// Style sets off the row that was added last.
func (t *Table) Style(s Style) {
	if t.styles == nil {
		t.styles = map[int]Style{}
	}
	t.styles[len(t.rows)-1] = s
}

// Fold says how many columns of text the last column needs. On a terminal that
// has no room for them beside the others, what is in it goes below its row,
// wrapped.
func (t *Table) Fold(least int) { t.fold = least }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Write writes the table to the program's stdout. A table without rows writes
// nothing.
func (t *Table) Write() error {
	if len(t.rows) == 0 {
		return nil
	}
	last := len(t.header) - 1
	widths := t.widths()
	fold := t.fold > 0 && t.env.Terminal && total(widths[:last])+len(columnGap)+min(widths[last], t.fold) > t.env.Width
	if fold {
		widths = widths[:last]
	}
	if t.env.Terminal {
		fit(widths, t.env.Width)
	}
	var b strings.Builder
	t.line(&b, t.header, widths, Bold)
	for i, row := range t.rows {
		t.line(&b, row, widths, t.styles[i])
		if fold && row[last] != "-" {
			writeWrapped(&b, foldIndent, foldIndent, row[last], t.env.Width)
		}
	}
	_, err := io.WriteString(t.env.Stdout, b.String())
	return err
}

func (t *Table) widths() []int {
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	return widths
}

// total is the width of a row.
func total(widths []int) int {
	sum := len(columnGap) * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// fit takes columns from the widest until the row fits, or until none can be
// cut any more.
func fit(widths []int, most int) {
	for used := total(widths); used > most; used-- {
		widest := 0
		for i, w := range widths {
			if w >= widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minColumn {
			return
		}
		widths[widest]--
	}
}

func (t *Table) line(b *strings.Builder, cells []string, widths []int, style Style) {
	for i, width := range widths {
		cell := truncate(cells[i], width)
		pad := strings.Repeat(" ", width-columns(cell)) + columnGap
		if i == len(widths)-1 {
			pad = "\n"
		}
		if style != "" {
			cell = t.env.Paint(style, cell)
		}
		b.WriteString(cell + pad)
	}
}
