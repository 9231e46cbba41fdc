// SPDX-License-Identifier: Apache-2.0

package sls

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // the protocol's
	"crypto/sha1" //nolint:gosec // the protocol's
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/live"
	"github.com/remora-logs/remora/shared/output/settings"
)

// credentials is an access key, which may change.
type credentials struct {
	id     string
	secret settings.Secret
	token  settings.Secret
	file   *live.File // with id:secret, which takes precedence over id and secret
}

func (k *credentials) now() (id, secret string) {
	if k.file == nil {
		return k.id, k.secret.Reveal()
	}
	content, _ := k.file.Content()
	id, secret, _ = strings.Cut(strings.TrimSpace(string(content)), ":")
	return id, secret
}

// signer signs each request when it is sent, because the service refuses a date older than 15 minutes.
type signer struct {
	key    *credentials
	host   string // of the project
	region string // for v4; empty for v1
	now    func() time.Time
}

const apiVersion = "0.6.0"

// sign adds the headers of all requests, and the signature.
func (s *signer) sign(r *http.Request, body []byte) error {
	id, secret := s.key.now()
	h := r.Header
	r.Host = s.host
	h.Set("X-Log-Apiversion", apiVersion)
	if token := s.key.token.Reveal(); token != "" {
		h.Set("X-Acs-Security-Token", token)
	}
	if s.region == "" {
		h.Set("X-Log-Signaturemethod", "hmac-sha1")
		h.Set("Date", s.now().UTC().Format(http.TimeFormat))
		if len(body) > 0 {
			h.Set("Content-Md5", fmt.Sprintf("%X", md5.Sum(body))) //nolint:gosec // the protocol's
		}
		h.Set("Authorization", "LOG "+id+":"+signV1(secret, r.Method, r.URL, h))
		return nil
	}
	at := s.now().UTC().Format("20060102T150405Z")
	sum := sha256.Sum256(body)
	h.Set("X-Log-Date", at)
	h.Set("X-Log-Content-Sha256", hex.EncodeToString(sum[:]))
	signed := map[string]string{"host": r.Host}
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-log-") || strings.HasPrefix(lower, "x-acs-") || lower == "content-type" {
			signed[lower] = h.Get(name)
		}
	}
	scope := at[:8] + "/" + s.region + "/sls/aliyun_v4_request"
	signature := signV4(secret, s.region, at, r.Method, r.URL, signed)
	h.Set("Authorization", "SLS4-HMAC-SHA256 Credential="+id+"/"+scope+",Signature="+signature)
	return nil
}

// signV1 returns the signature of version 1 (Alibaba's "Request signatures").
func signV1(secret, method string, u *url.URL, h http.Header) string {
	lines := []string{method, h.Get("Content-Md5"), h.Get("Content-Type"), h.Get("Date")}
	var own []string
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-log-") || strings.HasPrefix(lower, "x-acs-") {
			own = append(own, lower+":"+h.Get(name))
		}
	}
	slices.Sort(own)
	resource := u.Path
	if query := u.Query(); len(query) > 0 {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(query)) {
			pairs = append(pairs, name+"="+query.Get(name))
		}
		resource += "?" + strings.Join(pairs, "&")
	}
	mac := hmac.New(sha1.New, []byte(secret))
	_, _ = mac.Write([]byte(strings.Join(append(append(lines, own...), resource), "\n")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signV4 returns the signature of version 4. signed holds headers with lower-case names.
func signV4(secret, region, at, method string, u *url.URL, signed map[string]string) string {
	names := slices.Sorted(maps.Keys(signed))
	var canonical strings.Builder
	canonical.WriteString(method + "\n" + u.EscapedPath() + "\n" + canonicalQuery(u.Query()) + "\n")
	for _, name := range names {
		canonical.WriteString(name + ":" + signed[name] + "\n")
	}
	canonical.WriteString("\n" + strings.Join(names, ";") + "\n" + signed["x-log-content-sha256"])
	sum := sha256.Sum256([]byte(canonical.String()))
	text := "SLS4-HMAC-SHA256\n" + at + "\n" + at[:8] + "/" + region + "/sls/aliyun_v4_request\n" + hex.EncodeToString(sum[:])
	key := []byte("aliyun_v4" + secret)
	for _, part := range []string{at[:8], region, "sls", "aliyun_v4_request", text} {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func canonicalQuery(query url.Values) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		pair := name
		if value := query.Get(name); value != "" {
			pair += "=" + strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
		}
		pairs = append(pairs, pair)
	}
	return strings.Join(pairs, "&")
}
