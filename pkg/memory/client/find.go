package client

import (
	"net"
	"strconv"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Configured makes a client of this machine's service: behind its socket, or,
// where we can't use that, at its port. In the latter case the service does
// not learn who asks, and why says what is wrong with the socket.
func Configured(root hostfs.Root, api config.MemoryAPI) (c *Client, why error) {
	socket := root.Path(api.Socket)
	conn, err := net.DialTimeout("unix", socket, connectWithin)
	if err == nil {
		_ = conn.Close()
	}
	if err == nil || api.Port == 0 { // without a port, the socket's own error tells most
		return Unix(socket), nil
	}
	c, _ = URL("http://" + net.JoinHostPort(api.Host, strconv.Itoa(api.Port))) // made of a loopback address and a number
	return c, err
}
