// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"time"
)

// token is the administrator's. Nobody outside the namespaces can reach the API server.
const token = "remora"

// startControl starts the control plane and waits until the API server answers.
func (c *Cluster) startControl(ctx context.Context) error {
	if err := c.launch("etcd", "--data-dir", c.path("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync"); err != nil {
		return err
	}
	if err := c.startAPIServer(); err != nil {
		return err
	}
	if err := c.await(ctx, "the API server", 3*time.Minute, func() error {
		_, err := c.Kubectl("", "get", "--raw", "/readyz")
		return err
	}); err != nil {
		return err
	}
	for name, args := range map[string][]string{
		"kube-scheduler": nil,
		"kube-controller-manager": {
			"--service-account-private-key-file", c.path("accounts.key"),
			"--root-ca-file", c.path("certificates", "apiserver.crt"),
		},
	} {
		if err := c.launch(filepath.Join(c.binaries, name), append([]string{
			"--kubeconfig", c.path("kubeconfig"), "--leader-elect=false", "--bind-address", "127.0.0.1",
			"--cert-dir", c.path("certificates", name),
		}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startAPIServer() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	accounts, err := c.write("accounts.key", string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key),
	})))
	if err != nil {
		return err
	}
	tokens, err := c.write("tokens.csv", token+`,admin,1,"system:masters"`+"\n")
	if err != nil {
		return err
	}
	if _, err := c.write("kubeconfig", c.kubeconfig()); err != nil {
		return err
	}
	return c.launch(filepath.Join(c.binaries, "kube-apiserver"),
		"--etcd-servers", etcd,
		"--bind-address", "127.0.0.1", "--advertise-address", nodeIP, "--cert-dir", c.path("certificates"),
		"--service-cluster-ip-range", "10.89.0.0/24", "--kubelet-preferred-address-types", "InternalIP",
		"--token-auth-file", tokens, "--authorization-mode", "RBAC",
		"--service-account-issuer", apiServer, "--service-account-key-file", accounts,
		"--service-account-signing-key-file", accounts,
	)
}

// kubeconfig lets its reader be the administrator.
func (c *Cluster) kubeconfig() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "%s", certificate-authority: "%s"}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: admin, context: {cluster: here, user: admin}}]
current-context: admin
`, apiServer, c.path("certificates", "apiserver.crt"), token)
}
