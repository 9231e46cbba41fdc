// SPDX-License-Identifier: Apache-2.0

// The generator is the program in the containers of the tests and of the demo. It writes numbered lines, so that whoever
// reads them can tell which are missing, which came twice and which changed places:
//
//	NAME NUMBER PADDING
//
// It is linked statically and needs nothing else in its image.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

var (
	name    = flag.String("name", "line", "the word that each line begins with")
	lines   = flag.Int("lines", 1, "how many lines each stream gets; -1 writes until SIGTERM")
	rate    = flag.Int("rate", 0, "lines a second; 0 is as fast as they are taken")
	size    = flag.Int("size", 0, "bytes that each line is padded to, without its newline; 0 pads nothing")
	streams = flag.String("streams", "stdout", "stdout, stderr or both: with both, each line goes to the one and then to the other")
	text    = flag.String("text", "", "write this text instead of numbered lines; \\n is a newline")
	hold    = flag.Bool("hold", false, "stay after the last line, until SIGTERM")
	file    = flag.String("file", "", "write to this file instead of standard output")
	also    = flag.Bool("also", false, "write each line to standard output as well as to the file")
	rotate  = flag.Int("rotate", 0, "rename the file to FILE.1 and begin a new one after that many lines")
	show    = flag.String("show", "", "print this file to standard output and end")
	stamp   = flag.Bool("stamp", false, "put the time of writing behind each number, in ns since 1970")
	slowest = flag.String("slowest", "", "write to this file at the end how long the slowest write took, in ns")
	took    = flag.String("took", "", "write to this file at the end how long the writing took, in ns")
	timing  = flag.Bool("timing", false, "end with a line on standard error that tells how long the writing took, in ns")
)

func main() {
	flag.Parse()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	if err := run(term); err != nil {
		fmt.Fprintln(os.Stderr, "generator:", err)
		os.Exit(1)
	}
	if *hold {
		<-term
	}
}

func run(term <-chan os.Signal) error {
	if *show != "" {
		return cat(*show)
	}
	if *text != "" {
		_, err := io.WriteString(os.Stdout, strings.ReplaceAll(*text, `\n`, "\n"))
		return err
	}
	sinks, err := open()
	if err != nil {
		return err
	}
	began := time.Now()
	for n := 0; n != *lines; n++ {
		for _, s := range sinks {
			if err := s.write(n); err != nil {
				return err
			}
		}
		if !pace(sinks, began, n+1, term) {
			break
		}
	}
	if err := flush(sinks); err != nil {
		return err
	}
	if *took != "" {
		if err := os.WriteFile(*took, fmt.Append(nil, time.Since(began).Nanoseconds()), 0o644); err != nil {
			return err
		}
	}
	if *slowest != "" {
		if err := os.WriteFile(*slowest, fmt.Append(nil, longest.Nanoseconds()), 0o644); err != nil {
			return err
		}
	}
	if *timing {
		wrote := time.Since(began)
		time.Sleep(time.Second) // the engine's cache drops what comes while it is behind
		fmt.Fprintf(os.Stderr, "took %d\n", wrote.Nanoseconds())
	}
	return nil
}

// pace keeps to the rate: it waits, with everything written, until it is time for the next line. False means that the
// container is to end.
func pace(sinks []*sink, began time.Time, written int, term <-chan os.Signal) bool {
	var due time.Duration
	if *rate > 0 {
		due = time.Until(began.Add(time.Duration(written) * time.Second / time.Duration(*rate)))
	}
	if due <= 0 {
		select {
		case <-term:
			return false
		default:
			return true
		}
	}
	if flush(sinks) != nil {
		return false
	}
	select {
	case <-term:
		return false
	case <-time.After(due):
		return true
	}
}

func flush(sinks []*sink) error {
	for _, s := range sinks {
		if err := s.w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func cat(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}

// sink is one stream of lines. With two of them each line is flushed, so that they take turns on the wire as well.
type sink struct {
	w    *bufio.Writer
	f    *os.File
	path string
	turn bool
	line []byte
}

func open() ([]*sink, error) {
	if *file != "" {
		f, err := os.OpenFile(*file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, err
		}
		sinks := []*sink{{w: bufio.NewWriterSize(f, 64<<10), f: f, path: *file}}
		if *also {
			sinks = append(sinks, &sink{w: bufio.NewWriterSize(os.Stdout, 64<<10), f: os.Stdout})
		}
		return sinks, nil
	}
	var sinks []*sink
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if *streams == "both" || "/dev/"+*streams == f.Name() {
			sinks = append(sinks, &sink{w: bufio.NewWriterSize(f, 64<<10), f: f, turn: *streams == "both"})
		}
	}
	if sinks == nil {
		return nil, fmt.Errorf("-streams is %q; it must be stdout, stderr or both", *streams)
	}
	return sinks, nil
}

func (s *sink) write(n int) error {
	if s.path != "" && *rotate > 0 && n > 0 && n%*rotate == 0 {
		if err := s.renew(); err != nil {
			return err
		}
	}
	s.line = fmt.Appendf(s.line[:0], "%s %d", *name, n)
	if *stamp {
		s.line = fmt.Appendf(s.line, " %d", time.Now().UnixNano())
	}
	if pad := *size - len(s.line) - 1; pad > 0 {
		s.line = append(s.line, ' ')
		for range pad {
			s.line = append(s.line, 'a'+byte(n%26))
		}
	}
	s.line = append(s.line, '\n')
	began := time.Time{}
	if *slowest != "" {
		began = time.Now()
	}
	_, err := s.w.Write(s.line)
	if err == nil && s.turn {
		err = s.w.Flush()
	}
	if !began.IsZero() {
		longest = max(longest, time.Since(began))
	}
	return err
}

// longest is how long the slowest write took.
var longest time.Duration

// renew rotates the file as logrotate does: the old one keeps its inode and gets another name.
func (s *sink) renew() error {
	if err := s.w.Flush(); err != nil {
		return err
	}
	if err := s.f.Close(); err != nil {
		return err
	}
	if err := os.Rename(s.path, s.path+".1"); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	s.f = f
	s.w.Reset(f)
	return nil
}
