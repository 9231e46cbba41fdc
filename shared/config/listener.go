// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"

	"github.com/remora-logs/remora/shared/output/settings"
)

// Listener is who may use the address REMORA_LISTEN.
type Listener struct {
	Token    settings.Secret `env:"REMORA_LISTEN_TOKEN" secret:"true" doc:"Token for the status page, /status and tails at REMORA_LISTEN, of at least 16 characters. They answer 403 without it on an address that is not loopback; the node agent's on loopback too. The file is read again when it changes"`
	Hosts    []string        `env:"REMORA_LISTEN_HOSTS" doc:"Names, besides localhost, under which browsers may ask for the status page, separated by commas"`
	Cert     string          `env:"REMORA_LISTEN_CERT" doc:"File with the certificate of REMORA_LISTEN, PEM; everything there is served by TLS then. Read again for each connection, like the two below"`
	Key      string          `env:"REMORA_LISTEN_KEY" doc:"File with the certificate's key, PEM"`
	ClientCA string          `env:"REMORA_LISTEN_CLIENT_CA" doc:"File with authorities, PEM: who has a certificate of them needs no token"`
}

// MinToken is the least length of a token: a shorter one can be guessed.
const MinToken = 16

// checkListener reports what does not fit together.
func (l *Listener) checkListener() error {
	var wrong []error
	if l.Token.IsSet() && len(l.Token.Reveal()) < MinToken {
		wrong = append(wrong, errors.New("REMORA_LISTEN_TOKEN is shorter than 16 characters: write one of openssl rand -hex 32 into the file of REMORA_LISTEN_TOKEN_FILE"))
	}
	if (l.Cert == "") != (l.Key == "") {
		wrong = append(wrong, errors.New("REMORA_LISTEN_CERT and REMORA_LISTEN_KEY go together; one of them is not set"))
	}
	if l.ClientCA != "" && l.Cert == "" {
		wrong = append(wrong, errors.New("REMORA_LISTEN_CLIENT_CA needs REMORA_LISTEN_CERT: clients show certificates by TLS alone"))
	}
	return errors.Join(wrong...)
}
