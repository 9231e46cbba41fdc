// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/registry"
)

// asksByPost are the outputs whose fake servers ask a check for credentials; of others package registry has a test.
var asksByPost = map[string]bool{"loki": true, "otlp": true, "splunk": true, "redis": true, "fluentd": true, "kafka": true}

// check is what explain --check-outputs does for one output, as long as patience lasts.
func check(t *testing.T, p protocol, s *server, ca string, patience time.Duration) registry.Checked {
	t.Helper()
	c, err := registry.ReadCatalog(p.environ(s.address, ca, "60000"), "")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all := c.Check(ctx, []string{p.name})
	require.Len(t, all, 1)
	return all[0]
}

// A check of any output says that a healthy backend is, stores nothing in it, names the setting where there is none or one
// with a foreign certificate, and ends in time where one says nothing.
func TestCheck(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, newLedger(t, nil))
			p.start(s)

			gone := check(t, p, s, "", 10*time.Second)
			require.False(t, gone.OK)
			requireSetting(t, p, s, gone.Error)

			s.open()
			well := check(t, p, s, "", 10*time.Second)
			require.True(t, well.OK, well.Error)
			require.NotEmpty(t, well.Saw)
			s.mu.Lock()
			require.Zero(t, s.ledger.total, "records")
			s.mu.Unlock()

			s.behave(mute)
			started := time.Now()
			check(t, p, s, "", time.Second)
			require.Less(t, time.Since(started), 5*time.Second)

			if asksByPost[p.name] {
				s.behave(unauthorized)
				stranger := check(t, p, s, "", 10*time.Second)
				require.False(t, stranger.OK)
				setting, _, _ := strings.Cut(stranger.Error, ":")
				require.Regexp(t, "PASSWORD|TOKEN|HEADERS|SHARED_KEY", setting, stranger.Error)
			}

			if contains(p.not, wrongCert) {
				return
			}
			s.shut()
			s.mu.Lock()
			s.tls = newAuthority(t).config(t)
			s.mu.Unlock()
			s.behave(healthy)
			s.open()
			foreign := check(t, p, s, newAuthority(t).file, 10*time.Second)
			require.False(t, foreign.OK)
			setting, _, _ := strings.Cut(foreign.Error, ":")
			require.Regexp(t, `_CA$|_CERTIFICATE$`, setting, foreign.Error)
		})
	}
}

// requireSetting requires that the error begins with settings of which the output has one.
func requireSetting(t *testing.T, p protocol, s *server, text string) {
	t.Helper()
	settings, _, _ := strings.Cut(text, ": ")
	for name := range p.environ(s.address, "", "1000") {
		if strings.Contains(settings, name) {
			return
		}
	}
	t.Errorf("%q names no setting of the output", text)
}
