package service

import "testing"

func TestSame(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"", " \n", true},
		{"The disk is full.", "the  DISK\tis full. ", true},
		{"Grüße aus KÖLN", "GRÜßE aus köln", true},
		{"The disk is full.", "The disk is full", false},
		{"The disk is full", "The diskis full", false},
		{"ab", "a b", false},
		{"a\xffb", "a\xffc", false},
	} {
		if got := same(test.a, test.b); got != test.want || same(test.b, test.a) != test.want {
			t.Errorf("%q and %q: %v", test.a, test.b, got)
		}
	}
}
