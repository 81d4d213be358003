// Go's net package: a goroutine and a buffer for each connection.
package main

import "net"

func main() {
	addr, _, kind := options()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		fail(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go serve(conn, kind)
	}
}

func serve(conn net.Conn, protocol protocol) {
	defer conn.Close()
	buffer := make([]byte, readBuffer)
	for {
		read, err := conn.Read(buffer)
		if read > 0 {
			if answer := protocol.reply(buffer[:read]); len(answer) > 0 {
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
		if protocol.flood != 0 && protocol.flood != len(buffer) {
			buffer = make([]byte, protocol.flood)
		}
	}
}
