// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

var errRefused = fmt.Errorf("es-1:9200: %w", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")})

// outage runs twenty streams on two shards beside a backend that fails with err for five minutes. It returns when the backend
// was asked during that, and how long after it all had arrived.
func outage(t *testing.T, err error) (asked []time.Duration, late time.Duration) {
	o := &backend{}
	began, down := time.Now(), true
	o.before = func(context.Context, *record.Batch) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !down {
			return nil
		}
		asked = append(asked, time.Since(began))
		return err
	}
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "checkpoints.db"), out: o}
	b.start(blocking)
	defer b.stop()
	var streams []*memory
	for i := range 20 {
		m := &memory{key: fmt.Sprint("stream-", i)}
		b.attach(m)
		m.write(numbered(0, 100))
		streams = append(streams, m)
	}
	time.Sleep(5 * time.Minute)
	o.mu.Lock()
	down = false
	o.mu.Unlock()
	began = time.Now()
	for len(o.got()) < 100*len(streams) {
		time.Sleep(10 * time.Millisecond)
		require.Less(t, time.Since(began), time.Minute)
	}
	require.Empty(t, o.twice())
	return asked, time.Since(began)
}

// A backend that can't be connected to is asked by one of its shards every two seconds or so, and has everything soon after it
// is back.
func TestDeliveryResumesSoonAfterABackendCanBeConnectedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, late := outage(t, errRefused)
		require.Less(t, late, 5*time.Second)
		require.Less(t, len(asked), 240, "two shards, every two seconds one of them")
		for i, at := range asked[1:] {
			require.Less(t, at-asked[i], 3*time.Second)
		}
	})
}

// One that answers is asked less and less.
func TestABackendThatAnswersIsGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, _ := outage(t, errors.New("503 Service Unavailable"))
		require.Less(t, len(asked), 60)
	})
}

// One that can be connected to again, and then answers that it is not ready, is given time as well.
func TestABackendThatStartsIsGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var answers atomic.Int64
		o := &backend{}
		o.before = func(context.Context, *record.Batch) error {
			switch since := time.Since(began); {
			case since < time.Minute:
				return errRefused
			case since < 4*time.Minute:
				answers.Add(1)
				return errors.New("503 Service Unavailable")
			}
			return nil
		}
		b := &bench{t: t, path: filepath.Join(t.TempDir(), "checkpoints.db"), out: o}
		b.start(blocking)
		defer b.stop()
		for i := range 20 {
			m := &memory{key: fmt.Sprint("stream-", i)}
			b.attach(m)
			m.write(numbered(0, 100))
		}
		time.Sleep(5 * time.Minute)
		require.Len(t, o.got(), 2000)
		require.Less(t, answers.Load(), int64(50))
		synctest.Wait()
		require.Equal(t, 1, strings.Count(b.log.String(), "output recovered"))
	})
}
