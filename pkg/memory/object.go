package memory

import (
	"bytes"
	"encoding/json"
)

// UnmarshalJSON reads an object whose numbers stay as they were written: as
// float64 an id of 19 digits would come back as another one.
func (o *Object) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return err
	}
	*o = m
	return nil
}
