package embed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Bounds and defaults of a provider.
const (
	DefaultBatch   = 32
	DefaultTimeout = 30 * time.Second
	maxBatch       = 2048
	maxDimensions  = 16 << 10 // halfvec in Postgres ends at 16,000
	// maxRetryAfter bounds how long a server may send us away.
	maxRetryAfter = 5 * time.Minute
	// elementBytes is the most that one element of a vector may take in an
	// answer; answerBytes is for all that is around the vectors.
	elementBytes = 40
	answerBytes  = 64 << 10
	// minHalved is the shortest text that is halved again when it is too long
	// for the model.
	minHalved = 256
)

// OpenAIConfig says how to reach a model.
type OpenAIConfig struct {
	// URL is the base of the API, such as http://127.0.0.1:8000/v1.
	URL string
	// Key is sent as a bearer token, where it is not empty.
	Key string
	// Model is the name that the server knows the model by.
	Model string
	// Preset holds what is true of the model wherever it runs.
	Preset
	// Batch is the most texts a request; 0 is [DefaultBatch].
	Batch int
	// Timeout bounds one request; 0 is [DefaultTimeout].
	Timeout time.Duration
}

// OpenAI is a model behind a server that speaks OpenAI's embeddings API
// (POST /v1/embeddings, https://platform.openai.com/docs/api-reference/embeddings).
// What the server answers is bounded and checked, and is never trusted to be
// what was asked for.
type OpenAI struct {
	config OpenAIConfig
	url    string
	client *http.Client
}

// NewOpenAI checks the configuration. It does not connect.
func NewOpenAI(config OpenAIConfig) (*OpenAI, error) {
	base, err := url.Parse(config.URL)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.User != nil:
		return nil, errors.New("the embedding server's URL must be http or https with a host, and no user or query, such as http://127.0.0.1:8000/v1")
	case config.Model == "":
		return nil, errors.New("the embedding model has no name: give the one that the server lists under /v1/models")
	case config.Dimensions < 1 || config.Dimensions > maxDimensions:
		return nil, fmt.Errorf("the embedding model %s has %d dimensions: give 1 to %d", config.Model, config.Dimensions, maxDimensions)
	case config.Batch < 0 || config.Batch > maxBatch:
		return nil, fmt.Errorf("a batch has %d texts: give 1 to %d", config.Batch, maxBatch)
	}
	if config.Batch == 0 {
		config.Batch = DefaultBatch
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	return &OpenAI{config: config, url: base.JoinPath("embeddings").String(), client: &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: config.Timeout}).DialContext,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		},
		// The key and the texts go where the configuration says.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Model is the name that the vectors are kept under: the server's.
func (o *OpenAI) Model() string { return o.config.Model }

// Dimensions is the length of every vector.
func (o *OpenAI) Dimensions() int { return o.config.Dimensions }

// Embed implements [Embedder]. Texts longer than the preset's bound are cut
// there. A single text that the server refuses is tried again by its first
// half, a few times: for a memory, a vector of its beginning is better than
// none.
func (o *OpenAI) Embed(ctx context.Context, texts []string, kind Kind) ([][]float32, error) {
	prefix := o.config.DocumentPrefix
	if kind == Query {
		prefix = o.config.QueryPrefix
	}
	inputs := make([]string, len(texts))
	for i, text := range texts {
		text = strings.ToValidUTF8(text, "\uFFFD")
		if strings.TrimSpace(text) == "" {
			return nil, itemError(i, "embed a text of %d bytes: it says nothing", len(text))
		}
		inputs[i] = clip(text, o.config.MaxBytes)
	}
	vectors := make([][]float32, 0, len(texts))
	for first := 0; first < len(inputs); first += o.config.Batch {
		batch := inputs[first:min(first+o.config.Batch, len(inputs))]
		got, err := o.request(ctx, prefix, batch)
		for len(texts) == 1 && refusesLength(err) && len(batch[0]) >= minHalved {
			batch[0] = clip(batch[0], len(batch[0])/2)
			got, err = o.request(ctx, prefix, batch)
		}
		if err != nil {
			return nil, after(first, len(batch), err)
		}
		vectors = append(vectors, got...)
	}
	return vectors, nil
}

// after moves the place of a text at fault from its batch to the call: a batch
// of one leaves no doubt about which text it is.
func after(first, count int, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Fault == Item {
		switch {
		case e.Index >= 0:
			e.Index += first
		case count == 1:
			e.Index = first
		}
	}
	return err
}

// request embeds one batch.
func (o *OpenAI) request(ctx context.Context, prefix string, texts []string) ([][]float32, error) {
	inputs := make([]string, len(texts))
	for i, text := range texts {
		inputs[i] = prefix + text
	}
	body, err := json.Marshal(map[string]any{"model": o.config.Model, "input": inputs, "encoding_format": "float"})
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, o.config.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(within, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "dubnium")
	if o.config.Key != "" {
		request.Header.Set("Authorization", "Bearer "+o.config.Key)
	}
	response, err := o.client.Do(request)
	if err != nil {
		return nil, o.broken(ctx, err)
	}
	defer response.Body.Close()
	limit := answerBytes + len(texts)*o.config.Dimensions*elementBytes
	answer, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, o.broken(ctx, err)
	case response.StatusCode != http.StatusOK:
		return nil, o.refused(response, answer, texts)
	case len(answer) > limit:
		return nil, o.strange(fmt.Errorf("the answer has over %d bytes for %d texts", limit, len(texts)))
	}
	vectors, err := parseAnswer(answer, len(texts), o.config.Dimensions)
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Err = fmt.Errorf("embed %d texts with %s at %s: %w", len(texts), o.config.Model, o.url, e.Err)
		return nil, e
	}
	return vectors, err
}

// broken is a request that got no whole answer.
func (o *OpenAI) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &Error{Fault: Doubt, Index: -1}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED) {
		e.Fault = Outage // it never saw the texts
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v", o.config.Timeout)
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // it repeats the address
	}
	e.Err = fmt.Errorf("ask %s for vectors: %w", o.url, err)
	return e
}

// refused is an answer with an error in it.
func (o *OpenAI) refused(response *http.Response, answer []byte, texts []string) error {
	e := &Error{Fault: Outage, Index: -1, Status: response.StatusCode}
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		e.Fault = Item
	case http.StatusInternalServerError:
		e.Fault = Doubt // llama-server says so of texts over its batch size
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	reason := reasonIn(answer)
	if quotes(reason, texts) {
		reason = "its reason quotes the text"
	}
	e.Err = fmt.Errorf("embed %d texts with %s at %s: status %d: %s",
		len(texts), o.config.Model, o.url, response.StatusCode, reason)
	return e
}

// strange is an answer that no server of this API gives: what answers is not
// what was configured.
func (o *OpenAI) strange(err error) error {
	return &Error{Fault: Outage, Index: -1, Err: fmt.Errorf("ask %s for vectors: %w", o.url, err)}
}

// refusesLength tells whether a shorter text might do.
func refusesLength(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Fault == Item && e.Status != 0 || e.Status == http.StatusInternalServerError)
}

// clip cuts a text to at most n bytes, between two characters; 0 is no bound.
func clip(text string, n int) string {
	if n <= 0 || len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
