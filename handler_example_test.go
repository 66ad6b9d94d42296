package foreman_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/foreman-go/foreman"
)

// The handler beside others on a mux, under a prefix.
func ExampleForeman_Handler() {
	dir, err := os.MkdirTemp("", "foreman")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	upper := foreman.BackendFunc(func(_ context.Context, t *foreman.Task) error {
		return t.SetResult(strings.ToUpper(string(t.Spec.Input)))
	})
	f, err := foreman.New(upper, &foreman.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	go func() { _ = f.Run(context.Background()) }()

	mux := http.NewServeMux()
	mux.Handle("/api/v1/", http.StripPrefix("/api/v1", f.Handler()))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the rest of the site") })
	server := httptest.NewServer(mux)
	defer server.Close()

	req, err := http.NewRequestWithContext(context.Background(), "POST", server.URL+"/api/v1/jobs", strings.NewReader(`{"model":"m","input":["hello"]}`))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Prefer", "wait=30") // for the end of the job
	resp, err := server.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)
	fmt.Println(strings.HasPrefix(resp.Header.Get("Location"), "/api/v1/jobs/"))
	fmt.Println(strings.Contains(string(body), `"result":"[\"HELLO\"]"`))
	// Output:
	// 200 OK
	// true
	// true
}
