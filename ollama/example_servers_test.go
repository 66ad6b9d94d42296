package ollama_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// Two servers, each with a model of its own: work goes to the one that has its model.
func ExamplePools() {
	var servers []*ollama.Backend
	for _, model := range []string{"llama3", "qwen3:30b"} {
		server, err := ollamatest.Start(&ollamatest.Options{Models: map[string]ollamatest.Behavior{model: {}}})
		if err != nil {
			log.Fatal(err)
		}
		defer server.Close()
		backend, err := ollama.New(&ollama.Options{URL: server.URL()})
		if err != nil {
			log.Fatal(err)
		}
		servers = append(servers, backend)
	}
	dir, err := os.MkdirTemp("", "foreman")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	pools := ollama.Pools(servers...)
	pools[0].Name, pools[1].Name = "small", "large"
	pools[1].PerSlot = 4
	f, err := foreman.New(pools, &foreman.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = f.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ran
	}()

	job, err := f.Submit(ctx, foreman.Spec{Model: "qwen3:30b", Input: json.RawMessage(`{"prompt":"work"}`)})
	if err != nil {
		log.Fatal(err)
	}
	for _, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			log.Fatal(err)
		}
	}
	queue, err := f.Queue(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, slot := range queue.Slots {
		fmt.Printf("%s: %q\n", slot.Pool, slot.Lane)
	}
	// Output:
	// small: ""
	// large: "qwen3:30b"
}
