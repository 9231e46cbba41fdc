// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/settings"
)

// Settings are the settings of an output that signs its requests for AWS. The output embeds them with the prefix of its
// variables.
type Settings struct {
	Region string          `env:"AWS_REGION" doc:"AWS region: requests are signed (Signature Version 4) with the credentials below, else those of the environment (AWS_ACCESS_KEY_ID), of a web identity (EKS), or of the machine's role"`
	KeyID  string          `env:"AWS_ACCESS_KEY_ID" doc:"AWS access key ID"`
	Secret settings.Secret `env:"AWS_SECRET_ACCESS_KEY" secret:"true" doc:"AWS secret access key"`
	Token  settings.Secret `env:"AWS_SESSION_TOKEN" secret:"true" doc:"AWS session token, for temporary credentials"`
}

// Check reports settings that don't go together. prefix is the one that they were embedded with.
func (s *Settings) Check(prefix string) error {
	switch {
	case s.Region == "" && (s.KeyID != "" || s.Secret.IsSet() || s.Token.IsSet()):
		return fmt.Errorf("%sAWS_REGION is not set; %sAWS_ACCESS_KEY_ID needs it", prefix, prefix)
	case (s.KeyID == "") == s.Secret.IsSet():
		return fmt.Errorf("%sAWS_ACCESS_KEY_ID and %sAWS_SECRET_ACCESS_KEY go together; one of them is not set", prefix, prefix)
	}
	for i := range len(s.Region) {
		if c := s.Region[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return fmt.Errorf("%sAWS_REGION is %q; it must be a region, such as eu-west-1", prefix, s.Region)
		}
	}
	return nil
}

// Credentials are an access key, with a token if it is temporary.
type Credentials struct {
	ID, Secret, Token string
	until             time.Time // zero if they do not expire
}

// Provider finds credentials, in this order: in the settings; in the environment (AWS_ACCESS_KEY_ID, …); with a web identity
// token (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, as EKS sets them); from the machine's role (IMDSv2). It is safe for
// concurrent use.
type Provider struct {
	set     Settings
	getenv  func(string) string
	client  *http.Client
	sts     string // URL of the Security Token Service
	machine string // URL of the metadata service

	turn    chan struct{} // held while the fields below are used
	current Credentials
	tried   time.Time
	err     error
}

const (
	// early is how long before they expire temporary credentials are replaced.
	early = 5 * time.Minute
	// again is how long a failure is returned before credentials are looked for again.
	again = time.Second
	// maxAnswer bounds how much of an answer is read, in bytes.
	maxAnswer = 256 << 10
)

// NewProvider returns a provider. It makes no request yet.
func NewProvider(set Settings) *Provider {
	return &Provider{
		set: set, getenv: os.Getenv, client: &http.Client{Timeout: 10 * time.Second},
		sts: "https://sts." + set.Region + ".amazonaws.com/", machine: "http://169.254.169.254", turn: make(chan struct{}, 1),
	}
}

// Get returns credentials, which are valid for a while.
func (p *Provider) Get(ctx context.Context) (Credentials, error) {
	if p.set.KeyID != "" {
		return Credentials{ID: p.set.KeyID, Secret: p.set.Secret.Reveal(), Token: p.set.Token.Reveal()}, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return Credentials{}, ctx.Err()
	}
	now := time.Now()
	if p.current.ID != "" && (p.current.until.IsZero() || now.Before(p.current.until.Add(-early))) {
		return p.current, nil
	}
	if p.err != nil && now.Sub(p.tried) < again {
		return Credentials{}, p.err
	}
	c, err := p.find(ctx)
	if err == nil && (c.ID == "" || c.Secret == "") {
		err = errors.New("an answer without a key")
	}
	if err != nil {
		p.err, p.tried = fmt.Errorf("AWS credentials: %w", err), now
		return Credentials{}, p.err
	}
	p.current, p.err = c, nil
	return c, nil
}

func (p *Provider) find(ctx context.Context) (Credentials, error) {
	if id := p.getenv("AWS_ACCESS_KEY_ID"); id != "" {
		return Credentials{ID: id, Secret: p.getenv("AWS_SECRET_ACCESS_KEY"), Token: p.getenv("AWS_SESSION_TOKEN")}, nil
	}
	if path := p.getenv("AWS_WEB_IDENTITY_TOKEN_FILE"); path != "" {
		return p.webIdentity(ctx, path)
	}
	return p.ofMachine(ctx)
}

// webIdentity exchanges the token in the file at path, which is replaced about once an hour, for credentials of a role.
func (p *Provider) webIdentity(ctx context.Context, path string) (Credentials, error) {
	token, err := os.ReadFile(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("AWS_WEB_IDENTITY_TOKEN_FILE: %w", err)
	}
	session := p.getenv("AWS_ROLE_SESSION_NAME")
	if session == "" {
		session = "remora"
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {p.getenv("AWS_ROLE_ARN")},
		"RoleSessionName": {session}, "WebIdentityToken": {strings.TrimSpace(string(token))},
	}
	body, err := p.ask(ctx, http.MethodPost, p.sts, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if err != nil {
		return Credentials{}, err
	}
	var said struct {
		Result struct {
			Credentials struct {
				AccessKeyID     string `xml:"AccessKeyId"`
				SecretAccessKey string
				SessionToken    string
				Expiration      time.Time
			}
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	if err := xml.Unmarshal(body, &said); err != nil {
		return Credentials{}, fmt.Errorf("%s: %w", p.sts, err)
	}
	k := said.Result.Credentials
	return Credentials{k.AccessKeyID, k.SecretAccessKey, k.SessionToken, k.Expiration}, nil
}

// ofMachine asks the machine's metadata service for credentials of the machine's role.
func (p *Provider) ofMachine(ctx context.Context) (Credentials, error) {
	token, err := p.ask(ctx, http.MethodPut, p.machine+"/latest/api/token", "", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
	if err != nil {
		return Credentials{}, fmt.Errorf("there are none in the environment, and no metadata service: %w", err)
	}
	const path, header = "/latest/meta-data/iam/security-credentials/", "X-Aws-Ec2-Metadata-Token"
	role, err := p.ask(ctx, http.MethodGet, p.machine+path, "", header, string(token))
	if err != nil {
		return Credentials{}, err
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(role)), "\n")
	body, err := p.ask(ctx, http.MethodGet, p.machine+path+url.PathEscape(name), "", header, string(token))
	if err != nil {
		return Credentials{}, err
	}
	var said struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return Credentials{}, errors.New("the metadata service's answer can't be read")
	}
	return Credentials{said.AccessKeyID, said.SecretAccessKey, said.Token, said.Expiration}, nil
}

// ask sends a request and returns the answer's body. An error holds the status and not the body, which may hold a secret.
func (p *Provider) ask(ctx context.Context, method, address, body, header, value string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set(header, value)
	answer, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.URL.Host, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", r.URL.Host, answer.Status)
	}
	return content, nil
}
