// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/settings"
)

// AWS' own SDK signs the same.
func TestSignaturesAreThoseOfTheSDK(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, target := range []string{
		"https://search-x.eu-west-1.es.amazonaws.com/_bulk?filter_path=errors,items.*.status", "https://h.example/", "https://h.example",
		"https://h.example/a%20b/%3Clog-%7Bnow%2Fd%7D%3E/_bulk?b=2&a=1&a=0&empty=&sp=a+b", "https://h.example:9200/x~y/_bulk",
	} {
		for _, body := range []string{"", "{}\n"} {
			for _, token := range []string{"", "a/token=="} {
				make := func() *http.Request {
					r, err := http.NewRequest(http.MethodPost, target, strings.NewReader(body))
					require.NoError(t, err)
					r.Header.Set("Content-Type", "application/x-ndjson")
					return r
				}
				ours, theirs := make(), make()
				Sign(ours, []byte(body), Credentials{ID: "AKID", Secret: "secret", Token: token}, "eu-west-1", "es", now)
				sum := sha256.Sum256([]byte(body))
				payload := hex.EncodeToString(sum[:])
				theirs.Header.Set("X-Amz-Content-Sha256", payload)
				theirs.ContentLength = -1 // it signs a length, which need not be signed
				require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), sdk.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: token},
					theirs, payload, "es", "eu-west-1", now))
				require.Equal(t, theirs.Header.Get("Authorization"), ours.Header.Get("Authorization"), target)
			}
		}
	}
}

// provider has no environment but the given one, and its services at address.
func provider(address string, environ map[string]string) *Provider {
	p := NewProvider(Settings{Region: "eu-west-1"})
	p.getenv = func(name string) string { return environ[name] }
	p.sts, p.machine = address+"/", address
	return p
}

func TestCredentialsOfTheSettingsAndTheEnvironment(t *testing.T) {
	p := NewProvider(Settings{Region: "r", KeyID: "id", Secret: settings.NewSecret("s")})
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, Credentials{ID: "id", Secret: "s"}, c)
	c, err = provider("", map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}).Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, Credentials{ID: "a", Secret: "b", Token: "c"}, c)
}

func TestCredentialsOfAWebIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("a.jwt\n"), 0o600))
	asked := 0
	life := time.Hour
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != "a.jwt" || r.FormValue("RoleArn") != "arn:x" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, "a.jwt is not known")
			return
		}
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIA%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, asked, time.Now().Add(life).UTC().Format(time.RFC3339))
	}))
	defer s.Close()
	environ := map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ROLE_ARN": "arn:x"}
	p := provider(s.URL, environ)
	for range 3 {
		c, err := p.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, "ASIA1", c.ID, "kept")
	}
	p.current.until = time.Now().Add(early - time.Second)
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ASIA2", c.ID, "replaced before their end")

	environ["AWS_ROLE_ARN"] = "arn:y"
	p = provider(s.URL, environ)
	_, err = p.Get(t.Context())
	require.ErrorContains(t, err, "403")
	require.NotContains(t, err.Error(), "a.jwt")
	asked = 0
	_, err = p.Get(t.Context())
	require.Error(t, err)
	require.Zero(t, asked, "it is not asked for each batch")
}

func TestCredentialsOfTheMachine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			_, _ = fmt.Fprint(w, "session")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "session":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			_, _ = fmt.Fprint(w, "my-role")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/my-role":
			_, _ = fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}
	}))
	defer s.Close()
	c, err := provider(s.URL, nil).Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"ASIA", "s", "t"}, []string{c.ID, c.Secret, c.Token})
}

func TestFailureIsBelievedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider("", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/does/not/exist"})
		_, err := p.Get(t.Context())
		require.ErrorContains(t, err, "AWS_WEB_IDENTITY_TOKEN_FILE")
		p.getenv = func(name string) string {
			return map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}[name]
		}
		_, err = p.Get(t.Context())
		require.Error(t, err)
		time.Sleep(again)
		_, err = p.Get(t.Context())
		require.NoError(t, err)
	})
}

func TestWrongSettings(t *testing.T) {
	secret := settings.NewSecret("s")
	for want, s := range map[string]Settings{
		"X_AWS_REGION is not set":         {KeyID: "id", Secret: secret},
		"X_AWS_SECRET_ACCESS_KEY go":      {Region: "eu-west-1", KeyID: "id"},
		`X_AWS_REGION is "evil.example/"`: {Region: "evil.example/"},
	} {
		require.ErrorContains(t, s.Check("X_"), want)
	}
	require.NoError(t, (&Settings{}).Check("X_"))
	require.NoError(t, (&Settings{Region: "eu-west-1"}).Check("X_"))
}
