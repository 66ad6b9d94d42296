//go:build unix

package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
)

// block waits for a signal that ends it.
func block() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	<-c
}

// child starts a program of this binary that shares the standard output.
func child(name string, attr *syscall.SysProcAttr) int {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), program+"="+name)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = os.Stdout, os.Stderr, attr
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	return cmd.Process.Pid
}

func hello() { fmt.Println("pid", os.Getpid()) }

// programs are what this binary can be when it is run for a job. They get the arguments.
var programs = map[string]func(args []string){
	// args prints its arguments as JSON.
	"args": func(args []string) { _ = json.NewEncoder(os.Stdout).Encode(args) },
	// env prints its environment, and where it runs.
	"env": func([]string) {
		dir, _ := os.Getwd()
		fmt.Println(strings.Join(os.Environ(), "\n"))
		fmt.Println("dir", dir)
	},
	// cat prints what it reads.
	"cat": func([]string) { _, _ = io.Copy(os.Stdout, os.Stdin) },
	// say prints its first argument to the standard output, its second to the standard
	// error, and ends with the status that is its third.
	"say": func(args []string) {
		fmt.Print(args[0])
		fmt.Fprint(os.Stderr, args[1])
		status, _ := strconv.Atoi(args[2])
		os.Exit(status)
	},
	// flood prints for ever, to the file of a number.
	"flood": func(args []string) {
		fd, _ := strconv.Atoi(args[0])
		out, line := os.NewFile(uintptr(fd), "out"), []byte(strings.Repeat("x", 1023)+"\n")
		for {
			if _, err := out.Write(line); err != nil {
				os.Exit(1)
			}
		}
	},
	// lines prints numbered lines to the standard error, and ends badly.
	"lines": func(args []string) {
		n, _ := strconv.Atoi(args[0])
		for i := range n {
			fmt.Fprintf(os.Stderr, "line %d\n", i+1)
		}
		os.Exit(1)
	},
	// ready says so.
	"ready": func([]string) {
		fmt.Println("ready")
		block()
	},
	// stubborn does not listen to SIGTERM.
	"stubborn": func([]string) {
		signal.Ignore(syscall.SIGTERM)
		hello()
		block()
	},
	// parent has two stubborn children, and ends at once when it is asked to.
	"parent": func([]string) {
		child("stubborn", nil)
		child("stubborn", nil)
		hello()
		block()
	},
	// leaver leaves a child behind, in its group or as a daemon, and says which it is.
	"leaver": func(args []string) {
		fmt.Println("pid", child("blocked", &syscall.SysProcAttr{Setsid: args[0] == "daemon"}))
	},
	// blocked does nothing, for ever.
	"blocked": func([]string) { block() },
	// polite says goodbye when it is asked to end, and claims that all is well.
	"polite": func([]string) {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Fprintln(os.Stderr, "I have begun")
		hello()
		<-c
		fmt.Println("bye")
	},
	// suicide ends by a signal.
	"suicide": func([]string) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		block()
	},
	// host is a process with a Foreman that runs a stubborn program.
	"host": func(args []string) {
		b, err := command.New(&command.Options{Path: os.Args[0], Env: []string{program + "=stubborn"}})
		if err != nil {
			log.Fatal(err)
		}
		f, err := foreman.New(b, &foreman.Options{Dir: args[0]})
		if err != nil {
			log.Fatal(err)
		}
		j, err := f.Submit(context.Background(), foreman.Spec{Model: "m"})
		if err != nil {
			log.Fatal(err)
		}
		begin := sync.OnceFunc(func() { go func() { _ = f.Run(context.Background()) }() })
		for e, err := range f.Watch(context.Background(), j.ID, 0) {
			if err != nil {
				log.Fatal(err)
			}
			begin() // now that nothing it prints is missed
			fmt.Print(string(e.Output))
		}
	},
}
