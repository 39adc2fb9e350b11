// Package httpkit is what all clients of HTTP share: how a failed request is classified, how long a
// server asks to wait, and how requests and answers are named in messages without their secrets.
//
// It makes no requests itself and knows nothing of what is asked.
package httpkit
