// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAProblemOfADeclarationHasTheCodeOfItsPart(t *testing.T) {
	s := Snapshot{Problems: []Problem{{Key: "aliyun.logs.a.format"}, {Key: "aliyun_logs_a_keep"}, {Key: "aliyun.logs.a", Warning: true},
		{Key: "collect.web"}, {Key: "aliyun.logs.a.nonsense"}, {Key: "/x.log", Code: "REM4010"}}}
	s.Complete()
	var codes []string
	for _, p := range s.Problems {
		codes = append(codes, p.Code)
	}
	require.Equal(t, []string{"REM2012", "REM2014", "REM2002", "REM2004", "REM2001", "REM4010"}, codes)
}
