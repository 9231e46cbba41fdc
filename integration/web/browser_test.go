// SPDX-License-Identifier: Apache-2.0

// Package web drives the status page with a real Chromium.
package web

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// chromium is the browser that all tests share; each test has a context of its own in it, with own cookies and storage.
var chromium = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("lang", "en-US"), chromedp.Flag("disable-dev-shm-usage", true))
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	browser, _ := chromedp.NewContext(allocator)
	return browser, chromedp.Do(browser)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if browser, err := chromium(); err == nil {
		_ = chromedp.Cancel(browser)
	}
	os.Exit(code)
}

// step is something that a browser does.
type step = chromedp.Action[chromedp.Void]

// tab is a page of the browser.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the browser complained about: errors of scripts, and what the policy kept from being loaded
}

func open(t *testing.T, address string, actions ...step) *tab {
	t.Helper()
	browser, err := chromium()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	b := &tab{T: t}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	b.do() // it lives as long as this context
	b.ctx, cancel = context.WithTimeout(b.ctx, 90*time.Second)
	t.Cleanup(cancel)
	b.do(append(actions, chromedp.Navigate(address))...)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.problems) > 0 {
			t.Errorf("the browser complained: %q", b.problems)
		}
	})
	return b
}

// listen notes errors of scripts, and what the policy keeps from being loaded. That a server answers 401 is no error.
func (b *tab) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.complain(e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "the server responded") && !strings.Contains(e.Entry.Text, "net::ERR") {
			b.complain(e.Entry.Text)
		}
	}
}

func (b *tab) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, text)
}

func (b *tab) do(actions ...step) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// evaluate returns what an expression is; args are its values, for each %s.
func evaluate[T any](b *tab, expression string, args ...any) (value T, err error) {
	quoted := make([]any, len(args))
	for i, a := range args {
		text, err := json.Marshal(a)
		if err != nil {
			return value, err
		}
		quoted[i] = string(text)
	}
	return chromedp.Run(b.ctx, chromedp.Evaluate[T](fmt.Sprintf(expression, quoted...), chromedp.EvalAwaitPromise))
}

// js returns what an expression is.
func js[T any](b *tab, expression string, args ...any) T {
	b.Helper()
	value, err := evaluate[T](b, expression, args...)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// call runs an expression whose value does not matter.
func (b *tab) call(expression string, args ...any) {
	b.Helper()
	js[bool](b, "Promise.resolve("+expression+").then(() => true)", args...)
}

// await waits until an expression is true, as long as the tab may live. Meanwhile the page may be replaced by another.
func (b *tab) await(expression string, args ...any) {
	b.Helper()
	b.until(func() bool {
		now, err := evaluate[bool](b, "!!("+expression+")", args...)
		return err == nil && now
	}, expression)
}

// until waits for a condition, as long as the tab may live.
func (b *tab) until(is func() bool, what string) {
	b.Helper()
	for !is() {
		select {
		case <-b.ctx.Done():
			b.Fatalf("never true: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// column is the cells of one column, in the rows that are drawn, from the top.
func (b *tab) column(name string) []string {
	b.Helper()
	return js[[]string](b, `(() => { const n = [...document.querySelectorAll('#rows thead th')].findIndex(h => h.textContent.startsWith(%s));
		return [...document.querySelectorAll('#rows tbody tr[aria-rowindex]')].map(r => r.cells[n].textContent) })()`, name)
}

func (b *tab) sortBy(name string) {
	b.Helper()
	b.call(`[...document.querySelectorAll('#rows thead button')].find(h => h.textContent.startsWith(%s)).click()`, name)
}

// choose chooses an option of a select.
func (b *tab) choose(id, value string) {
	b.Helper()
	b.call(`(() => { const s = document.getElementById(%s); s.value = %s; s.dispatchEvent(new Event('change')) })()`, id, value)
}

// screen gives the tab a size in CSS pixels, and a factor of zoom. 400 % of 1280 × 1024 are 320 × 256.
func screen(width, height int64, zoom float64) step {
	return chromedp.EmulateViewport(width, height, chromedp.EmulateScale(zoom))
}

// prefers is the system's theme.
func prefers(theme string) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
		return err
	})
}

// write types into an element, in place of its text.
func (b *tab) write(id, text string) {
	b.Helper()
	b.call(`(() => { const e = document.getElementById(%s); e.focus(); e.select(); })()`, id)
	if text == "" {
		text = kb.Backspace
	}
	b.do(chromedp.KeyEvent(text))
}

// axe is the source of axe-core.
var axe = sync.OnceValues(func() (string, error) {
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	return string(source), err
})

// accessible checks the page as it is by all of axe-core's rules, best practices included.
func (b *tab) accessible(what string) {
	b.Helper()
	source, err := axe()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](source+"\n;true")); err != nil {
		b.Fatal(err)
	}
	found := js[[]struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}](b, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({id: v.id, help: v.help,
		nodes: v.nodes.slice(0, 3).map(n => ({html: n.html, failureSummary: n.failureSummary}))})))`)
	for _, v := range found {
		b.Errorf("%s: axe-core: %s: %s: %q", what, v.ID, v.Help, v.Nodes)
	}
}

// chromiumCookies are the cookies that the page has, those too that scripts don't see.
func chromiumCookies(b *tab) []*network.Cookie {
	b.Helper()
	cookies, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) ([]*network.Cookie, error) {
		found, err := cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{})
		return found.Cookies, err
	})
	if err != nil {
		b.Fatal(err)
	}
	return cookies
}
