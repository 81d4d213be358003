// gnet (github.com/panjf2000/gnet/v2): event loops with a callback for what has come.
package main

import "github.com/panjf2000/gnet/v2"

type server struct {
	gnet.BuiltinEventEngine
	echo bool
}

func (s *server) OnOpen(conn gnet.Conn) ([]byte, gnet.Action) {
	conn.SetContext(&protocol{echo: s.echo})
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
	addr, threads, echo := options()
	fail(gnet.Run(&server{echo: echo}, "tcp://"+addr,
		gnet.WithNumEventLoop(threads),
		gnet.WithReusePort(threads > 1),
		gnet.WithReadBufferCap(readBuffer)))
}
