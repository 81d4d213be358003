// What the Go servers answer, and their command line: SERVER ADDR THREADS plaintext|echo|mixed.
package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// How much a server reads at once, as in all other peers.
const readBuffer = 8 * 1024

// The longest work that a request can ask for.
const longestSpin = time.Second

// By how much a flood is read: thrown away, or sent back.
const (
	smallRead   = 16
	largestRead = 64 * 1024
)

const answer = "HTTP/1.1 200 OK\r\n" +
	"Server: versus\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n" +
	"Content-Type: text/plain\r\n" +
	"Content-Length: 13\r\n" +
	"\r\n" +
	"Hello, World!"

var (
	terminator = []byte("\r\n\r\n")
	spinPrefix = []byte("GET /spin/")
	// As many answers as a read of 64 KiB can ask for, so that each read is answered by one write.
	answers = bytes.Repeat([]byte(answer), 64*1024/len("\r\n\r\n"))
)

// protocol is the server's side of one connection.
type protocol struct {
	echo bool
	// HTTP, until a request makes the connection a flood.
	mixed bool
	// A flood that is read by so many bytes; 0 as long as it is none.
	flood int
	// How much of the terminator the stream ends with now: 0 to 3 bytes.
	matched int
}

// reply returns what to send after a read; empty as long as a request is incomplete.
func (p *protocol) reply(read []byte) []byte {
	if p.echo || p.flood == largestRead {
		return read
	}
	if p.flood == smallRead {
		return nil
	}
	if p.mixed {
		p.becomeFlood(read)
	}
	if bytes.HasPrefix(read, spinPrefix) {
		spin(read[len(spinPrefix):])
	}
	return answers[:p.countEnds(read)*len(answer)]
}

// becomeFlood looks for a request that makes the connection a flood, from the next read on.
func (p *protocol) becomeFlood(read []byte) {
	if bytes.HasPrefix(read, []byte("GET /flood/read-16 HTTP/1.1\r\n")) {
		p.flood = smallRead
	} else if bytes.HasPrefix(read, []byte("GET /flood/echo-64k HTTP/1.1\r\n")) {
		p.flood = largestRead
	}
}

// countEnds returns how many requests end in this read.
func (p *protocol) countEnds(read []byte) int {
	ends := 0
	// A terminator that began in the reads before.
	for p.matched > 0 && len(read) > 0 {
		ends += p.endsWith(read[0])
		read = read[1:]
	}
	for {
		at := bytes.Index(read, terminator)
		if at < 0 {
			break
		}
		ends++
		read = read[at+len(terminator):]
	}
	if len(read) > len(terminator)-1 {
		read = read[len(read)-(len(terminator)-1):]
	}
	for _, b := range read {
		ends += p.endsWith(b)
	}
	return ends
}

// endsWith takes one byte of the stream, and returns 1 if it ends a request.
func (p *protocol) endsWith(b byte) int {
	if b == terminator[p.matched] {
		p.matched = (p.matched + 1) % len(terminator)
		if p.matched == 0 {
			return 1
		}
		return 0
	}
	p.matched = 0
	if b == '\r' {
		p.matched = 1
	}
	return 0
}

// spin computes for as many microseconds as path begins with.
func spin(path []byte) {
	micros := time.Duration(0)
	for _, b := range path {
		if b < '0' || b > '9' || micros > longestSpin {
			break
		}
		micros = micros*10 + time.Duration(b-'0')
	}
	duration := micros * time.Microsecond
	if duration > longestSpin {
		duration = longestSpin
	}
	for begin := time.Now(); time.Since(begin) < duration; {
	}
}

// options reads the command line, and lets as many threads run Go code as it says.
func options() (addr string, threads int, kind protocol) {
	if len(os.Args) == 4 {
		kind.echo, kind.mixed = os.Args[3] == "echo", os.Args[3] == "mixed"
	}
	if !kind.echo && !kind.mixed && (len(os.Args) != 4 || os.Args[3] != "plaintext") {
		fail(fmt.Errorf("usage: %s ADDR THREADS plaintext|echo|mixed", os.Args[0]))
	}
	threads, err := strconv.Atoi(os.Args[2])
	if err != nil || threads < 1 {
		fail(fmt.Errorf("not a number of threads: %q", os.Args[2]))
	}
	runtime.GOMAXPROCS(threads)
	return os.Args[1], threads, kind
}

// fail says why the server cannot run, and ends it.
func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
