package observe

// ConflictCodes lists the conflict codes with their meanings, for the
// documentation.
func ConflictCodes() []struct {
	Code    ConflictCode
	Meaning string
} {
	return []struct {
		Code    ConflictCode
		Meaning string
	}{
		{BothTargets, "desktop.target and compute.target are both active"},
		{SessionInCompute, "a graphical session is there while compute.target is active"},
		{CompositorCompute, "a compositor of a user runs while compute.target is active"},
		{LoginPathInCompute, "the login path is active while compute.target is: it can bring a session back at any time"},
		{OverlayInCompute, "a unit of the studio overlay is active while compute.target is"},
		{DisplayInCompute, "a process of a desktop holds a graphics card while compute.target is active"},
		{StaleHolder, "a process that has outlived its session, login screen or display manager still holds a graphics card, in whichever mode"},
		{VLLMInDesktop, "vLLM is active while the desktop owns the GPU"},
		{SessionClosing, "a closing session that had a display still has processes"},
		{CompositorOrphan, "a compositor runs in a session that logind does not list as graphical"},
		{ShuttingDown, "the machine is shutting down"},
	}
}

// Predicates lists the guarantees with their meanings, for the documentation.
func Predicates() []struct {
	Predicate Predicate
	Meaning   string
} {
	return []struct {
		Predicate Predicate
		Meaning   string
	}{
		{GraphicalPath, "a session, a greeter or the configured login path is there (desktop)"},
		{GraphicalSession, "a person has a graphical session (studio-local)"},
		{NoGraphical, "no graphical session and no compositor of a user is there (compute)"},
		{DesktopTarget, "desktop.target is active (desktop, studio-local)"},
		{ComputeTarget, "compute.target is active (compute)"},
		{StudioPolicy, "studio-local-policy.service is active (studio-local)"},
		{AudioPriority, "audio-priority.service is active (studio-local)"},
		{BaselineWeights, "no slice is left with the settings of studio-local (desktop)"},
		{VLLMInactive, "vLLM is inactive (desktop, studio-local)"},
		{GPUsReleased, "no process of a desktop holds a graphics card (compute)"},
		{GPUsPlanned, "compute has as many GPUs as are planned, where degraded.minComputeGpus lets it run with fewer (compute)"},
		{LoginPathStopped, "no unit of the login path that degraded.desktopUnits tolerates is left (compute)"},
		{VLLMHealthy, "vLLM is active and answers that it is healthy, when it is enabled (compute)"},
	}
}
