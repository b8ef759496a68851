package redact_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory/redact"
)

// TestTable holds each row of the labelled table, and prints what it amounts to.
func TestTable(t *testing.T) {
	found, all := 0, 0
	for _, p := range secrets() {
		text := fmt.Sprintf(p.text, p.secret)
		got, findings := redact.Text(text)
		gone := !strings.Contains(got, p.secret)
		all++
		if gone {
			found++
		}
		switch {
		case p.missed != "" && gone:
			t.Errorf("%s: found, though %s: take the remark away\n%q", p.name, p.missed, got)
		case p.missed == "" && !gone:
			t.Errorf("%s: %q is left in %q", p.name, p.secret, got)
		case p.missed == "":
			checkFindings(t, p.name, got, findings)
			if !slices.ContainsFunc(findings, func(f redact.Finding) bool { return f.Rule == p.rule }) {
				t.Errorf("%s: found by %v, want %s", p.name, findings, p.rule)
			}
		}
		if again, more := redact.Text(got); again != got || more != nil {
			t.Errorf("%s: redacting again changes %q to %q (%v)", p.name, got, again, more)
		}
	}
	wrong := 0
	for _, s := range harmless() {
		if got, findings := redact.Text(s); got != s {
			wrong++
			t.Errorf("%q became %q by %v", s, got, findings)
		}
	}
	t.Logf("labelled table: %d secrets, %d found (recall %.3f, the rest are the limits named there); %d harmless texts, %d changed (precision %.3f)",
		all, found, float64(found)/float64(all), len(harmless()), wrong, float64(found)/float64(found+wrong))
}

func checkFindings(t *testing.T, name, text string, findings []redact.Finding) {
	t.Helper()
	for _, f := range findings {
		if f.Offset < 0 || f.Offset+f.Length > len(text) || text[f.Offset:f.Offset+f.Length] != redact.Placeholder(f.Rule) {
			t.Errorf("%s: finding %+v is not where the placeholder is in %q", name, f, text)
		}
		if !slices.Contains(redact.Rules(), f.Rule) {
			t.Errorf("%s: rule %q is not in the list", name, f.Rule)
		}
	}
}

func TestText(t *testing.T) {
	github := join("gh", "p_", key("alnum", 36))
	for _, tc := range []struct{ name, in, want string }{
		{"what surrounds it stays", "a " + github + ", b", "a [REDACTED:github-token], b"},
		{"two", "password=abc token " + github, "password=[REDACTED:key-value] token [REDACTED:github-token]"},
		{"the name stays", `{"password": "x y"}`, `{"password": "[REDACTED:key-value]"}`},
		{"the specific rule names it", "GITHUB_TOKEN=" + github, "GITHUB_TOKEN=[REDACTED:github-token]"},
		{"the url stays", "postgres://app:pw@db/x", "postgres://app:[REDACTED:url-userinfo]@db/x"},
		{"brackets hide nothing", "password=[REDACTED:hunter2]", "password=[REDACTED:key-value]"},
		{"nor does a placeholder", "password=[REDACTED:jwt]hunter2", "password=[REDACTED:key-value]"},
		{"the escape stays whole", `{"a":"password=\"x1\" b"}`, `{"a":"password=\"[REDACTED:key-value]\" b"}`},
		{"the punctuation stays", "(the password is hunter2).", "(the password is [REDACTED:prose-password])."},
		{"the next pair stays", "user=a&password=b1&c=d", "user=a&password=[REDACTED:key-value]&c=d"},
	} {
		got, findings := redact.Text(tc.in)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, diff)
		}
		checkFindings(t, tc.name, got, findings)
	}
}

