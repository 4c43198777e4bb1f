// Package retry tries again: by policies with backoff, behind circuit
// breakers, within budgets. It needs nothing but the standard library and no
// actors.
//
//	err := retry.Retry(ctx, dial)                                    // policy Default
//	err := retry.RetryWithPolicy(ctx, retry.Aggressive(), build)     // a named one, or your own
//	err := breaker.Execute(ctx, fetch)                               // one call, if the breaker allows
//	err := breaker.ExecuteWithRetry(ctx, retry.Conservative(), fetch) // both
//
// A Retrier has all of it in one value, with a Budget and a callback.
//
// Vocabulary: a call runs the function once. A retry is a call after a failed
// one, so a policy with 3 retries makes at most 4 calls. A refusal is a breaker
// saying no; it is not a call.
//
// What is tried again is decided by the error's category (Category, Error,
// CategoryOf) and the policy's set of categories, and by nothing else. A
// cancelled context, a panic, or an error of a category that trying again
// cannot help (protocol, crypto, configuration, internal) anywhere in the
// chain is final.
//
// A breaker:
//
//	        Failures in a row, or Rate of at least MinRequests in Window
//	closed ────────────────────────────────────────────────────────► open
//	  ▲                                                      ▲         │ OpenFor
//	  │ a probe succeeds                       a probe fails │         ▼
//	  └────────────────────────────────────────────────── half-open ◄──┘
//
// The function runs in the caller's goroutine; the package starts none.
package retry
