package httpapi

import (
	"net/http"
	"reflect"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ryjen/dubnium/pkg/memory"
)

// document is the OpenAPI document, of which huma makes the schemas from the Go
// types that the handlers take and give.
type document struct {
	api    *huma.OpenAPI
	schema huma.Registry
	// once is when it is written: after all routes are there.
	once sync.Once
	text []byte
	err  error
}

func newDocument(version string) *document {
	if version == "" {
		version = "0"
	}
	schema := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	return &document{schema: schema, api: &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Dubnium memory", Version: version,
			Description: "Memories of agents: stored, redacted, flagged, retrieved as candidates with evidence, audited and replayed. Nothing here is a prompt.",
		},
		Components: &huma.Components{Schemas: schema},
	}}
}

// add describes an operation.
func (d *document) add(r route, in, out reflect.Type) {
	op := &huma.Operation{OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, Responses: map[string]*huma.Response{}}
	for _, p := range r.params {
		op.Parameters = append(op.Parameters, describe(p))
	}
	if r.condition != unconditional {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "If-Match", In: "header", Required: r.condition == mustMatch, Schema: &huma.Schema{Type: "string"},
			Description: `The ETag of the version that is meant, such as "3", several of them with commas between, or * for any. When it is at none of them, the answer is 412; a weak tag (W/"3") names no version.`,
		})
	}
	if r.keyed {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: "string", MaxLength: ptr(maxKey)},
			Description: "A name for this request. When it is sent again with the same key, it is carried out once, and the answer is the first one's; another request with the key is answered 422.",
		})
	}
	switch {
	case r.takes != "":
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{r.takes: {}}}
	case in != reflect.TypeFor[none]():
		op.RequestBody = &huma.RequestBody{Required: true, Content: d.media("application/json", in)}
	}
	success := &huma.Response{Description: http.StatusText(r.status)}
	switch {
	case r.gives != "":
		success.Content = map[string]*huma.MediaType{r.gives: {}}
	case out != reflect.TypeFor[none]():
		success.Content = d.media("application/json", out)
	default:
		r.status = http.StatusNoContent
		success.Description = http.StatusText(r.status)
	}
	op.Responses[strconv.Itoa(r.status)] = success
	op.Responses["default"] = &huma.Response{Description: "A fault: its code, and each field with the reason", Content: d.media("application/json", reflect.TypeFor[memory.Failure]())}
	d.api.AddOperation(op)
}

func (d *document) media(kind string, t reflect.Type) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{kind: {Schema: d.schema.Schema(t, true, t.Name())}}
}

func describe(p param) *huma.Param {
	s := &huma.Schema{Type: "string"}
	switch p.kind {
	case identifier:
		s.Format = "uuid"
	case number:
		s.Type = "integer"
	case scope:
		s.MaxLength = ptr(memory.MaxScope)
		s.Pattern = "^(personal|project|session|agent|workflow):.+$"
	}
	for _, w := range p.words {
		s.Enum = append(s.Enum, w)
	}
	in := "query"
	if p.inPath {
		in = "path"
	}
	return &huma.Param{Name: p.name, In: in, Required: p.required, Description: p.doc, Schema: s}
}

// write gives the document as JSON.
func (d *document) write() ([]byte, error) {
	d.once.Do(func() {
		d.bounds()
		d.text, d.err = d.api.MarshalJSON()
	})
	return d.text, d.err
}

// bounds adds to the schemas what Go types don't say.
func (d *document) bounds() {
	enums := map[string][]string{
		"memory_type": words(memory.Types), "validation_status": words(memory.Validations), "purpose": words([]memory.Purpose{memory.Ask, memory.Plan, memory.Patch, memory.Review, memory.Test}),
		"actor_type": memory.ActorTypes, "event_type": {string(memory.EventRetrieval), string(memory.EventAudit)},
	}
	lengths := map[string]int{
		"summary": memory.MaxSummary, "query": memory.MaxQuery, "scope": memory.MaxScope, "source": memory.MaxSource, "speaker": memory.MaxSpeaker,
		"sensitivity": memory.MaxSensitivity, "title": memory.MaxTitle, "actor_id": memory.MaxActorID, "envelope_id": memory.MaxEnvelopeID,
	}
	byType := map[string]map[string][]string{
		"Reject": {"reason": words(memory.Reasons)}, "Memory": {"status": words(memory.Statuses)}, "Hit": {"status": words(memory.Statuses)},
		"Task": {"status": words(memory.TaskStatuses)}, "NewTask": {"status": words(memory.TaskStatuses)}, "ChangeTask": {"status": words(memory.TaskStatuses)},
	}
	for name, s := range d.schema.Map() {
		for field, p := range s.Properties {
			if p.Ref != "" || p.Type != "string" {
				continue
			}
			all := enums[field]
			if own, ok := byType[name][field]; ok {
				all = own
			}
			for _, w := range all {
				p.Enum = append(p.Enum, w)
			}
			if n, ok := lengths[field]; ok {
				p.MaxLength = &n
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

// openapi writes the document.
func (a *API) openapi(w http.ResponseWriter, r *http.Request) {
	text, err := a.doc.write()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}
