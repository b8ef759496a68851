// Package residue flags text that looks as if somebody wanted a model to obey
// it: what stays behind when a prompt injection is stored as a memory.
//
// It flags and nothing else. A flag is no proof, and most injected text has no
// mark: a question slipped into an e-mail reads like any question. What keeps
// such text out of prompts is review (require_verified); flags find the rest of
// the crude ones and let a caller leave them out.
package residue

import (
	"regexp"
	"slices"
	"strings"
)

// Flag is what was seen: one word of a closed list.
type Flag string

// The flags.
const (
	// Override is a phrase that sets earlier instructions aside or gives a model
	// a new role.
	Override Flag = "override-phrase"
	// Concealment is a phrase that asks to keep something from the user.
	Concealment Flag = "concealment-phrase"
	// Steering is a phrase that says what the reader's answer has to hold or look
	// like.
	Steering Flag = "answer-steering"
	// RoleMarker is the mark of a turn of some chat template: <|im_start|>,
	// [INST], "system:" at the beginning of a line.
	RoleMarker Flag = "role-marker"
	// ToolCall is JSON or XML in the form of a tool call.
	ToolCall Flag = "tool-call"
	// ZeroWidth is a character that nobody sees, inside a text.
	ZeroWidth Flag = "zero-width"
	// HiddenTags is text in Unicode tag characters, which models read and people
	// don't see.
	HiddenTags Flag = "hidden-tags"
	// Bidirectional is a control that changes the order in which text is shown.
	Bidirectional Flag = "bidirectional"
	// LongBase64 is a run of base64 of MinBase64 characters or more.
	LongBase64 Flag = "long-base64"
	// ExfiltrationLink is an image or a link whose address carries data, in a
	// place of its own or for the model to fill.
	ExfiltrationLink Flag = "exfiltration-link"
	// HiddenMarkup is markup that is not shown and has an instruction in it.
	HiddenMarkup Flag = "hidden-markup"
)

// Flags lists them all, sorted.
var Flags = []Flag{Steering, Bidirectional, Concealment, ExfiltrationLink, HiddenMarkup, HiddenTags, LongBase64, Override, RoleMarker, ToolCall, ZeroWidth}

// MinBase64 is from how many characters on base64 is no hash, key or id any
// more.
const MinBase64 = 200

// Scan returns the flags of text, sorted, each once. It takes time linear in
// the text and never changes it.
func Scan(text string) []Flag {
	seen := characters(text)
	// Words are looked for as a reader would see them.
	plain := text
	if seen[ZeroWidth] || seen[Bidirectional] || seen[HiddenTags] {
		plain = strings.Map(func(r rune) rune {
			if kind(r) != "" {
				return -1
			}
			return r
		}, text)
	}
	lower := strings.ToLower(plain)
	for _, p := range patterns {
		if !seen[p.flag] && containsAny(lower, p.words) && p.re.MatchString(lower) {
			seen[p.flag] = true
		}
	}
	if longBase64(plain) {
		seen[LongBase64] = true
	}
	flags := make([]Flag, 0, len(seen))
	for f := range seen {
		flags = append(flags, f)
	}
	slices.Sort(flags)
	return flags
}

// characters returns the flags that single characters earn. The joiners of
// emoji and of scripts that need them are left alone, and so is a byte order
// mark at the beginning.
func characters(text string) map[Flag]bool {
	seen := make(map[Flag]bool)
	before := rune(0)
	for i, r := range text {
		if r >= 0xAD {
			switch f := kind(r); {
			case f == "" || r == 0xFEFF && i == 0:
			case (r == 0x200D || r == 0x200C || r == 0x200E || r == 0x200F) && before > 0x2FF: // joined: emoji, Arabic, Indic
			case f == HiddenTags && (before == 0x1F3F4 || kind(before) == HiddenTags && !seen[HiddenTags]): // a flag's emoji
			default:
				seen[f] = true
			}
		}
		before = r
	}
	return seen
}

