// SPDX-License-Identifier: Apache-2.0

package fluentd

import (
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/internal/wire"
)

// hello proves to the server that the client knows the shared key, and requires the same of the server (Forward Protocol
// Specification v1, "Handshake Messages").
func (c *Config) hello(conn *wire.Conn) error {
	nonce, auth, err := readHELO(conn)
	if err != nil {
		return fmt.Errorf("FLUENTD_SHARED_KEY is set, but the server does not begin with HELO: %w", err)
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	salt, key := hex.EncodeToString(random[:]), c.SharedKey.Reveal()
	words := []string{"PING", c.Self, salt, digest(salt, c.Self, nonce, key), "", ""}
	if auth != "" {
		words[4], words[5] = c.Username, digest(auth, c.Username, c.Password.Reveal())
	}
	ping := appendArray(nil, len(words))
	for _, w := range words {
		ping = appendString(ping, w)
	}
	if _, err := conn.Write(ping); err != nil {
		return err
	}
	pong, err := readWords(conn, "PONG", 5)
	if err != nil {
		return err
	}
	if ok, _ := pong[1].(bool); !ok {
		return fmt.Errorf("the server does not let us in: %s", web.Quote([]byte(fmt.Sprint(pong[2]))))
	}
	server, _ := pong[3].(string)
	proof, _ := pong[4].(string)
	if want := digest(salt, server, nonce, key); subtle.ConstantTimeCompare([]byte(want), []byte(proof)) != 1 {
		return errors.New("the server does not know the shared key")
	}
	return nil
}

func readHELO(conn *wire.Conn) (nonce, auth string, err error) {
	helo, err := readWords(conn, "HELO", 2)
	if err != nil {
		return "", "", err
	}
	options, _ := helo[1].(map[string]any)
	nonce, _ = options["nonce"].(string)
	auth, _ = options["auth"].(string)
	return nonce, auth, nil
}

// readWords reads an array of at least n elements that begins with name.
func readWords(conn *wire.Conn, name string, n int) ([]any, error) {
	v, err := readValue(conn.In, 3)
	if err != nil {
		return nil, err
	}
	words, _ := v.([]any)
	if len(words) < n || words[0] != name {
		return nil, errAnswer
	}
	return words, nil
}

// digest returns the SHA-512 of parts in hexadecimal.
func digest(parts ...string) string {
	h := sha512.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}
