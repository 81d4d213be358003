// goev (github.com/shaovie/goev): one reactor, and a handler for each connection, which lives on one of
// its pollers.
package main

import (
	"syscall"

	"github.com/shaovie/goev"
)

var reactor *goev.Reactor

// conn is one connection.
type conn struct {
	goev.IOHandle
	protocol protocol
	// The peer has ended its side: the connection is closed when all is sent.
	ended bool
}

func (c *conn) OnOpen() bool {
	return reactor.AddEvHandler(c, c.Fd(), goev.EvIn) == nil
}

// drain reads from a flood that is thrown away.
func (c *conn) drain() bool {
	var small [smallRead]byte
	n, err := syscall.Read(c.Fd(), small[:])
	return n > 0 || err == syscall.EAGAIN || err == syscall.EINTR
}

func (c *conn) OnRead() bool {
	if c.protocol.flood == smallRead {
		return c.drain()
	}
	read, n, _ := c.Read()
	if n == 0 {
		c.ended = true
		// Of a connection without events nothing is heard.
		return c.AsyncWaitWriteQLen() > 0 && reactor.RemoveEvent(c.Fd(), goev.EvIn) == nil
	}
	if answer := c.protocol.reply(read); len(answer) > 0 {
		// An error brings an event of its own; what is not sent at once is queued.
		c.Write(answer)
	}
	return true
}

func (c *conn) OnWrite() bool {
	c.AsyncOrderedFlush(c)
	if c.ended && c.AsyncWaitWriteQLen() == 0 {
		// Its last event is removed by the flush: goev must not remove it again.
		c.OnClose()
	}
	return true
}

func (c *conn) OnClose() {
	c.Destroy(c)
}

func main() {
	addr, threads, kind := options()
	var err error
	size := readBuffer
	if kind.mixed {
		// All connections share the buffer: what is read at once is at most this.
		size = largestRead
	}
	reactor, err = goev.NewReactor(
		goev.EvPollNum(threads),
		goev.EvPollLockOSThread(true),
		goev.EvPollReadBuffSize(size),
	)
	if err != nil {
		fail(err)
	}
	newHandler := func() goev.EvHandler { return &conn{protocol: kind} }
	if _, err := goev.NewAcceptor(reactor, addr, newHandler, goev.ListenBacklog(4096)); err != nil {
		fail(err)
	}
	fail(reactor.Run())
}