// kind returns the flag of a character, empty for all that are seen.
func kind(r rune) Flag {
	switch {
	case r >= 0x200B && r <= 0x200F, r >= 0x2060 && r <= 0x2064, r == 0xFEFF, r == 0x180E:
		return ZeroWidth
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return Bidirectional
	case r >= 0xE0000 && r <= 0xE007F:
		return HiddenTags
	}
	return ""
}

func containsAny(s string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
}

// longBase64 looks for a run of MinBase64 characters of base64, line breaks
// let through, that is no word or number repeated.
func longBase64(s string) bool {
	run, kinds := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
			run, kinds = run+1, kinds|1
		case c >= 'A' && c <= 'Z':
			run, kinds = run+1, kinds|2
		case c >= '0' && c <= '9':
			run, kinds = run+1, kinds|4
		case c == '+' || c == '/' || c == '_' || c == '-':
			run++
		case (c == '\n' || c == '\r') && run > 0 && run%4 == 0:
		default:
			run, kinds = 0, 0
		}
		if run >= MinBase64 && kinds == 7 {
			return true
		}
	}
	return false
}

// pattern finds one flag in text in small letters. It is tried only where one of
// the words is.
type pattern struct {
	flag  Flag
	words []string
	re    *regexp.Regexp
}

const (
	earlier = `(?:all |any |every |the |your |my |our |these |those |of |and )*(?:previous|prior|above|earlier|preceding|former|past|existing|original|initial|foregoing|system|other)`
	orders  = `(?:instruction|direction|directive|prompt|rule|guideline|command|message|context|constraint|polic|programming|training|order|request|conversation|task)`
)

