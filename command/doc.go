// Package command runs a program for each job: a backend that needs no server.
//
// [Backend] starts the program that [Options] name, with arguments in which
// placeholders such as {{.Input.width}} stand for what the job says. There is no
// shell: what an argument is in the options is one argument of the program, whatever
// is in the job, and a value from outside cannot become an option by surprise. The
// input goes to the standard input, what the program prints is streamed to whoever
// watches the job and becomes an artifact or the result, and the standard error
// becomes the artifact log.
//
// # Placeholders
//
//	{{.ID}}         the job's id
//	{{.Attempt}}    the number of the attempt, from 1
//	{{.Model}}      the model
//	{{.Labels.x}}   the label x; all behind the second dot is its name, dots too
//	{{.Input}}      the whole input
//	{{.Input.a.b}}  the field b of the field a of the input
//	{{.Input.a.0}}  the first element of the array a
//	{{"{{"}}        what stands between the quotes, a string as in Go
//
// A JSON string stands for its text, a number or a boolean for itself as it was sent,
// an object or an array for its JSON without spaces. What is not there, or null, fails
// the job for good: the job has to be put right, another attempt cannot help.
//
// # Arguments
//
// An argument that begins with a placeholder must not come out with a "-" before it,
// since the program would take it for an option; the job fails for good. Write the
// option before the placeholder, as in "--offset={{.Input.offset}}", or an argument "--"
// somewhere before, if the program knows that as the end of its options. No other
// character is special here: a program for which one is, such as "@" or "/" before the
// name of a file, has to be called with something before the placeholder. A NUL byte
// cannot be in an argument.
//
// # Ends
//
// The program has a process group of its own. When the job is canceled or takes too long,
// the group gets SIGTERM and, if that does not end the program within
// [Options.GracePeriod], SIGKILL. Once the program has ended, however that was, what is
// left of its group is killed. A process that has moved to another group, as daemons do,
// is not found; it can keep nothing of the job open. On Linux the program is killed too
// when this process dies; its children, and programs on other systems, are not. On
// Windows the program and its children are ended at once, and what a program has left
// behind that ended by itself goes on.
package command
