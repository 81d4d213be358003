// goev (github.com/shaovie/goev): one reactor, and a handler for each connection, which lives on one of
// its pollers.
package main

import "github.com/shaovie/goev"

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

func (c *conn) OnRead() bool {
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
	addr, threads, echo := options()
	var err error
	reactor, err = goev.NewReactor(
		goev.EvPollNum(threads),
		goev.EvPollLockOSThread(true),
		goev.EvPollReadBuffSize(readBuffer),
	)
	if err != nil {
		fail(err)
	}
	newHandler := func() goev.EvHandler { return &conn{protocol: protocol{echo: echo}} }
	if _, err := goev.NewAcceptor(reactor, addr, newHandler, goev.ListenBacklog(4096)); err != nil {
		fail(err)
	}
	fail(reactor.Run())
}
