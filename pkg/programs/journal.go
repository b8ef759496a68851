package programs

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/journal"
	"github.com/ryjen/dubnium/pkg/record"
)

// The kinds of entries in the journal. An id never changes and never gets
// another meaning: people filter by it.
const (
	entryAsked       = "2f6c1e0b9d3a4c7f8a55e0d94b7c6a13" // it is known who asked
	entryBegun       = "056542378dae4a39b8e7f260d8c8e8e5" // a transition was asked for
	entryGuard       = "7c9ac7ccd80f4983ac80f374107f8d88" // a guard has answered
	entryOverride    = "7ee4cd9da3514d449fccce391bda3115" // an operator overrides guards
	entryAction      = "418f6da2cb034aa0a9c101c1a0686791" // an action has ended
	entryRollback    = "757b56e9f7894f09a4ea6bf77dd014c7" // the prior mode is being restored
	entryEnded       = "f5e500f397e14c778b409f370d2e5518" // a transition has ended
	entryDrain       = "6b1f0d7c52e84e0c9a3f7d18c4b2e9a6" // vLLM has requests that are waited for
	entryInterrupted = "dd926d86ddac4acfb5804ce186cd5c6e" // the record of one that was cut off has been closed
)

// entryKinds lists them for the manual.
var entryKinds = []struct{ id, what string }{
	{entryBegun, "a transition was asked for: MODE= is the mode, PRIOR= what was observed, TRIGGER= what asked (operator, idle, or unit where that is not known)"},
	{entryAsked, "who asked for it, where that is known: ASKED_BY=, ASKED_BY_UID=, ASKED_BY_UNIT=, CUT_OFF= (yes where vLLM's requests may be cut off for it)"},
	{entryOverride, "an operator overrides guards: OVERRIDE= names them, REASON= and OVERRIDE_USER= say why and who"},
	{entryGuard, "a guard has answered: GUARD=, GUARD_CLASS= (pass, block or error), GUARD_HARD= (yes or no), REASON=, DURATION_USEC="},
	{entryAction, "an action has ended: ACTION=, ACTION_STATUS=, ACTION_UNIT=, ROLLBACK= (yes or no), DURATION_USEC="},
	{entryDrain, "vLLM has requests that are waited for: REQUESTS_RUNNING=, REQUESTS_WAITING=, LEFT_USEC= of vllm.drainTimeout"},
	{entryRollback, "an action failed, and the prior mode is being restored"},
	{entryEnded, "a transition has ended: OUTCOME=, FINAL=, EXIT_STATUS=, REASON=, DURATION_USEC="},
	{entryInterrupted, "the record of a transition that was cut off has been closed: OUTCOME=interrupted, REASON="},
}

// journalManual documents the entries.
func journalManual() string {
	var b strings.Builder
	b.WriteString("The journal gets the same story as structured entries. Each carries TRANSITION_ID= and MODE=, so that journalctl TRANSITION_ID=ID tells what mode history show ID does, and journalctl GUARD=check_audio_idle what that guard has answered. By MESSAGE_ID=:\n\n")
	for _, k := range entryKinds {
		fmt.Fprintf(&b, "- %s: %s\n", k.id, k.what)
	}
	b.WriteString("\nWithout a journal the story goes to stdout alone.")
	return b.String()
}

// reporter tells the journal a story.
type reporter struct {
	to *journal.Writer
	// instead says that stdout is the journal's own stream: what was sent as
	// an entry is not to be printed there again.
	instead bool
	fields  map[string]string // of the transition
}

// newReporter gives nil where there is no journal.
func newReporter(env *cli.Env) *reporter {
	w, err := journal.Open(env.Root, env.Name)
	if err != nil {
		env.Logf("%v", err)
		return nil
	}
	return &reporter{to: w, instead: journal.Connected(os.Stdout, env.Getenv("JOURNAL_STREAM"))}
}

