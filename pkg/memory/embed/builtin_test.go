package embed

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func builtin(t testing.TB) *Builtin {
	t.Helper()
	b, err := NewBuiltin()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func one(t testing.TB, e Embedder, text string) []float32 {
	t.Helper()
	vectors, err := e.Embed(context.Background(), []string{text}, Document)
	if err != nil {
		t.Fatalf("embed %q: %v", text, err)
	}
	return vectors[0]
}

func cosine(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// score is how an embedder does on triples of a text, a paraphrase of it and
// an unrelated text.
type score struct {
	above int     // the paraphrase is nearer than the unrelated text
	first int     // the paraphrase is the nearest of all paraphrases and unrelated texts
	mrr   float64 // mean reciprocal rank of the paraphrase among those
}

func rate(triples [][]string, vector func(string) []float32) score {
	var s score
	var others [][]float32
	for _, column := range []int{1, 2} {
		for _, triple := range triples {
			others = append(others, vector(triple[column]))
		}
	}
	for i, triple := range triples {
		text := vector(triple[0])
		right, rank := cosine(text, others[i]), 1
		for _, other := range others {
			if cosine(text, other) > right {
				rank++
			}
		}
		if right > cosine(text, others[len(triples)+i]) {
			s.above++
		}
		if rank == 1 {
			s.first++
		}
		s.mrr += 1 / float64(rank) / float64(len(triples))
	}
	return s
}

// triples are texts as agents note them: one, the same in other words, and
// another that shares more words with the first than that.
var triples = [][]string{
	{"The nightly backup of the photo archive failed", "Saving the picture collection did not work last night", "The nightly train from the coast was late"},
	{"Switch off the graphics card before sleeping", "Disable the video adapter prior to suspend", "Switch the paper tray before printing"},
	{"Our customer wants weekly invoices", "The client asked to be billed every seven days", "Our neighbour wants a quiet garden"},
	{"Compiling takes far too long on the laptop", "Builds are very slow on the portable computer", "Cooking takes far too long in the kitchen"},
	{"She is allergic to peanuts", "Nuts make her ill", "She is fond of jazz"},
	{"The connection to the database drops after an hour", "Sessions with Postgres are closed when sixty minutes have passed", "The road to the village ends after a mile"},
	{"Store the secret keys outside of the repository", "Credentials do not belong in version control", "Store the apples outside of the house"},
	{"The index makes lookups fast", "Queries are quick thanks to the b-tree", "The ring finger is short"},
	{"He moved to another city for work", "A new job made him relocate to a different town", "He cut the bread for lunch"},
	{"Remove temporary files when the disk is full", "Delete scratch data if storage runs out", "Remove the pan when the soup is hot"},
	{"The lecture was cancelled because the teacher is sick", "No class today, the professor is ill", "The car was sold because the colour is ugly"},
	{"Memory usage of the process keeps growing", "The program leaks RAM", "The number of the players keeps falling"},
}

// TestBuiltinKnowsMeanings holds that the table earns its four megabytes: the
// same texts by their spelling alone do clearly worse.
func TestBuiltinKnowsMeanings(t *testing.T) {
	b := builtin(t)
	whole := rate(triples, func(text string) []float32 { return one(t, b, text) })
	spelling := rate(triples, func(text string) []float32 {
		vector := make([]float32, BuiltinDimensions)
		hashed(Words(text), b.table.rarity, vector)
		if err := normalise(vector); err != nil {
			t.Fatal(err)
		}
		return vector
	})
	t.Logf("whole %+v, spelling alone %+v", whole, spelling)
	if whole.above < len(triples)/2 || whole.mrr < spelling.mrr+0.4 {
		t.Errorf("of %d paraphrases: whole %+v, spelling alone %+v", len(triples), whole, spelling)
	}
}

// TestBuiltinFindsNames holds that names which no table knows are found.
func TestBuiltinFindsNames(t *testing.T) {
	b := builtin(t)
	notes := []string{
		"dubnium-embed-worker.service was restarted after the update",
		"dubnium-memory-api.service was restarted after the update",
		"the commit 5afadf51c2d9 was reverted after the update",
		"/etc/fstab was changed after the update",
		"die Prüfung der Größe schlägt fehl",
		"日本語のメモ",
	}
	for query, want := range map[string]int{
		"embed-worker.service":  0,
		"memory-api":            1,
		"what about 5afadf51c2": 2,
		"who touched fstab":     3,
		"GRÖSSE prüfung":        4,
		"日本語":                   5,
	} {
		best := 0
		for i, note := range notes {
			if cosine(one(t, b, query), one(t, b, note)) > cosine(one(t, b, query), one(t, b, notes[best])) {
				best = i
			}
		}
		if best != want {
			t.Errorf("%q finds %q, not %q", query, notes[best], notes[want])
		}
	}
}

func TestBuiltinRefuses(t *testing.T) {
	for _, text := range []string{"", " \t\n", "\xff\xfe"} {
		vectors, err := builtin(t).Embed(context.Background(), []string{"a text", text}, Document)
		var e *Error
		if !errors.As(err, &e) || e.Fault != Item || e.Index != 1 || vectors != nil {
			t.Errorf("%q gave %d vectors and the error %v", text, len(vectors), err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := builtin(t).Embed(ctx, []string{"a text"}, Document); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx ended: %v", err)
	}
}

// TestBuiltinIsPinned holds that the name, which vectors are kept under,
// changes with what makes them: the table, and the code that reads it.
func TestBuiltinIsPinned(t *testing.T) {
	notice, err := os.ReadFile("words.NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256([]byte(builtinTable)); !strings.Contains(string(notice), hex.EncodeToString(sum[:])) {
		t.Errorf("the table's SHA-256 is %x, which words.NOTICE does not name", sum)
	}
	h := sha256.New()
	for _, triple := range triples {
		for _, text := range triple {
			for _, x := range one(t, builtin(t), text) {
				fmt.Fprintf(h, "%.2f ", x)
			}
		}
	}
	const want = "7296a5438a8c3cda"
	if got := hex.EncodeToString(h.Sum(nil))[:16]; got != want {
		t.Errorf("vectors of %s: digest %s, not %s: they are others, so give them another name", BuiltinModel, got, want)
	}
}

func TestWords(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{" ... ", nil},
		{"Stop vLLM, then go.", []string{"stop", "vllm", "then", "go"}},
		{"see /etc/fstab (go-redis v9.23.0)", []string{"see", "etc/fstab", "go-redis", "v9.23.0"}},
		{"wait... don’t a--b", []string{"wait", "don’t", "a", "b"}},
		{"Größe ΑΒΓ", []string{"größe", "αβγ"}},
		{"a\xffb", []string{"a", "b"}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, Words(tt.text)); d != "" {
			t.Errorf("words of %q (-want +got):\n%s", tt.text, d)
		}
	}
	if d := cmp.Diff([]string{"go", "redis"}, Parts("go-redis")); d != "" {
		t.Errorf("parts (-want +got):\n%s", d)
	}
}

// TestParseTableRefuses holds that a table that was cut or changed is noticed.
func TestParseTableRefuses(t *testing.T) {
	whole := builtinTable
	damaged := map[string]string{
		"empty":           "",
		"another file":    "PNG" + whole[3:],
		"cut":             whole[:len(whole)-1],
		"longer":          whole + "x",
		"no dimensions":   whole[:12] + "\x00\x00\x00\x00" + whole[16:],
		"too many words":  whole[:8] + "\xff\xff\xff\xff" + whole[12:],
		"words reordered": whole[:20+4*tableDimensions] + "\x02\x00\x00\x00" + whole[24+4*tableDimensions:],
	}
	for name, data := range damaged {
		if _, err := parseTable(data); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}

func FuzzBuiltin(f *testing.F) {
	b := builtin(f)
	f.Add("The user prefers tabs")
	f.Add("!!")
	f.Add("a")
	f.Add("\x00\xff٣")
	f.Fuzz(func(t *testing.T, text string) {
		vectors, err := b.Embed(context.Background(), []string{text}, Query)
		if err != nil {
			if FaultOf(err) != Item || len(Words(text)) > 0 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if n := cosine(vectors[0], vectors[0]); !(n > 0.999 && n < 1.001) {
			t.Errorf("%q has the squared length %v", text, n)
		}
	})
}

func FuzzParseTable(f *testing.F) {
	small := func() string {
		var b strings.Builder
		b.WriteString(tableMagic)
		for _, x := range []uint32{1, 1, 2, math.Float32bits(1), 0, 2} {
			b.Write(binary.LittleEndian.AppendUint32(nil, x))
		}
		b.WriteString("go")
		for _, x := range []uint32{math.Float32bits(0.5), math.Float32bits(9)} {
			b.Write(binary.LittleEndian.AppendUint32(nil, x))
		}
		return b.String() + "\x09"
	}()
	if _, err := parseTable(small); err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, data string) {
		table, err := parseTable(data)
		if err != nil {
			return
		}
		for i := range table.count() {
			if table.find(table.word(i)) != i {
				t.Errorf("the word %q is not found", table.word(i))
			}
		}
		table.mean([]string{"go", "going"}, make([]float32, table.dimensions))
	})
}

func BenchmarkBuiltin(b *testing.B) {
	e := builtin(b)
	b.ReportAllocs()
	for b.Loop() {
		one(b, e, triples[5][1])
	}
}
