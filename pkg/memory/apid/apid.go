// Package apid is the program memory-api: its grammar, its sockets, and how it
// starts and ends.
package apid
