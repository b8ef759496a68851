package aimemory

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// TestAsking holds what a person may type to ask, and what they are told when
// that is wrong, before anything is sent.
func TestAsking(t *testing.T) {
	for name, c := range map[string]struct {
		asking
		want, fault string
	}{
		"as the argument":  {asking{Text: "who keeps the key?", Limit: 8}, "who keeps the key?", ""},
		"by flag":          {asking{Query: "who keeps the key?", Limit: 8}, "who keeps the key?", ""},
		"both":             {asking{Text: "who?", Query: "who keeps the key?", Limit: 8}, "", "give the query once"},
		"neither":          {asking{Limit: 8}, "", "nothing to find: give the query"},
		"none of them":     {asking{Text: "who?", Limit: 0}, "", "limit is not between 1 and 32"},
		"too many of them": {asking{Text: "who?", Limit: 33}, "", "limit is not between 1 and 32"},
	} {
		c.Scope = "project:dubnium"
		r, err := c.request(time.Now())
		if c.fault == "" {
			if err != nil || r.Query != c.want {
				t.Errorf("%s: %q, %v", name, r.Query, err)
			}
			continue
		}
		var coded *exitcode.Error
		if !errors.As(err, &coded) || coded.Code != exitcode.Usage || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
