// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/internal/wire"
)

// Redis' protocol, version 2 (redis.io/docs/latest/develop/reference/protocol-spec): a command is an array of strings, each
// preceded by its length.

// appendArray appends the head of an array of n strings.
func appendArray(dst []byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, '*'), int64(n), 10), '\r', '\n')
}

// appendString appends a string of a command.
func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = append(strconv.AppendInt(append(dst, '$'), int64(len(s)), 10), '\r', '\n')
	return append(append(dst, s...), '\r', '\n')
}

// appendCommand appends a command.
func appendCommand(dst []byte, words ...string) []byte {
	dst = appendArray(dst, len(words))
	for _, w := range words {
		dst = appendString(dst, w)
	}
	return dst
}

// failure is a server's error in answer to a command: a word in capitals and a text.
type failure struct{ text string }

func (e *failure) Error() string { return e.text }

// kind returns the word at the beginning of the error.
func (e *failure) kind() string {
	word, _, _ := strings.Cut(e.text, " ")
	return word
}

const (
	maxReply = 64 << 10 // bytes of a string
	maxItems = 64       // of an array
)

var errReply = errors.New("the answer is not one of Redis")

// reply reads the answer to a command: a number, a string, or strings. A server's error is a *failure; after any other error
// nothing more can be read.
func reply(c *wire.Conn) (n int64, texts []string, err error) {
	line, err := c.In.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, nil, errReply
	}
	rest := string(line[1 : len(line)-2])
	switch line[0] {
	case '+':
		return 0, []string{rest}, nil
	case '-':
		return 0, nil, &failure{web.Quote([]byte(rest))}
	case ':':
		if n, err = strconv.ParseInt(rest, 10, 64); err != nil {
			return 0, nil, errReply
		}
		return n, nil, nil
	case '$':
		text, err := replyString(c, rest)
		return 0, []string{text}, err
	case '*':
		items, err := strconv.Atoi(rest)
		if err != nil || items > maxItems {
			return 0, nil, errReply
		}
		for range items {
			_, some, err := reply(c)
			if err != nil {
				return 0, nil, err
			}
			texts = append(texts, some...)
		}
		return 0, texts, nil
	}
	return 0, nil, errReply
}

func replyString(c *wire.Conn, size string) (string, error) {
	n, err := strconv.Atoi(size)
	if err != nil || n > maxReply {
		return "", errReply
	}
	if n < 0 { // null
		return "", nil
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(c.In, text); err != nil {
		return "", err
	}
	return string(text[:n]), nil
}

// do sends a command and returns its answer.
func do(c *wire.Conn, words ...string) (n int64, texts []string, err error) {
	if _, err := c.Write(appendCommand(nil, words...)); err != nil {
		return 0, nil, err
	}
	return reply(c)
}

// login authenticates and selects the database.
func (c *Config) login(conn *wire.Conn) error {
	if err := auth(conn, c.Username, c.Password.Reveal()); err != nil {
		return err
	}
	if c.DB != 0 {
		if _, _, err := do(conn, "SELECT", strconv.Itoa(c.DB)); err != nil {
			return fmt.Errorf("SELECT %d: %w", c.DB, err)
		}
	}
	return nil
}

func auth(conn *wire.Conn, user, password string) error {
	words := []string{"AUTH", password}
	switch {
	case password == "":
		return nil
	case user != "":
		words = []string{"AUTH", user, password}
	}
	if _, _, err := do(conn, words...); err != nil {
		return fmt.Errorf("AUTH: %w", err)
	}
	return nil
}
