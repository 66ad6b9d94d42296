package ollama_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// A server with a GPU for large models, and one without for embeddings.
func Example_pools() {
	if err := pools(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// qwen3:30b num_ctx=8192
	// nomic-embed-text
}

func pools() error {
	dir, err := os.MkdirTemp("", "foreman")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	gpu, err := ollama.New(&ollama.Options{URL: "gpu.internal", KeepAlive: -1})
	if err != nil {
		return err
	}
	cpu, err := ollama.New(&ollama.Options{URL: "cpu.internal"})
	if err != nil {
		return err
	}
	embeds := func(model string) bool { return strings.HasPrefix(model, "nomic-embed-text") }
	f, err := foreman.New(foreman.Pools{
		{Name: "gpu", Backend: gpu, PerSlot: 4, Serves: func(model string) bool { return !embeds(model) }},
		{Name: "cpu", Backend: cpu, Slots: 2, Serves: embeds},
	}, &foreman.Options{
		Dir:     dir,
		MaxWait: 30 * time.Second,
		Models:  map[string]foreman.Limits{"qwen3:30b": {PerSlot: 1}},
	})
	if err != nil {
		return err
	}
	defer f.Close()

	for _, s := range []foreman.Spec{
		{Model: "qwen3:30b", Input: json.RawMessage(`{"prompt":"work","options":{"num_ctx":8192,"seed":1}}`)},
		{Model: "nomic-embed-text:latest", Input: json.RawMessage(`{"input":"work"}`)},
	} {
		if _, err := f.Submit(context.Background(), s); err != nil {
			return err
		}
	}
	queue, err := f.Queue(context.Background())
	if err != nil {
		return err
	}
	for _, lane := range queue.Lanes {
		fmt.Println(lane.Lane)
	}
	return nil
}

// A job and a caller that waits, through the same queue to one model server.
func Example() {
	server, err := ollamatest.Start(nil) // in place of a real Ollama
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	dir, err := os.MkdirTemp("", "foreman")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	backend, err := ollama.New(&ollama.Options{URL: server.URL()}) // nil for the usual address
	if err != nil {
		log.Fatal(err)
	}
	f, err := foreman.New(backend, &foreman.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	go func() { _ = f.Run(context.Background()) }()

	front := httptest.NewServer(ollama.Handler(f, nil)) // for clients of Ollama
	defer front.Close()

	// A job: nobody has to wait for it, though this program does.
	ctx := context.Background()
	job, err := f.Submit(ctx, foreman.Spec{
		Model: "llama3",
		Input: json.RawMessage(`{"messages":[{"role":"user","content":"work for later"}]}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range f.Watch(ctx, job.ID, 0) {
		if err != nil {
			log.Fatal(err)
		}
		if event.Type == foreman.StateEvent {
			fmt.Println(event.State)
		}
	}

	// A caller that waits, as any client of Ollama does.
	resp, err := http.Post(front.URL+"/api/chat", "application/json",
		strings.NewReader(`{"model":"llama3","stream":false,"messages":[{"role":"user","content":"work for now"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	var answer struct{ Message struct{ Content string } }
	if err := json.Unmarshal(body, &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, answer.Message.Content)

	// Output:
	// queued
	// working
	// done
	// 200 OK work for now
}
