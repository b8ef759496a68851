package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
)

// canaryText is what any model can embed: when even this fails, the provider
// is at fault.
const canaryText = "ok"

// canary asks the provider for the vector of a text that is beyond doubt.
func canary(ctx context.Context, e embed.Embedder) error {
	_, err := embedAll(ctx, e, []string{canaryText})
	return err
}

// embedAll is Embed for documents, with its promise checked: nothing wrong may
// reach the index.
func embedAll(ctx context.Context, e embed.Embedder, texts []string) ([][]float32, error) {
	vectors, err := e.Embed(ctx, texts, embed.Document)
	if err != nil {
		return nil, err
	}
	if len(vectors) != len(texts) {
		return nil, fmt.Errorf("the embedder of %s gave %d vectors for %d texts", e.Model(), len(vectors), len(texts))
	}
	for _, v := range vectors {
		if len(v) != e.Dimensions() {
			return nil, fmt.Errorf("the embedder of %s gave %d dimensions, not %d", e.Model(), len(v), e.Dimensions())
		}
	}
	return vectors, nil
}

// divide embeds jobs together. When a text is at fault and the provider does
// not say which, the batch is halved until it is found, so that one poisonous
// text costs the others nothing. done gets jobs with their vectors, bad a job
// that failed for its own sake. When the provider is at fault, or ctx ended,
// divide returns the jobs that are left, and why.
func divide(ctx context.Context, e embed.Embedder, jobs []outbox.Job,
	done func([]outbox.Job, [][]float32), bad func(outbox.Job, error),
) (left []outbox.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	texts := make([]string, len(jobs))
	for i, job := range jobs {
		texts[i] = job.Text
	}
	vectors, err := embedAll(ctx, e, texts)
	if err == nil {
		done(jobs, vectors)
		return nil, nil
	}
	fault := embed.FaultOf(err)
	if ctx.Err() != nil || fault == embed.Outage {
		return jobs, err
	}
	if i, known := culprit(err, len(jobs)); known {
		bad(jobs[i], err)
		return divide(ctx, e, slices.Delete(slices.Clone(jobs), i, i+1), done, bad)
	}
	// A server that refuses everything, say because its model embeds nothing,
	// would otherwise cost every row its attempts.
	if len(jobs) == 1 || fault == embed.Doubt {
		if canary(ctx, e) != nil {
			return jobs, err
		}
	}
	if len(jobs) == 1 {
		bad(jobs[0], err)
		return nil, nil
	}
	half := len(jobs) / 2
	left, err = divide(ctx, e, jobs[:half], done, bad)
	if err != nil {
		return slices.Concat(left, jobs[half:]), err
	}
	return divide(ctx, e, jobs[half:], done, bad)
}

// culprit is the text that the provider itself found without a vector: no
// canary is needed to believe that, since the others have theirs.
func culprit(err error, count int) (int, bool) {
	var e *embed.Error
	if errors.As(err, &e) && e.Fault == embed.Item && e.Index >= 0 && e.Index < count && count > 1 {
		return e.Index, true
	}
	return 0, false
}