// send writes an entry and tells whether that was enough.
func (r *reporter) send(id string, p journal.Priority, message string, fields map[string]string) bool {
	if r == nil {
		return false
	}
	all := maps.Clone(r.fields)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, fields)
	err := r.to.Send(journal.Entry{Message: message, MessageID: id, Priority: p, Fields: all})
	return err == nil && r.instead
}

// tell writes what a story says; doc is what it says it of.
func (r *reporter) tell(word, title, detail string, doc any) bool {
	if r == nil {
		return false
	}
	message := title + colon(detail)
	switch d := doc.(type) {
	case record.Marker:
		r.fields = map[string]string{"TRANSITION_ID": d.ID, "MODE": string(d.Requested)}
		return r.send(entryBegun, journal.Notice, title, map[string]string{"PRIOR": string(d.Prior), "TRIGGER": d.Trigger})
	case record.Asker:
		p := journal.Info
		if d.CutOff {
			p = journal.Warning
		}
		return r.send(entryAsked, p, "asked for "+message, map[string]string{
			"ASKED_BY": d.User, "ASKED_BY_UID": strconv.Itoa(d.UID), "ASKED_BY_UNIT": d.Unit, "CUT_OFF": yesNo(d.CutOff),
		})
	case record.Override:
		return r.send(entryOverride, journal.Warning, "override: "+message, map[string]string{
			"OVERRIDE": strings.Join(d.Guards, " "), "REASON": d.Reason, "OVERRIDE_USER": d.User, "OVERRIDE_UID": strconv.Itoa(d.UID),
		})
	case guard.Result:
		p := journal.Info
		if !d.OK {
			p = journal.Warning
		}
		return r.send(entryGuard, p, word+" "+message, map[string]string{
			"GUARD": d.Guard, "GUARD_CLASS": string(d.Class), "GUARD_HARD": yesNo(d.Hard), "REASON": d.Reason, "DURATION_USEC": usec(d.DurationMS),
		})
	case record.Drain:
		return r.send(entryDrain, journal.Info, word+" "+message, map[string]string{
			"REQUESTS_RUNNING": strconv.Itoa(d.Running), "REQUESTS_WAITING": strconv.Itoa(d.Waiting), "LEFT_USEC": usec(float64(d.LeftMS)),
		})
	case record.Action:
		p := journal.Info
		if d.Status == record.Errored || d.Status == record.Tolerated {
			p = journal.Warning
		}
		return r.send(entryAction, p, word+" "+message, map[string]string{
			"ACTION": string(d.Action), "ACTION_STATUS": string(d.Status), "ACTION_UNIT": d.Unit, "ROLLBACK": yesNo(d.Rollback), "DURATION_USEC": usec(d.DurationMS),
		})
	default:
		return r.send(entryRollback, journal.Warning, message, nil)
	}
}

// end writes how the transition ended.
func (r *reporter) end(ev record.Event) bool {
	if r == nil {
		return false
	}
	r.fields = map[string]string{"TRANSITION_ID": ev.ID, "MODE": string(ev.Requested)}
	id, p := entryEnded, journal.Notice
	message := fmt.Sprintf("%s: %s -> %s, now %s, in %s", ev.Outcome, ev.Prior, ev.Requested, ev.Final, short(ev.DurationMS))
	switch {
	case ev.Outcome == record.Interrupted && ev.Final == "":
		id, p = entryInterrupted, journal.Warning
		message = fmt.Sprintf("%s: %s -> %s: %s", ev.Outcome, ev.Prior, ev.Requested, ev.Reason)
	case ev.Success:
	case ev.Outcome == record.Failed:
		p = journal.Error
		message += ": " + ev.Reason
	default:
		p = journal.Warning
		message += ": " + ev.Reason
	}
	return r.send(id, p, message, map[string]string{
		"PRIOR": string(ev.Prior), "FINAL": string(ev.Final), "OUTCOME": string(ev.Outcome), "REASON": ev.Reason,
		"EXIT_STATUS": strconv.Itoa(int(ev.ExitCode)), "DURATION_USEC": usec(ev.DurationMS),
	})
}

func usec(ms float64) string { return strconv.FormatInt(int64(ms*1000), 10) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
