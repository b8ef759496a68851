package record

// Word is one of a closed list, with what it means.
type Word[T ~string] struct {
	Word    T
	Meaning string
}

// Types lists the types of events.
func Types() []Word[Type] {
	return []Word[Type]{
		{TypeIntent, "what is about to be done, written before anything is touched; one that nothing follows was cut off"},
		{TypeTransition, "how a transition ended"},
	}
}

// Outcomes lists how a transition can end.
func Outcomes() []Word[Outcome] {
	return []Word[Outcome]{
		{Converged, "the last observation shows the mode that was asked for"},
		{Noop, "that mode was observed before, and nothing was done"},
		{Blocked, "a guard said no, and nothing was touched"},
		{CheckError, "a guard could not look, and nothing was touched"},
		{RolledBack, "an action or a gate failed, and the prior mode is observed again"},
		{TimedOut, "a bound on time ran out, and the prior mode is observed again"},
		{Degraded, "what is observed, the mode that was asked for or the prior one, is usable and lacks a guarantee"},
		{Failed, "no usable mode is observed"},
		{Interrupted, "it was stopped before anything was touched, or the controller was killed, or the machine went down"},
	}
}

// Statuses lists how far an action can be.
func Statuses() []Word[Status] {
	return []Word[Status]{
		{Pending, "its turn has not come"},
		{Running, "it is under way, or was when the controller was killed"},
		{Done, "it is done, and was seen to be"},
		{Skipped, "there was nothing to do"},
		{Errored, "it failed, and no step of the way there followed; the way back goes on to its end"},
		{Tolerated, "it failed, and ended nothing; the last observation names what is then missing"},
	}
}
