// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// The service itself is to be had in the cloud only; its own SDK checks signatures and decodes what it is sent.
func TestAliyunSLS(t *testing.T) {
	binary := build(t, "sls", ".")
	for name, settings := range map[string][]string{
		"v1": {"ALIYUNSLS_SIGNATURE=v1", "ALIYUNSLS_COMPRESSION=zstd"},
		"v4": {"ALIYUNSLS_REGION=cn-hangzhou"},
	} {
		t.Run(name, func(t *testing.T) {
			address := engine.FreePort(t)
			printed := printer(t, address, binary, "-address", address)
			f := write(t)
			sidecar(t, f, append(settings, "LOGGING_OUTPUT=aliyun_sls", "ALIYUNSLS_PROJECT=p", "ALIYUNSLS_REGION_ENDPOINT=http://"+address,
				"ALIYUNSLS_ACCESS_KEY_ID="+user, "ALIYUNSLS_ACCESS_KEY_SECRET="+password)...)
			comparePrinted(t, f, printed, "message", "source")
		})
	}
}
