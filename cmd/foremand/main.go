// Foremand is a job queue in front of an Ollama server: jobs over HTTP, kept on disk,
// with webhooks, artifacts, and Ollama's /api/chat for callers that wait.
//
//	foremand -dev   tries it out with nothing else installed
//	foremand -h     lists the flags, variables and settings of a config file
package main

import (
	"os"

	"github.com/foreman-go/foreman/cmd/foremand/internal/daemon"
)

func main() {
	os.Exit(daemon.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
