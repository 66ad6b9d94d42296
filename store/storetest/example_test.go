package storetest_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/storetest"
)

// The whole test of a store. It needs to know how to make an empty place for one and
// how to open it; this one forgets everything when it is closed.
func ExampleRun() {
	testMine := func(t *testing.T) {
		storetest.Run(t, storetest.Harness{
			New:      func(testing.TB) string { return "" },
			Open:     func(string) (store.Store, error) { return newMemory(), nil },
			Volatile: true,
		})
	}
	fmt.Println("keeps the contract:", goTest("TestMine", testMine))
	// Output: keeps the contract: true
}

// goTest runs a test as go test does, without its output.
func goTest(name string, test func(*testing.T)) bool {
	verbose := flag.Lookup("test.v").Value
	defer func(was string) { _ = verbose.Set(was) }(verbose.String())
	_ = verbose.Set("false")
	all := func(string, string) (bool, error) { return true, nil }
	return testing.RunTests(all, []testing.InternalTest{{Name: name, F: test}})
}
