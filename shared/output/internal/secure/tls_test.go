// SPDX-License-Identifier: Apache-2.0

package secure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatIsWrongNamesTheVariable(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	none := File{Variable: "X_CERT"}
	for want, files := range map[string][3]File{
		"X_CA: open /does/not/exist":     {{"X_CA", "/does/not/exist"}, none, {"X_KEY", ""}},
		"holds no certificate":           {{"X_CA", empty}, none, {"X_KEY", ""}},
		"X_CERT and X_KEY go together":   {{"X_CA", ""}, {"X_CERT", empty}, {"X_KEY", ""}},
		"X_CERT, X_KEY: tls: failed to":  {{"X_CA", ""}, {"X_CERT", empty}, {"X_KEY", empty}},
		"X_CERT, X_KEY: open /not/there": {{"X_CA", ""}, {"X_CERT", "/not/there"}, {"X_KEY", empty}},
	} {
		_, err := Open(files[0], files[1], files[2], true)
		require.ErrorContains(t, err, want)
	}
	s, err := Open(File{}, File{}, File{}, false)
	require.NoError(t, err)
	require.True(t, s.Config().InsecureSkipVerify)
}

func TestAuthoritiesFollowTheirFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, authority(t, "first"), 0o600))
	synctest.Test(t, func(t *testing.T) {
		s, err := Settings{Verify: true, CA: path}.Open("X_")
		require.NoError(t, err)
		first := s.Config()
		require.Same(t, first, s.Config())

		require.NoError(t, os.WriteFile(path, []byte("half a certifica"), 0o600))
		time.Sleep(2 * time.Second)
		require.Same(t, first, s.Config(), "what holds no certificate changes nothing")

		require.NoError(t, os.WriteFile(path, authority(t, "second"), 0o600))
		time.Sleep(2 * time.Second)
		second := s.Config()
		require.False(t, first.RootCAs.Equal(second.RootCAs))
		require.Same(t, second, s.Config())
	})
}

func authority(t *testing.T, name string) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