var patterns = []pattern{
	{
		Override,
		[]string{"ignor", "disregard", "forget", "overrid", "bypass", "override", "discard", "do not follow", "don't follow", "stop following"},
		regexp.MustCompile(`\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|overrid(?:e|ing)|bypass(?:ing)?|discard(?:ing)?|(?:do not|don't|stop) follow(?:ing)?)\s+` + earlier + `\s+(?:\w+\s+){0,2}` + orders),
	},
	{
		Override,
		[]string{"ignor", "disregard", "forget"},
		regexp.MustCompile(`\b(?:ignore|disregard|forget)\s+(?:everything|anything|all|what)\s+(?:(?:that|which)\s+)?(?:(?:you|i|we|they)\s+(?:were|was|have been|had been|\w+)\s+|was\s+|is\s+)?(?:told|said|above|before|previously|instructed|so far|written|you know|you(?:'ve| have) (?:learned|been told))`),
	},
	{
		Override,
		[]string{"ignor", "disregard"},
		regexp.MustCompile(`\b(?:ignore|disregard)\s+(?:all |any )?(?:of )?(?:your|the|these|those)\s+(?:\w+\s+)?(?:instructions|guidelines|rules|safety|restrictions|programming|prompt)`),
	},
	{
		Override,
		[]string{"new instruction", "instructions:", "system prompt", "system override", "your new task", "your real task", "updated instructions", "admin override"},
		regexp.MustCompile(`\b(?:(?:here are |these are |follow )(?:your |the |these )?new instructions|new (?:system )?instructions?\s*:|(?:important|urgent|updated|hidden|secret) instructions?\s*(?:for (?:the |any )?(?:ai|assistant|model|agent|llm)|:)|(?:reveal|print|repeat|show|output|leak|tell me)\s+(?:me\s+)?(?:your|the)\s+(?:\w+\s+)?system prompt|(?:system|admin(?:istrator)?|developer) override|your (?:new|real|true|actual) (?:task|goal|objective|job|purpose) is)`),
	},
	{
		Override,
		[]string{"you are now", "pretend", "act as", "from now on", "jailbreak", "developer mode", "do anything now", "no restrictions", "unrestricted"},
		regexp.MustCompile(`\byou are now (?:a|an|in|the|free|no longer|dan|jailbroken|unrestricted|operating)\b|\b(?:pretend|act as if|behave as if)\s+(?:that )?(?:you (?:are|have|were)|to be)\b.{0,60}\b(?:no|without|unrestricted|free|evil|jailbroken|admin|root)\b|\bfrom now on,? (?:you|always|never|respond|answer|ignore|act)\b|\b(?:jailbreak|developer|dan|god|sudo|debug) mode (?:enabled|activated|on)\b|\bdo anything now\b|\b(?:without|no) (?:any )?(?:restrictions|filters|guardrails|safety (?:rules|guidelines))\b.{0,40}\b(?:respond|answer|act|reply|you)\b`),
	},
	{
		Override,
		[]string{"ai assistant", "language model", "the assistant", "ai agent", "any ai", "the ai", "the model", "llm", "dear ai", "attention ai", "note to ai"},
		regexp.MustCompile(`\b(?:(?:attention|note (?:to|for)|dear|instructions? (?:to|for)|message (?:to|for)|hey|attn)[ :,]+(?:the |any |all )?(?:ai|llm|language model|assistant|agent|model|chatbot)s?\b|(?:if you are|as) an? (?:ai|llm|large language model|language model|ai assistant|ai agent|assistant)\b.{0,60}\b(?:must|should|please|always|need to|have to|are (?:required|instructed))\b|(?:the |any |every )?(?:ai|llm|assistant|language model|ai agent)s?(?: reading| processing| summari[sz]ing| who (?:reads?|processes)| that (?:reads?|processes))+ (?:this|the)\b.{0,80}\b(?:must|should|please|always|need to|have to)\b)`),
	},
	{
		Concealment,
		[]string{"tell the user", "inform the user", "mention this", "the user", "reveal", "keep this", "notify the user", "disclose"},
		regexp.MustCompile(`\b(?:do not|don't|never|without)\s+(?:ever\s+)?(?:tell(?:ing)?|inform(?:ing)?|mention(?:ing)?|notify(?:ing)?|alert(?:ing)?|warn(?:ing)?|reveal(?:ing)?|disclos(?:e|ing)|show(?:ing)?|let(?:ting)?)\s+(?:\w+\s+){0,4}?(?:the user|to the user|this (?:instruction|message|prompt|email|note)|these instructions|that you (?:were|have been))|\bkeep (?:this|these instructions|it) (?:hidden|secret|confidential) from (?:the )?users?\b`),
	},
	{
		Steering,
		[]string{"your answer", "your response", "your reply", "your output", "your next message"},
		regexp.MustCompile(`\b(?:add|include|insert|integrate|incorporate|append|prepend|mention|embed|introduce|modify|change|alter|adjust|augment|enhance|extend|end|begin|start|finish|replace|remove|convert|substitute|rewrite|render|misspell|scramble|jumble|rearrange|anagram|group|combine|use|encode|translate|omit|hide)\b(?:[^\n.!?]|[.!?][^\s.!?]){0,120}\byour (?:next |final |entire |whole )?(?:answer|response|reply|output|next message)(?:'s)?\b|\bin your (?:next |final )?(?:answer|response|reply|output),? (?:always |also |please )?[a-z]+\b|\b(?:provide|give|write|format) your (?:answer|response|reply|output) (?:in|with|without|using|as|only)\b`),
	},
	{
		RoleMarker,
		[]string{"<|", "[inst", "<<sys", "### ", "<start_of_turn", "<s>", "<system", "</system", "<assistant", "<user>", "[system", "<|end"},
		regexp.MustCompile(`<\|(?:im_start|im_end|im_sep|system|user|assistant|start_header_id|end_header_id|eot_id|begin_of_text|end_of_text|endoftext|end|channel|message|start|return|tool_call|endofprompt)\|>|\[/?inst\]|<</?sys>>|(?:^|\n)\s*#{2,3} ?(?:system|instruction|user|assistant|human|response)s?\s*:|<(?:start|end)_of_turn>|</?(?:system|assistant|system_prompt|system-reminder|system_message|developer)>|\[(?:system|assistant|developer)(?: (?:message|prompt|note))?\][: \n]`),
	},
	{
		RoleMarker,
		[]string{"system:", "assistant:", "human:", "user:", "developer:", "system message"},
		regexp.MustCompile(`(?:^|\n)\s*(?:\*\*)?(?:system|assistant|developer|system (?:message|prompt|note))(?:\*\*)?\s*:\s*(?:\*\*)?\s*\S|(?:^|\n)\s*(?:human|user):[^\n]*\n+\s*(?:assistant|ai|bot):`),
	},
	{
		ToolCall,
		[]string{"tool_call", "tool_use", "function_call", "\"arguments\"", "\"parameters\"", "\"tool_input\"", "<invoke", "<tool", "\"action_input\"", "function=", "action input:", "python_tag", "\"input\""},
		regexp.MustCompile(`"(?:tool_calls?|function_call|tool_use|tool_name|action_input|tool_input)"\s*:|"type"\s*:\s*"(?:tool_use|function_call|tool_call)"|"(?:name|tool|function|action|method)"\s*:\s*"[\w.:-]{1,80}"\s*,\s*"(?:arguments|parameters|args|input|params)"\s*:\s*["{\[]|"(?:arguments|parameters|args)"\s*:\s*(?:"\{|\{)[^\n]{0,400}"(?:name|tool|function)"\s*:\s*"|</?(?:[a-z]+:)?(?:tool_calls?|tool_code|function_calls?|invoke|tool_use)\b[^<]{0,200}>|<function=[\w.-]+>|\baction:\s*[\w.-]+\s*\n\s*action input:|<\|python_tag\|>`),
	},
	{
		ExfiltrationLink,
		[]string{"](http", "<img", "](//", "] (http", "background:url", "<iframe", "url(http"},
		regexp.MustCompile(`!\[[^\]\n]{0,200}\]\s?\(\s*<?(?:https?:)?//[^)\s]{1,300}(?:[?&][\w.~-]{1,60}=[^)]|\{|%7b|\$\{|<)|!?\[[^\]\n]{0,200}\]\s?\(\s*<?(?:https?:)?//[^)\s]{1,200}[?&/][^)\s]{0,100}(?:\{\{?|\[|<|%7b|\$\{)|<img\b[^>]{0,300}\bsrc\s*=\s*["']?(?:https?:)?//[^"'>\s]{1,300}(?:[?&][\w.~-]{1,60}=|\{|\$\{)|<iframe\b[^>]{0,300}\bsrc\s*=|\burl\(\s*["']?https?://[^)]{1,300}[?&][\w.~-]{1,60}=`),
	},
	{
		ExfiltrationLink,
		[]string{"http"},
		regexp.MustCompile(`\b(?:send|post|upload|forward|transmit|exfiltrate|append|include|leak|submit|curl|fetch|make a request|encode)\b[^\n]{0,120}\b(?:conversation|chat history|memor(?:y|ies)|password|secret|credential|token|api key|system prompt|contents?|history|private|personal data|user data|environment variables?|keys?)\b[^\n]{0,120}\bhttps?://|\bhttps?://[^\s]{1,200}[?&][\w.~-]{1,60}=(?:\{|\[|<|%7b|\$\{)[^\s]{0,60}(?:data|secret|history|conversation|chat|memory|content|password|token|summary|text|info)`),
	},
	{
		HiddenMarkup,
		[]string{"<!--", "display:none", "display: none", "font-size:0", "font-size: 0", "visibility:hidden", "color:white", "color: white", "color:#fff"},
		regexp.MustCompile(`<!--[^>]{0,1000}?\b(?:instruction|assistant|ignore|system|prompt|must|you are|do not|ai|send|execute|agent)\b[^>]{0,1000}?-->|<[a-z]+[^>]{0,200}(?:display:\s?none|font-size:\s?0|visibility:\s?hidden|color:\s?(?:white|#fff))[^>]{0,200}>\s*\w`),
	},
}
