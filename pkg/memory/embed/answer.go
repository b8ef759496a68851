package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// maxReason bounds what is quoted of a server's error, in characters.
const maxReason = 300

// element is a number of a vector. A number that is missing (llama-server
// writes null for what is no number) is an error, where float32 would be 0.
type element float32

// UnmarshalJSON implements json.Unmarshaler for what is no number.
func (e *element) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return errors.New("an element of a vector is null")
	}
	return json.Unmarshal(data, (*float32)(e))
}

// parseAnswer reads the answer to a request for count vectors. What is wrong
// with one vector is its text's fault, what is wrong with all of it the
// provider's.
func parseAnswer(data []byte, count, dimensions int) ([][]float32, error) {
	outage := func(format string, args ...any) error {
		return &Error{Fault: Outage, Index: -1, Err: fmt.Errorf(format, args...)}
	}
	var answer struct {
		Data []struct {
			Index     *int            `json:"index"`
			Embedding json.RawMessage `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, outage("the answer is not JSON with a list of vectors: %w", err)
	}
	if len(answer.Data) != count {
		return nil, outage("the answer has %d vectors, not %d", len(answer.Data), count)
	}
	vectors := make([][]float32, count)
	for place, item := range answer.Data {
		index := place
		if item.Index != nil {
			index = *item.Index
		}
		if index < 0 || index >= count || vectors[index] != nil {
			return nil, outage("the answer's vector %d has the index %d", place, index)
		}
		vector, err := parseVector(item.Embedding)
		if err != nil {
			return nil, itemError(index, "%w", err)
		}
		if len(vector) != dimensions {
			return nil, outage("a vector has %d dimensions, not %d: the server has another model than was configured", len(vector), dimensions)
		}
		if err := normalise(vector); err != nil {
			return nil, itemError(index, "%w", err)
		}
		vectors[index] = vector
	}
	return vectors, nil
}

// parseVector reads a list of numbers.
func parseVector(data []byte) ([]float32, error) {
	var elements []element
	if err := json.Unmarshal(data, &elements); err != nil {
		return nil, fmt.Errorf("a vector is no list of numbers: %w", err)
	}
	vector := make([]float32, len(elements))
	for i, e := range elements {
		vector[i] = float32(e)
	}
	return vector, nil
}

// reasonIn finds the message in the body of an error, in any of the shapes
// that servers give it: {"error":{"message":m}}, {"error":m}, {"message":m},
// {"detail":m}, or text. Whatever it is, it comes back short, on one line.
func reasonIn(body []byte) string {
	var shapes struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	reason := string(body)
	if json.Unmarshal(body, &shapes) == nil {
		var nested struct {
			Message string `json:"message"`
		}
		var text string
		switch {
		case json.Unmarshal(shapes.Error, &nested) == nil && nested.Message != "":
			reason = nested.Message
		case json.Unmarshal(shapes.Error, &text) == nil && text != "":
			reason = text
		case shapes.Message != "":
			reason = shapes.Message
		case json.Unmarshal(shapes.Detail, &text) == nil && text != "":
			reason = text
		}
	}
	reason = strings.ToValidUTF8(reason, "")
	reason = strings.Join(strings.FieldsFunc(reason, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if reason == "" {
		return "no reason given"
	}
	if runes := []rune(reason); len(runes) > maxReason {
		reason = string(runes[:maxReason]) + "…"
	}
	return reason
}

// quotes tells whether a reason repeats a piece of one of the texts: errors
// are kept and logged, where texts don't belong.
func quotes(reason string, texts []string) bool {
	const piece = 16
	for _, text := range texts {
		if len(text) < piece {
			if len(text) > piece/2 && strings.Contains(reason, text) {
				return true
			}
			continue
		}
		for i := 0; i+piece <= len(text); i += piece {
			if strings.Contains(reason, text[i:i+piece]) {
				return true
			}
		}
	}
	return false
}
