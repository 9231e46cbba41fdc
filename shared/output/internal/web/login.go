// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
)

// Login is how a server is to know us: by user and password, or by a bearer token.
type Login struct{ User, Password, Bearer string }

// Header makes the header of all requests of extra and login, or of the user in u, which is taken out of it. prefix is
// that of the variables, for errors.
func Header(prefix string, u *url.URL, login Login, extra map[string]string) (http.Header, error) {
	if u.User != nil && login.User == "" && login.Bearer == "" {
		login.User = u.User.Username()
		login.Password, _ = u.User.Password()
	}
	u.User = nil
	header := make(http.Header)
	for name, value := range extra {
		if !validName(name) {
			return nil, fmt.Errorf("%s_HEADERS: one of the names is not that of a header", prefix)
		}
		header.Set(textproto.TrimString(name), textproto.TrimString(value))
	}
	switch {
	case login.User != "" && login.Bearer != "":
		return nil, fmt.Errorf("%s_USER and %s_BEARER_TOKEN are both set; set one of them", prefix, prefix)
	case login.Bearer != "":
		header.Set("Authorization", "Bearer "+login.Bearer)
	case login.User != "":
		header.Set("Authorization", Basic(login.User, login.Password))
	}
	return header, nil
}

// validName reports whether name, less spaces around it, is a token (RFC 9110, 5.6.2).
func validName(name string) bool {
	name = textproto.TrimString(name)
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || c == ':' || c == '(' || c == ')' || c == '"' || c == ',' || c == '/' || c == ';' || c == '=' {
			return false
		}
	}
	return name != ""
}

// Basic is the value of Authorization for user and password.
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
