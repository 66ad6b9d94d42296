package webhooktest_test

import (
	"context"
	"testing"
)

// exampleTest is a test for an Example, which has none.
type exampleTest struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTest) Helper()                  {}
func (t *exampleTest) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleTest) Context() context.Context { return context.Background() }
func (t *exampleTest) Fatal(args ...any)        { panic(args) }

func runTest(test func(t testing.TB)) {
	t := &exampleTest{}
	defer func() {
		for _, f := range t.cleanups {
			f()
		}
	}()
	test(t)
}