func TestValue(t *testing.T) {
	github := join("gh", "p_", key("alnum", 36))
	in := `{"a":["x","` + github + `"],"password":"hunter2","n":{"pin/code":"x","api_key":"` + key("hex", 32) + `","max_tokens":5},
		"passwd":12345678,"env":[{"name":"DB_PASSWORD","value":"swordfish"},{"name":"HOST","value":"db"}],"` + github + `":1,"ok":null,"tokens":["a","b"],"password_ref":"db"}`
	want := `{"a":["x","[REDACTED:github-token]"],"password":"[REDACTED:named-value]","n":{"pin/code":"x","api_key":"[REDACTED:named-value]","max_tokens":5},
		"passwd":"[REDACTED:named-value]","env":[{"name":"DB_PASSWORD","value":"[REDACTED:named-value]"},{"name":"HOST","value":"db"}],"[REDACTED:github-token]":1,"ok":null,"tokens":["a","b"],"password_ref":"db"}`
	got, findings := redact.Value(decode(t, in), "metadata")
	if diff := cmp.Diff(decode(t, want), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	fields := make([]string, len(findings))
	for i, f := range findings {
		fields[i] = f.Field + " " + f.Rule
	}
	wantFields := []string{
		"metadata/[REDACTED:github-token] github-token", "metadata/a/1 github-token", "metadata/env/0/value named-value",
		"metadata/n/api_key named-value", "metadata/passwd named-value", "metadata/password named-value",
	}
	slices.Sort(fields)
	if diff := cmp.Diff(wantFields, fields); diff != "" {
		t.Errorf("findings (-want +got)\n%s", diff)
	}
	again, more := redact.Value(got, "metadata")
	if diff := cmp.Diff(got, again); diff != "" || more != nil {
		t.Errorf("redacting again: %v\n%s", more, diff)
	}
}

func decode(t *testing.T, s string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestKeysThatMeet holds that two members whose names are redacted alike both
// stay.
func TestKeysThatMeet(t *testing.T) {
	a, b := join("gh", "p_", key("alnum", 36)), join("gh", "o_", key("alnum", 36))
	got, _ := redact.Value(map[string]any{a: "1", b: "2"}, "m")
	if o := got.(map[string]any); len(o) != 2 {
		t.Errorf("%v has %d members, want 2", o, len(o))
	}
}

// TestHostileTextsEnd holds that texts made of keywords are done in time: each
// of them took seconds when keywords inside a match were matched again. The
// bound is generous; it is there to tell linear from quadratic.
func TestHostileTextsEnd(t *testing.T) {
	const size = 64 << 10
	for _, unit := range []string{
		"password is ", "-----BEGIN PRIVATE KEY-----", "ghp_", "eyJ", "eyJaaaaaaaa.", "://a:", "password=", "pass", "%25", `\\`, `\u0070`, "AKIA", "hf_a", "Bearer ",
		"authorization:", "seed phrase ", "machine a ", "access-tokens = a=b", "\u200b", "[REDACTED:jwt]", "token ", "token is a ", "password\"", ":aa", "Q~", "curl -u ", " as the password",
		"password is password=", "<password>",
	} {
		text := strings.Repeat(unit, size/len(unit))
		begin := time.Now()
		got, _ := redact.Text(text)
		if again, _ := redact.Text(got); again != got {
			t.Errorf("%q, repeated: redacting again changes it", unit)
		}
		t.Logf("%-30q %v", unit, time.Since(begin).Round(time.Millisecond))
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%q, repeated: %v for %d bytes", unit, took, size)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, p := range secrets() {
		if p.missed == "" {
			f.Add(p.text, "", uint8(0))
		}
	}
	for i, s := range harmless() {
		f.Add(s, "x", uint8(i))
	}
	var sure []planted
	for _, p := range secrets() {
		if strings.HasSuffix(p.rule, "-token") || strings.HasSuffix(p.rule, "-key") || p.rule == "jwt" || p.rule == "key-value" || p.rule == "url-userinfo" {
			if p.missed == "" {
				sure = append(sure, p)
			}
		}
	}
	f.Fuzz(func(t *testing.T, before, after string, n uint8) {
		p := sure[int(n)%len(sure)]
		text := before + "\n" + fmt.Sprintf(p.text, p.secret) + "\n" + after
		got, findings := redact.Text(text)
		if strings.Contains(got, p.secret) && !strings.Contains(before+after, p.secret) {
			t.Fatalf("%s: %q is left in %q", p.name, p.secret, got)
		}
		checkFindings(t, p.name, got, findings)
		if again, more := redact.Text(got); again != got || more != nil {
			t.Fatalf("redacting again changes\n%q to\n%q (%v)", got, again, more)
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Fatalf("%q is no UTF-8 any more", got)
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add(`{"password":"x","a":[1,{"token":"abcdefgh1"}]}`)
	f.Add(`["",null,1e999]`)
	f.Fuzz(func(t *testing.T, s string) {
		dec := json.NewDecoder(strings.NewReader(s))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) != nil {
			return
		}
		got, _ := redact.Value(v, "m")
		again, more := redact.Value(got, "m")
		if diff := cmp.Diff(got, again); diff != "" || more != nil {
			t.Fatalf("redacting again: %v\n%s", more, diff)
		}
	})
}

func BenchmarkText(b *testing.B) {
	prose := strings.Repeat("Caroline went to the support group on 7 May 2023 and told Melanie how much it had helped her. ", 80)
	for _, bc := range []struct{ name, text string }{
		{"clean", prose},
		{"talk of secrets", strings.Repeat("The password field is required and the token is valid until tomorrow; see https://example.org/x. ", 80)},
		{"one secret", prose + join("gh", "p_", key("alnum", 36))},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.text)))
			b.ReportAllocs()
			for b.Loop() {
				redact.Text(bc.text)
			}
		})
	}
}
