package memory

import "context"

// callerKey is where a context keeps its caller.
type callerKey struct{}

// WithCaller gives a context that says who asks. Whoever accepts connections
// puts it there, from what the kernel says, and never from the request.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is who asks; a caller that is not known when nobody said.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
