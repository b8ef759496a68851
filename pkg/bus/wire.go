package bus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// maxMessage bounds what is taken from the bus as one message, in bytes. A
// full unit's properties are about 20 KiB.
const maxMessage = 8 << 20

// maxFDs bounds the descriptors of one message, as the reference daemon does.
const maxFDs = 16

// encodeCall renders call with the given serial.
func encodeCall(call *Call, serial uint32) ([]byte, error) {
	dot := strings.LastIndexByte(call.Method, '.')
	if dot < 0 {
		return nil, fmt.Errorf("the method %q names no interface", call.Method)
	}
	msg := dbus.Message{
		Type: dbus.TypeMethodCall,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(call.Dest),
			dbus.FieldPath:        dbus.MakeVariant(call.Path),
			dbus.FieldInterface:   dbus.MakeVariant(call.Method[:dot]),
			dbus.FieldMember:      dbus.MakeVariant(call.Method[dot+1:]),
		},
		Body: call.Args,
	}
	if len(call.Args) > 0 {
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(call.Args...))
	}
	var buf bytes.Buffer
	if err := msg.EncodeTo(&buf, binary.LittleEndian); err != nil {
		return nil, err
	}
	data := buf.Bytes()
	// godbus keeps the serial to itself; in the format it is bytes 8 to 11.
	binary.LittleEndian.PutUint32(data[8:], serial)
	return data, nil
}

// messageSize is the length of the message that starts with head, and 0 while
// too little of it is there to tell.
func messageSize(head []byte) (int, error) {
	if len(head) < 16 {
		return 0, nil
	}
	var order binary.ByteOrder
	switch head[0] {
	case 'l':
		order = binary.LittleEndian
	case 'B':
		order = binary.BigEndian
	default:
		return 0, fmt.Errorf("the bus sent something that is no message: it starts with %q", head[:4])
	}
	body, fields := uint64(order.Uint32(head[4:])), uint64(order.Uint32(head[12:]))
	size := 16 + (fields+7)/8*8 + body
	if size > maxMessage {
		return 0, fmt.Errorf("the bus sent a message of %d bytes, over the limit of %d", size, maxMessage)
	}
	return int(size), nil
}

// decode decodes one whole message. The decoder of godbus panics on some
// malformed input; here that is an error like any other.
func decode(data []byte, fds []int) (msg *dbus.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			msg, err = nil, fmt.Errorf("decode a message of the bus: %v", p)
		}
	}()
	msg, err = dbus.DecodeMessageWithFDs(bytes.NewReader(data), fds)
	if err != nil {
		return nil, fmt.Errorf("decode a message of the bus: %w", err)
	}
	return msg, nil
}
