// Package locomo measures retrieval on LoCoMo (Maharana et al., ACL 2024), long
// conversations with questions whose evidence is known turn by turn.
//
//	make bench-memory LOCOMO=FILE
//
// The file is not part of this repository; its licence is CC BY-NC 4.0. Each
// conversation is a scope, each turn an episodic memory with its speaker, its
// session and its time, and each question one retrieval. The caption of a
// picture belongs to the turn as data; the words that the picture was searched
// with are part of how the data was made, and are never used.
package locomo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
)

// conversation is one scope.
type conversation struct {
	name      string
	turns     []turn
	questions []question
}

func (c conversation) scope() memory.Scope { return memory.Scope("project:locomo-" + c.name) }

// turn is one memory.
type turn struct {
	// name is as the evidence of the questions has it, such as D3:7.
	name, session, speaker, text string
	at                           time.Time
}

// id is the same in every run, so that ties fall alike.
func (c conversation) id(name string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("locomo/"+c.name+"/"+name))
}

// question is one retrieval.
type question struct {
	text     string
	category int
	// evidence are the names of the turns that answer it.
	evidence []string
}

// categories are those of the data.
var categories = map[int]string{1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}

// sample is a conversation in the file.
type sample struct {
	ID           string                     `json:"sample_id"`
	Conversation map[string]json.RawMessage `json:"conversation"`
	Questions    []struct {
		Question string   `json:"question"`
		Category int      `json:"category"`
		Evidence []string `json:"evidence"`
	} `json:"qa"`
}

var (
	session = regexp.MustCompile(`^session_(\d+)$`)
	// reference finds the turns in an evidence, of which some hold several.
	reference = regexp.MustCompile(`D\d+:\d+`)
)

// load reads the file. Questions without a known turn as evidence are left out.
func load(path string) ([]conversation, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var samples []sample
	if err := json.Unmarshal(data, &samples); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var all []conversation
	for _, s := range samples {
		c, err := s.conversation()
		if err != nil {
			return nil, fmt.Errorf("read %s: conversation %s: %w", path, s.ID, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (s sample) conversation() (conversation, error) {
	c := conversation{name: s.ID}
	var names []string
	for name := range s.Conversation {
		if session.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { // session_10 comes after session_9
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	known := map[string]bool{}
	for _, name := range names {
		var turns []struct {
			Name    string `json:"dia_id"`
			Speaker string `json:"speaker"`
			Text    string `json:"text"`
			Caption string `json:"blip_caption"`
		}
		if err := json.Unmarshal(s.Conversation[name], &turns); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		var when string
		if err := json.Unmarshal(s.Conversation[name+"_date_time"], &when); err != nil {
			return c, fmt.Errorf("time of %s: %w", name, err)
		}
		at, err := time.Parse("3:04 pm on 2 January, 2006", when)
		if err != nil {
			return c, err
		}
		for i, t := range turns {
			text := t.Text
			if t.Caption != "" {
				text += "\n[" + t.Caption + "]"
			}
			// The seconds are not in the data; they keep two equal turns apart.
			c.turns = append(c.turns, turn{t.Name, name, t.Speaker, text, at.Add(time.Duration(i) * time.Second)})
			known[t.Name] = true
		}
	}
	for _, q := range s.Questions {
		var evidence []string
		for _, e := range q.Evidence {
			for _, name := range reference.FindAllString(e, -1) {
				if known[name] && !slices.Contains(evidence, name) {
					evidence = append(evidence, name)
				}
			}
		}
		if len(evidence) > 0 {
			c.questions = append(c.questions, question{q.Question, q.Category, evidence})
		}
	}
	return c, nil
}

// drafts are the turns as memories.
func (c conversation) drafts() []memory.Draft {
	drafts := make([]memory.Draft, len(c.turns))
	for i, t := range c.turns {
		id, in := c.id(t.name), c.id(t.session)
		drafts[i] = memory.Draft{
			ID: &id, SessionID: &in, MemoryType: memory.Episodic, Scope: c.scope(), Source: "conversation",
			Summary: t.text, Speaker: t.speaker, OccurredAt: &t.at,
		}
	}
	return drafts
}

// made is a conversation in the form of the file that nobody had.
const made = `[{"sample_id": "made", "conversation": {
	"speaker_a": "Ann", "speaker_b": "Bob",
	"session_2_date_time": "11:00 am on 17 December, 2022",
	"session_2": [
		{"speaker": "Bob", "dia_id": "D2:1", "text": "Did the boat get its new mast?"},
		{"speaker": "Ann", "dia_id": "D2:2", "text": "It did, yesterday.", "blip_caption": "a photo of a harbour", "query": "sailing boat harbour"}],
	"session_1_date_time": "1:56 pm on 8 May, 2022",
	"session_1": [
		{"speaker": "Ann", "dia_id": "D1:1", "text": "I bought a boat in Bergen!"},
		{"speaker": "Bob", "dia_id": "D1:2", "text": "My garden is full of snails."},
		{"speaker": "Ann", "dia_id": "D1:3", "text": "Snails are worse than rain."}]},
	"qa": [
		{"question": "When did Ann's boat get a mast?", "category": 2, "evidence": ["D2:2"]},
		{"question": "What has Bob in his garden?", "category": 4, "evidence": ["D1:2; D1:2", "D9:9"]},
		{"question": "What did nobody say?", "category": 5, "evidence": ["D"]}]}]`

func madeUp(t testing.TB) []conversation {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.json")
	if err := os.WriteFile(path, []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLoad(t *testing.T) {
	all := madeUp(t)
	if len(all) != 1 {
		t.Fatalf("%d conversations", len(all))
	}
	may, december := time.Date(2022, 5, 8, 13, 56, 0, 0, time.UTC), time.Date(2022, 12, 17, 11, 0, 0, 0, time.UTC)
	want := conversation{
		name: "made",
		turns: []turn{
			{"D1:1", "session_1", "Ann", "I bought a boat in Bergen!", may},
			{"D1:2", "session_1", "Bob", "My garden is full of snails.", may.Add(time.Second)},
			{"D1:3", "session_1", "Ann", "Snails are worse than rain.", may.Add(2 * time.Second)},
			{"D2:1", "session_2", "Bob", "Did the boat get its new mast?", december},
			{"D2:2", "session_2", "Ann", "It did, yesterday.\n[a photo of a harbour]", december.Add(time.Second)},
		},
		questions: []question{
			{"When did Ann's boat get a mast?", 2, []string{"D2:2"}},
			{"What has Bob in his garden?", 4, []string{"D1:2"}},
		},
	}
	if diff := cmp.Diff(want, all[0], cmp.AllowUnexported(conversation{}, turn{}, question{})); diff != "" {
		t.Error(diff)
	}
	for _, d := range all[0].drafts() {
		if strings.Contains(d.Summary, "sailing") {
			t.Errorf("%q has what the picture was searched with", d.Summary)
		}
	}
}
