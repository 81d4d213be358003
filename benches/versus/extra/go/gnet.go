// gnet (github.com/panjf2000/gnet/v2): event loops with a callback for what has come.
package main

import (
	"errors"

	"github.com/panjf2000/gnet/v2"
)

type server struct {
	gnet.BuiltinEventEngine
	kind protocol
}

func (s *server) OnOpen(conn gnet.Conn) ([]byte, gnet.Action) {
	kind := s.kind
	conn.SetContext(&kind)
	return nil, gnet.None
}

func (s *server) OnTraffic(conn gnet.Conn) gnet.Action {
	read, err := conn.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if answer := conn.Context().(*protocol).reply(read); len(answer) > 0 {
		if _, err := conn.Write(answer); err != nil {
			return gnet.Close
		}
	}
	return gnet.None
}

func main() {
	addr, threads, kind := options()
	if kind.mixed {
		fail(errors.New("gnet decides how much is read at once"))
	}
	fail(gnet.Run(&server{kind: kind}, "tcp://"+addr,
		gnet.WithNumEventLoop(threads),
		gnet.WithReusePort(threads > 1),
		gnet.WithReadBufferCap(readBuffer)))
}
